package badge_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/badge"
	"github.com/stave-run/stave/projections/foldtest"
)

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func open(t *testing.T, dir string, c *clock) *badge.Keys {
	t.Helper()
	k, err := badge.Open(dir, "cluster.local", c.now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var robot = badge.Bound{Namespace: "shop", Account: badge.Named{Name: "robot", UID: "u1"}}

func TestTokens(t *testing.T) {
	c, dir := &clock{time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}, t.TempDir()
	k := open(t, dir, c)
	text, _, err := k.Issue(robot, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	again := open(t, dir, c) // after a restart
	got, err := again.Read(text)
	if err != nil || got.Subject != "system:serviceaccount:shop:robot" || got.Bound.Account != robot.Account {
		t.Fatalf("%+v, %v", got, err)
	}
	if a := again.For(got, nil); !slices.Equal(a, []string{"https://kubernetes.default.svc.cluster.local"}) {
		t.Errorf("it is for %v", a)
	}
	if a := again.For(got, []string{"vault"}); a != nil {
		t.Errorf("it is also for %v", a)
	}
	if _, err := open(t, t.TempDir(), c).Read(text); err == nil {
		t.Error("another cluster believes it")
	}
	c.t = c.t.Add(time.Hour)
	if _, err := k.Read(text); err == nil || strings.Contains(err.Error(), text) {
		t.Errorf("after its time: %v", err)
	}
	c.t = c.t.Add(-2 * time.Hour)
	if _, err := k.Read(text); err != nil {
		t.Errorf("after the clock was set back: %v", err)
	}
}

// No byte of a token can be another one, and no other way of signing is believed.
func TestForgedTokens(t *testing.T) {
	c := &clock{time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
	k := open(t, t.TempDir(), c)
	text, _, err := k.Issue(robot, nil, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(text) {
		for _, b := range []byte("A.z") {
			forged := text[:i] + string(b) + text[i+1:]
			// The last character of each part has bits that mean nothing.
			if _, err := k.Read(forged); err == nil && forged != text && !sameBytes(forged, text) {
				t.Fatalf("byte %d may be %q", i, b)
			}
		}
	}
	parts := strings.Split(text, ".")
	for _, h := range []string{`{"alg":"none"}`, `{"alg":"HS256"}`} {
		if _, err := k.Read(base64.RawURLEncoding.EncodeToString([]byte(h)) + "." + parts[1] + "." + parts[2]); err == nil {
			t.Errorf("%s is believed", h)
		}
	}
	for _, s := range []string{"", ".", "..", "a.b.c", parts[0] + "." + parts[1] + ".", strings.Repeat("a", 1<<16)} {
		if _, err := k.Read(s); err == nil {
			t.Errorf("%.20q is believed", s)
		}
	}
}

func sameBytes(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range x {
		p, err := base64.RawURLEncoding.DecodeString(x[i])
		q, _ := base64.RawURLEncoding.DecodeString(y[i])
		if err != nil || string(p) != string(q) {
			return false
		}
	}
	return len(x) == len(y)
}

// A token goes with what it is bound to, also when something of that name comes back.
func TestTokensEndWithWhatTheyAreBoundTo(t *testing.T) {
	l := foldtest.New()
	account, pod := events.Key{Resource: events.Accounts, Namespace: "shop", Name: "robot"}, events.Key{Resource: events.Pods, Namespace: "shop", Name: "p"}
	l.Create(account, `{}`)
	l.Create(pod, `{"spec":{"serviceAccountName":"robot"}}`)
	o, _ := l.State.Get(pod)
	b, err := badge.BindPod(l.State, o)
	if err != nil {
		t.Fatal(err)
	}
	c := badge.Claims{Bound: b}
	if err := badge.Current(l.State, c); err != nil {
		t.Error(err)
	}
	l.Remove(pod)
	if err := badge.Current(l.State, c); err == nil || !strings.Contains(err.Error(), `pods "p"`) {
		t.Errorf("without the pod: %v", err)
	}
	c.Bound.Pod = nil
	l.Remove(account)
	l.Spec(account, events.VerbCreated, "user:ann", 0, events.Created{UID: foldtest.UID(account, 2), Object: []byte(`{}`)})
	if err := badge.Current(l.State, c); err == nil {
		t.Error("another account of that name will do")
	}
	l.Remove(account)
	if _, err := badge.BindPod(l.State, o); err == nil || err.Error() != `serviceaccounts "robot" not found` {
		t.Errorf("without an account: %v", err)
	}
}

func TestKeysAreTheirOwnersAlone(t *testing.T) {
	dir, c := t.TempDir(), &clock{time.Now()}
	open(t, dir, c)
	file := filepath.Join(dir, "kube-accounts.key")
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", st, err)
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := badge.Open(dir, "x", c.now); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.WriteFile(file, []byte("no key"), 0o600); err != nil || os.Chmod(file, 0o600) != nil {
		t.Fatal(err)
	}
	if _, err := badge.Open(dir, "x", c.now); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "to have one made") {
		t.Errorf("rubbish: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if k, err := badge.Open(dir, "x", c.now); err != nil || !k.Made {
		t.Errorf("%+v, %v", k, err)
	}
	if k, err := badge.Open(dir, "x", c.now); err != nil || k.Made {
		t.Errorf("%+v, %v", k, err)
	}
}
