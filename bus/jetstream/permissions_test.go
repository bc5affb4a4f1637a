package jetstream

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

func short(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func appendTo(ctx context.Context, a bus.Appender, subject events.Subject) error {
	_, err := a.Append(ctx, []bus.Record{{Envelope: events.Envelope{Subject: subject, Type: "test.happened", Version: 1, Body: []byte("{}")}}})
	return err
}

// TestRights tries what each user may and may not do.
func TestRights(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds)
	admin, n1 := dialTest(t, s, creds[0]), dialTest(t, s, creds[2])
	for _, verb := range []string{"req.*.any", "req.*.node.n1.any"} {
		stop, err := s.Wires().Serve(verb, func(context.Context, bus.Request) []byte { return nil })
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
	}
	request := func(c *Client, subject string) func(context.Context) error {
		return func(ctx context.Context) error { _, err := c.Request(ctx, subject, nil); return err }
	}
	add := func(c *Client, subject events.Subject) func(context.Context) error {
		return func(ctx context.Context) error { return appendTo(ctx, c, subject) }
	}
	for name, may := range map[string]func(context.Context) error{
		"a person asks":                  request(admin, "req.admin.any"),
		"a node asks":                    request(n1, "req.node-n1.any"),
		"a node says what it saw":        add(n1, events.SeenSubject("n1")),
		"the control plane appends":      func(ctx context.Context) error { return appendTo(ctx, s.Log(), events.LeaseSubject) },
		"the control plane sees streams": request(s.Wires(), "$JS.API.STREAM.INFO.LOG"),
	} {
		if err := may(short(t)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, mayNot := range map[string]func(context.Context) error{
		"a person appends a spec":          add(admin, "log.spec.pods.default.a"),
		"a person takes the lease":         add(admin, events.LeaseSubject),
		"a person asks as bob":             request(admin, "req.bob.any"),
		"a person asks as a node":          request(admin, "req.node-n1.any"),
		"a person reads the stream":        request(admin, "$JS.API.STREAM.INFO.LOG"),
		"a person deletes the stream":      request(admin, "$JS.API.STREAM.DELETE.LOG"),
		"a person fakes the feed":          request(admin, "live.pods.default.a"),
		"a node says what another saw":     add(n1, events.SeenSubject("n2")),
		"a node appends a spec":            add(n1, "log.spec.pods.default.a"),
		"a node assigns itself a pod":      add(n1, events.AssignSubject("n1")),
		"a node asks as a person":          request(n1, "req.admin.any"),
		"a node asks as another node":      request(n1, "req.node-n2.any"),
		"a node beats for another":         request(n1, "hb.n2"),
		"a node tells of another's pulls":  request(n1, "pull.n2"),
		"a person makes up pulls":          request(admin, "pull.n1"),
		"a node publishes to the log":      request(n1, "log.seen.n1"),
		"a node reads the stream":          request(n1, "$JS.API.STREAM.INFO.LOG"),
		"a node makes a consumer":          request(n1, "$JS.API.CONSUMER.CREATE.LOG"),
		"a node reads from another's feed": request(n1, "$JS.API.DIRECT.GET.LOG"),
	} {
		if err := mayNot(short(t)); !errors.Is(err, bus.ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEars tries to listen where others are spoken to.
func TestEars(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds)
	for _, x := range []struct {
		cred    Credential
		subject string
		may     bool
	}{
		{creds[0], "live.>", true}, {creds[0], "_INBOX.admin.x", true},
		{creds[0], "_INBOX.>", false}, {creds[0], "_INBOX.bob.>", false}, {creds[0], "log.>", false}, {creds[0], ">", false}, {creds[0], "req.>", false},
		{creds[2], "live.node.n1", true}, {creds[2], "live.net.>", true}, {creds[2], "live.beacon", true}, {creds[2], "req.*.node.n1.exec", true},
		{creds[2], "live.node.n2", false}, {creds[2], "live.>", false}, {creds[2], "req.*.node.n2.exec", false}, {creds[2], "req.*.change", false}, {creds[2], "log.>", false},
	} {
		bad := make(chan error, 1)
		nc, err := nats.Connect(s.Address(), nats.UserInfo(x.cred.User, x.cred.Password),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { bad <- err }))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = nc.SubscribeSync(x.subject); err == nil {
			err = nc.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // an error handler runs beside
		nc.Close()
		if refused := len(bad) > 0; refused == x.may {
			t.Errorf("%s subscribes to %s: refused %v", x.cred.User, x.subject, refused)
		}
	}
}

// TestDeputies asks for replies in places where only the server may write.
func TestDeputies(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds)
	stop, err := s.Wires().Serve("req.*.any", func(context.Context, bus.Request) []byte { return []byte("{}") })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	tries := []struct {
		cred           Credential
		subject, reply string
	}{
		{creds[0], "req.admin.any", "log.spec.pods.default.forged"},
		{creds[0], "req.admin.any", "$JS.API.STREAM.PURGE.LOG"},
		{creds[2], "log.seen.n1", "$JS.API.STREAM.PURGE.LOG"},
		{creds[2], "log.seen.n1", "log.spec.pods.default.forged"},
		{creds[2], "log.seen.n1", "live.pods.default.forged"},
	}
	for _, x := range tries {
		nc, err := nats.Connect(s.Address(), nats.UserInfo(x.cred.User, x.cred.Password))
		if err != nil {
			t.Fatal(err)
		}
		err = nc.PublishMsg(&nats.Msg{Subject: x.subject, Reply: x.reply, Data: []byte("{}")})
		if err = errors.Join(err, nc.Flush()); err != nil {
			t.Fatal(err)
		}
		nc.Close()
	}
	time.Sleep(200 * time.Millisecond)
	b, err := s.Log().Bounds(t.Context())
	if err != nil || b.First != 1 {
		t.Fatalf("bounds: %+v, %v", b, err)
	}
	err = s.Log().Read(t.Context(), 1, func(e events.Envelope) error {
		if e.Subject != events.SeenSubject("n1") {
			t.Errorf("forged: %s %s", e.Subject, e.Body)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStrangers(t *testing.T) {
	creds := testCredentials(t)
	s := openTest(t, t.TempDir(), creds)
	wrong := creds[0]
	wrong.Password += "x"
	for _, c := range []Credential{wrong, {User: "admin"}, {User: "eve", Password: "x"}, {User: controlUser, Password: ""}} {
		began := time.Now()
		if _, err := Dial(t.Context(), DialOptions{URL: s.Address(), Credential: c}); !errors.Is(err, bus.ErrUnauthorized) {
			t.Errorf("dial as %q: %v", c.User, err)
		}
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("refused only after %s", d)
		}
	}
	if _, err := s.Connect("eve"); !errors.Is(err, bus.ErrUnauthorized) {
		t.Errorf("connect inside as eve: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	began := time.Now()
	_, err := Dial(t.Context(), DialOptions{URL: "nats://127.0.0.1:1", Credential: Credential{User: "admin", Password: "x"}})
	if !errors.Is(err, bus.ErrUnreachable) || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestLoopbackOnly(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "192.0.2.1:4222", "example.org:1", "[::]:0"} {
		if s, err := Open(t.Context(), Options{Dir: t.TempDir(), Listen: listen}); err == nil {
			t.Errorf("listens on %s", listen)
			_ = s.Close()
		}
	}
}

func TestCredentialFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "credentials")
	c, err := LoadOrCreateNode(dir, "n1.example.org")
	if err != nil || len(c.Password) < 40 || c.User != "node-n1=2eexample=2eorg" {
		t.Fatalf("%+v, %v", c, err)
	}
	again, err := LoadOrCreateNode(dir, "n1.example.org")
	if err != nil || again != c {
		t.Errorf("second time: %+v, %v", again, err)
	}
	path := CredentialPath(dir, c.User)
	for p, want := range map[string]fs.FileMode{dir: 0o700, path: 0o600} {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, st.Mode(), err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCredential(path); err == nil {
		t.Error("took a credential that others can read")
	}
	for _, user := range []string{"", "a.b", "*", ">", "a b", "../x", controlUser} {
		if _, err := LoadOrCreate(dir, user); err == nil {
			t.Errorf("made a credential for %q", user)
		}
	}
}

// A credential that is damaged is named, with what to do; nobody becomes somebody else by it.
func TestDamagedCredentials(t *testing.T) {
	for how, content := range map[string]string{"cut": `{"user":"ann","pass`, "empty": "", "of somebody else": `{"user":"bob","password":"x"}`, "without a password": `{"user":"ann"}`} {
		dir := t.TempDir()
		if _, err := LoadOrCreate(dir, "ann"); err != nil {
			t.Fatal(err)
		}
		path := CredentialPath(dir, "ann")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreate(dir, "ann"); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it to have another one made") {
			t.Errorf("%s: %v", how, err)
		}
		if _, err := LoadAll(dir); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "remove it to have another one made") {
			t.Errorf("%s, as one of all: %v", how, err)
		}
		if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o755)); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadOrCreate(dir, "ann"); err == nil || !strings.Contains(err.Error(), path+" is a directory") {
			t.Errorf("a directory: %v", err)
		}
	}
}
