package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
)

// WiresUnderTest are the two ends of a connection.
type WiresUnderTest struct {
	Server bus.Wires // may serve every subject
	Client bus.Wires // may ask as User
	User   string
	// Sever takes the client away without a word, as a kill -9 does.
	Sever func()
}

func (u WiresUnderTest) subject(verb string) string { return "req." + u.User + "." + verb }

// Wires runs the suite; open makes wires that nobody serves on yet.
func Wires(t *testing.T, open func(t *testing.T) WiresUnderTest) {
	for name, f := range map[string]func(*testing.T, WiresUnderTest){
		"answers requests":                 requests,
		"carries large requests":           largeRequests,
		"says when nobody serves":          nobody,
		"bounds what is answered at once":  manyRequests,
		"bounds what waits together":       manyWaiting,
		"waits for answers when stopped":   stopWaits,
		"feeds in order":                   feeds,
		"streams both ways and half-close": streams,
		"holds back a fast sender":         flowControl,
		"notices a lost peer":              lostPeer,
		"ends streams when stopped":        stopStreams,
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

func serve(t *testing.T, w bus.Wires, subject string, answer func(context.Context, bus.Request) []byte) (stop func()) {
	t.Helper()
	stop, err := w.Serve(subject, answer)
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

func echo(_ context.Context, r bus.Request) []byte { return append([]byte(r.From+" "), r.Body...) }

func requests(t *testing.T, u WiresUnderTest) {
	stop := serve(t, u.Server, "req.*.echo", echo)
	defer stop()
	for _, body := range []string{"", "hello"} {
		got, err := u.Client.Request(bounded(t), u.subject("echo"), []byte(body))
		if err != nil || string(got) != u.User+" "+body {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func largeRequests(t *testing.T, u WiresUnderTest) {
	stop := serve(t, u.Server, "req.*.echo", func(_ context.Context, r bus.Request) []byte { return r.Body })
	defer stop()
	for _, size := range []int{1 << 20, 1<<20 + 1, 9 << 20, bus.MaxRequest} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		got, err := u.Client.Request(bounded(t), u.subject("echo"), body)
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%d bytes came back as %d: %v", size, len(got), err)
		}
	}
	if _, err := u.Client.Request(bounded(t), u.subject("echo"), make([]byte, bus.MaxRequest+1)); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("a request over the limit: %v", err)
	}
}

func nobody(t *testing.T, u WiresUnderTest) {
	stop := serve(t, u.Server, "req.*.gone", echo)
	stop()
	for _, verb := range []string{"never", "gone"} {
		if _, err := u.Client.Request(bounded(t), u.subject(verb), nil); !errors.Is(err, bus.ErrNoServer) {
			t.Errorf("request %s: %v", verb, err)
		}
		if _, err := u.Client.Request(bounded(t), u.subject(verb), make([]byte, 3<<20)); !errors.Is(err, bus.ErrNoServer) {
			t.Errorf("large request %s: %v", verb, err)
		}
		if _, err := u.Client.Dial(bounded(t), u.subject(verb), nil); !errors.Is(err, bus.ErrNoServer) {
			t.Errorf("dial %s: %v", verb, err)
		}
	}
}

func manyRequests(t *testing.T, u WiresUnderTest) {
	if most := atOnce(t, u, u.Server.Serve, nil, 3*bus.MaxRequests, 2); most > bus.MaxRequests || most < 2 {
		t.Errorf("%d requests answered at once, at most %d", most, bus.MaxRequests)
	}
}

// manyWaiting: of small requests more are answered at once, of large ones not.
func manyWaiting(t *testing.T, u WiresUnderTest) {
	if most := atOnce(t, u, u.Server.ServeWaiting, nil, 2*bus.MaxWaiting, bus.MaxRequests+1); most > bus.MaxWaiting || most <= bus.MaxRequests {
		t.Errorf("%d requests answered at once, at most %d and more than %d", most, bus.MaxWaiting, bus.MaxRequests)
	}
	if most := atOnce(t, u, u.Server.ServeWaiting, make([]byte, bus.SmallRequest+1), 2*bus.MaxRequests, 2); most > bus.MaxRequests || most < 2 {
		t.Errorf("%d large requests answered at once, at most %d", most, bus.MaxRequests)
	}
}

type serving func(string, func(context.Context, bus.Request) []byte) (stop func(), err error)

// atOnce is how many of so many requests were answered at the same time. The answers wait until that were enough, as long as
// their askers do.
func atOnce(t *testing.T, u WiresUnderTest, serve serving, body []byte, requests, enough int) int {
	t.Helper()
	var now, most atomic.Int64
	reached := make(chan struct{})
	var once sync.Once
	patience := bounded(t)
	stop, err := serve("req.*.slow", func(context.Context, bus.Request) []byte {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		if int(n) >= enough {
			once.Do(func() { close(reached) })
		}
		select {
		case <-reached:
		case <-patience.Done():
		}
		time.Sleep(20 * time.Millisecond) // for others to come beside
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			if _, err := u.Client.Request(bounded(t), u.subject("slow"), body); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return int(most.Load())
}

func stopWaits(t *testing.T, u WiresUnderTest) {
	began, goOn := make(chan struct{}), make(chan struct{})
	stop := serve(t, u.Server, "req.*.slow", func(context.Context, bus.Request) []byte {
		close(began)
		<-goOn
		return []byte("done")
	})
	answer := make(chan string)
	go func() {
		got, err := u.Client.Request(bounded(t), u.subject("slow"), nil)
		answer <- fmt.Sprint(string(got), err)
	}()
	<-began
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	select {
	case <-stopped:
		t.Error("stop did not wait for the answer under way")
	case <-time.After(50 * time.Millisecond):
	}
	close(goOn)
	<-stopped
	if got := <-answer; got != "done<nil>" {
		t.Errorf("answer: %s", got)
	}
}

func feeds(t *testing.T, u WiresUnderTest) {
	const n = 1000
	got := make(chan bus.Message, n)
	stop, err := u.Client.Subscribe("live.>", func(m bus.Message) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		err := u.Server.Publish(bus.Message{Subject: "live.pods.default.a", Header: map[string]string{"Position": fmt.Sprint(i)}, Body: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		select {
		case m := <-got:
			if m.Header["Position"] != fmt.Sprint(i) || m.Subject != "live.pods.default.a" || string(m.Body) != "x" {
				t.Fatalf("message %d: %+v", i, m)
			}
		case <-bounded(t).Done():
			t.Fatalf("message %d did not come", i)
		}
	}
	stop()
	if err := u.Server.Publish(bus.Message{Subject: "live.pods.default.a"}); err != nil {
		t.Error(err)
	}
	select {
	case m := <-got:
		t.Errorf("after stop: %+v", m)
	case <-time.After(50 * time.Millisecond):
	}
}

func accept(t *testing.T, u WiresUnderTest, f func(context.Context, bus.Request, bus.Stream)) (bus.Stream, func()) {
	t.Helper()
	stop, err := u.Server.Accept("req.*.stream", f)
	if err != nil {
		t.Fatal(err)
	}
	s, err := u.Client.Dial(bounded(t), u.subject("stream"), []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	return s, stop
}

// streams sends until the end, and only then hears what came.
func streams(t *testing.T, u WiresUnderTest) {
	s, stop := accept(t, u, func(ctx context.Context, hello bus.Request, s bus.Stream) {
		var all []byte
		for {
			f, err := s.Recv(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Errorf("server: %v", err)
				return
			}
			all = append(all, f.Channel)
			all = append(all, f.Data...)
		}
		for _, b := range [][]byte{[]byte(hello.From), hello.Body, all} {
			if err := s.Send(ctx, bus.Frame{Channel: 7, Data: b}); err != nil {
				t.Errorf("server: %v", err)
			}
		}
	})
	defer stop()
	ctx := bounded(t)
	for _, f := range []bus.Frame{{Channel: 'a', Data: []byte("1")}, {Channel: 'b'}, {Channel: 'c', Data: []byte("23")}} {
		if err := s.Send(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Send(ctx, bus.Frame{}); err == nil {
		t.Error("sent after closing")
	}
	for _, want := range []string{u.User, "hello", "a1bc23"} {
		f, err := s.Recv(ctx)
		if err != nil || f.Channel != 7 || string(f.Data) != want {
			t.Fatalf("%d %q, %v, want %q", f.Channel, f.Data, err, want)
		}
	}
	for range 2 {
		if _, err := s.Recv(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
	}
}

// flowControl sends to a reader that does not read, then lets it.
func flowControl(t *testing.T, u WiresUnderTest) {
	const frame, total = 10_000, 8 << 20
	var sent atomic.Int64
	s, stop := accept(t, u, func(ctx context.Context, _ bus.Request, s bus.Stream) {
		for i := byte(0); sent.Load() < total; i++ {
			if err := s.Send(ctx, bus.Frame{Channel: i, Data: make([]byte, frame)}); err != nil {
				t.Errorf("server: %v", err)
				return
			}
			sent.Add(frame)
		}
		// more than the window at once must not wait for ever
		if err := s.Send(ctx, bus.Frame{Data: make([]byte, 2*bus.MaxWindow)}); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	defer stop()
	time.Sleep(200 * time.Millisecond)
	if n := sent.Load(); n > bus.MaxWindow || n < bus.MaxWindow/2 {
		t.Errorf("%d bytes sent to a reader that takes none, window %d", n, bus.MaxWindow)
	}
	got := 0
	for i := 0; ; i++ {
		f, err := s.Recv(bounded(t))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if got += len(f.Data); len(f.Data) == frame && f.Channel != byte(i) {
			t.Fatalf("frame %d came as %d", f.Channel, i)
		}
	}
	if want := int(sent.Load()) + 2*bus.MaxWindow; got != want {
		t.Errorf("%d bytes came of %d", got, want)
	}
}

func lostPeer(t *testing.T, u WiresUnderTest) {
	seen := make(chan error, 1)
	began := make(chan struct{})
	_, stop := accept(t, u, func(ctx context.Context, _ bus.Request, s bus.Stream) {
		close(began)
		_, err := s.Recv(context.WithoutCancel(ctx))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			t.Error("the stream is lost and its context goes on")
		}
		seen <- err
	})
	defer stop()
	<-began
	u.Sever()
	select {
	case err := <-seen:
		if !errors.Is(err, bus.ErrStreamLost) {
			t.Errorf("the peer went away and Recv said %v", err)
		}
	case <-time.After(bus.StreamSilence + 5*time.Second):
		t.Error("nobody noticed that the peer went away")
	}
}

func stopStreams(t *testing.T, u WiresUnderTest) {
	s, stop := accept(t, u, func(ctx context.Context, _ bus.Request, s bus.Stream) { <-ctx.Done() })
	stop()
	if _, err := s.Recv(bounded(t)); !errors.Is(err, io.EOF) {
		t.Errorf("the server stopped in order and Recv said %v", err)
	}
}
