package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/bustest"
	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/events"
)

// sealing is a server that seals every 50 events and keeps 40 sealed ones hot.
func sealing(t testing.TB, dir string, said *[]string) *Server {
	t.Helper()
	var mu sync.Mutex
	s, err := Open(t.Context(), Options{Dir: dir, Name: "test", Reserve: 1 << 20, bounds: &bounds{50, 40, sealBytes, hotBytes}, Warn: func(l string) { t.Log(l) }, Progress: func(l string) {
		mu.Lock()
		defer mu.Unlock()
		if said != nil {
			*said = append(*said, l)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func grow(t testing.TB, l *Log, n int) {
	t.Helper()
	var last events.Seq
	for range n {
		k := events.Key{Resource: events.Pods, Namespace: "default", Name: fmt.Sprint("p", last%10)}
		seq, err := l.Append(t.Context(), []bus.Record{{Envelope: events.Envelope{Subject: events.SpecSubject(k), Type: "pods.changed", Version: 1, Body: []byte(`{}`)}}})
		if err != nil {
			t.Fatal(err)
		}
		last = seq
	}
	if err := l.WaitDurable(t.Context(), last); err != nil {
		t.Fatal(err)
	}
}

// sealedTo waits until so much is sealed and the stream is cut below it.
func sealedTo(t testing.TB, l *Log, seq events.Seq) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := l.About(t.Context(), events.Key{}); err != nil {
			t.Fatal(err)
		}
		_, sealed := l.archive.Bounds()
		hot, err := l.hot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if sealed == seq && hot.First == sealed-39 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("sealed up to %d, stream from %d, want %d", sealed, hot.First, seq)
		}
	}
}

func seqs(t testing.TB, l *Log, from events.Seq) []events.Seq {
	t.Helper()
	var out []events.Seq
	if err := l.Read(t.Context(), from, func(e events.Envelope) error { out = append(out, e.Seq); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

func upTo(from, to events.Seq) []events.Seq {
	var out []events.Seq
	for s := from; s <= to; s++ {
		out = append(out, s)
	}
	return out
}

// TestSealedLog is the conformance suite on a log of which most is sealed.
func TestSealedLog(t *testing.T) {
	bustest.Log(t, func(t *testing.T) bustest.LogUnderTest {
		s, err := Open(t.Context(), Options{Dir: t.TempDir(), Name: "test", Reserve: 1 << 20, bounds: &bounds{3, 2, sealBytes, hotBytes}, Warn: func(l string) { t.Log(l) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return bustest.LogUnderTest{Log: s.Log(), Cut: nil}
	})
}

// What is large is sealed, and cut from the stream, before there is much of it.
func TestLargeBodies(t *testing.T) {
	dir := t.TempDir()
	open := func() *Server {
		s, err := Open(t.Context(), Options{Dir: dir, Name: "test", Reserve: 1 << 20, bounds: &bounds{1000, 900, 4 << 20, 16 << 20}, Warn: func(l string) { t.Log(l) }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	l := s.Log()
	go func() { _ = l.Follow(t.Context(), 1, func(events.Envelope) error { return nil }) }() // as a cluster does
	body := bytes.Repeat([]byte("x"), 1<<20)
	most := 0
	for i := range 50 {
		k := events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: fmt.Sprint("c", i%3)}
		seq, err := l.Append(t.Context(), []bus.Record{{Envelope: events.Envelope{Subject: events.SpecSubject(k), Type: "configmaps.changed", Version: 1, Body: fmt.Appendf(nil, `{"n":%d,"x":%q}`, i, body)}}})
		if err == nil {
			err = l.WaitDurable(t.Context(), seq)
		}
		if err == nil {
			err = l.caughtUp(t.Context()) // a reader is ahead of the sealer by no more than this
		}
		if err != nil {
			t.Fatal(err)
		}
		l.tail.mu.Lock()
		most = max(most, l.tail.bytes)
		l.tail.mu.Unlock()
	}
	if most > 9<<20 {
		t.Errorf("%d bytes were in memory", most)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	defer s.Close()
	if got := seqs(t, s.Log(), 1); !slices.Equal(got, upTo(1, 50)) {
		t.Errorf("%d events are read", len(got))
	}
	if all := s.Log().archive.All(); len(all) < 10 {
		t.Errorf("%d segments", len(all))
	}
	if hot, err := s.Log().hot(t.Context()); err != nil || hot.First < 25 {
		t.Errorf("the stream begins at %d, %v", hot.First, err)
	}
}

// Segments and stream are read as one log, in order, while both move, and by
// the next process.
func TestOneReaderReadsBoth(t *testing.T) {
	dir := t.TempDir()
	s := sealing(t, dir, nil)
	l := s.Log()
	ctx, stop := context.WithCancel(t.Context())
	followed := make(chan []events.Seq, 1)
	go func() {
		var got []events.Seq
		_ = l.Follow(ctx, 1, func(e events.Envelope) error {
			got = append(got, e.Seq)
			if e.Seq == 1000 {
				stop()
			}
			return nil
		})
		followed <- got
	}()
	grow(t, l, 1000)
	select {
	case got := <-followed:
		if !slices.Equal(got, upTo(1, 1000)) {
			t.Errorf("followed %d events", len(got))
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the follower does not arrive")
	}
	sealedTo(t, l, 1000)
	for _, from := range []events.Seq{1, 49, 50, 51, 951, 961, 1000} {
		if got := seqs(t, l, from); !slices.Equal(got, upTo(from, 1000)) {
			t.Errorf("from %d: %d events", from, len(got))
		}
	}
	if b, err := l.Bounds(t.Context()); err != nil || b != (bus.Bounds{First: 1, Last: 1000}) {
		t.Errorf("bounds %+v, %v", b, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = sealing(t, dir, nil)
	defer s.Close()
	grow(t, s.Log(), 75)
	sealedTo(t, s.Log(), 1050)
	if got := seqs(t, s.Log(), 1); !slices.Equal(got, upTo(1, 1075)) {
		t.Errorf("%d events after a restart", len(got))
	}
}

// A log that was never sealed is, once a program comes that does it.
func TestAnOldLogIsSealed(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, nil)
	grow(t, s.Log(), 730)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = sealing(t, dir, nil)
	defer s.Close()
	sealedTo(t, s.Log(), 700)
	if got := seqs(t, s.Log(), 1); !slices.Equal(got, upTo(1, 730)) {
		t.Errorf("%d events", len(got))
	}
}

// A damaged segment is named at the start and never served. When the stream
// still has its events, they are sealed anew.
func TestDamagedSegments(t *testing.T) {
	for name, c := range map[string]struct {
		which int
		first events.Seq
	}{"in the middle": {5, 301}, "the newest, still in the stream": {19, 1}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := sealing(t, dir, nil)
			grow(t, s.Log(), 1000)
			sealedTo(t, s.Log(), 1000)
			if c.which == 19 { // the stream keeps 40: let it be as if the last cut had not come
				s.Log().bounds.hot = 1000
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(dir, segmentDir, "*.segment"))
			if err != nil || len(files) != 20 {
				t.Fatalf("%d segments, %v", len(files), err)
			}
			at := files[c.which]
			b, err := os.ReadFile(at)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)-20] ^= 1
			if err := os.WriteFile(at, b, 0o600); err != nil {
				t.Fatal(err)
			}
			var said []string
			s = sealing(t, dir, &said)
			defer s.Close()
			if !slices.ContainsFunc(said, func(l string) bool { return strings.Contains(l, at) && strings.Contains(l, "damaged") }) {
				t.Errorf("said %q", said)
			}
			b2, err := s.Log().Bounds(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if c.which == 19 {
				c.first = 961 // 951 to 960 are in no sound place
			}
			if b2.First != c.first {
				t.Errorf("the log begins at %d, want %d", b2.First, c.first)
			}
			var horizon *bus.HorizonError
			if err := s.Log().Read(t.Context(), c.first-1, func(events.Envelope) error { return nil }); !errors.As(err, &horizon) || horizon.First != c.first {
				t.Errorf("below: %v", err)
			}
			if got := seqs(t, s.Log(), c.first); !slices.Equal(got, upTo(c.first, 1000)) {
				t.Errorf("%d events are served", len(got))
			}
		})
	}
}

// What is damaged or missing of the segments comes back from the stream, as long
// as that has it: most clusters' whole log.
func TestSegmentsAreMendedFromTheStream(t *testing.T) {
	whole := t.TempDir()
	s := openTest(t, whole, nil)
	for range 3 {
		grow(t, s.Log(), 30)
		if _, err := s.Log().Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for which := range 3 {
		for what, spoil := range map[string]func(string) error{"truncated": func(at string) error { return os.Truncate(at, 100) }, "missing": os.Remove} {
			t.Run(fmt.Sprint(which, " ", what), func(t *testing.T) {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
				files, err := filepath.Glob(filepath.Join(dir, segmentDir, "*.segment"))
				if err != nil || len(files) != 3 {
					t.Fatalf("%d segments, %v", len(files), err)
				}
				if err := spoil(files[which]); err != nil {
					t.Fatal(err)
				}
				s := openTest(t, dir, nil)
				if b, err := s.Log().Bounds(t.Context()); err != nil || b != (bus.Bounds{First: 1, Last: 90}) {
					t.Errorf("bounds %+v, %v", b, err)
				}
				if got := seqs(t, s.Log(), 1); !slices.Equal(got, upTo(1, 90)) {
					t.Errorf("%d events are served", len(got))
				}
				grow(t, s.Log(), 1)
				if last, err := s.Log().Seal(t.Context()); err != nil || last != 91 {
					t.Errorf("sealed up to %d, %v", last, err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				a, err := segment.Open(Segments(dir), func(line string) { t.Error(line) })
				if err != nil {
					t.Fatal(err)
				}
				if first, last := a.Bounds(); first != 1 || last != 91 {
					t.Errorf("the segments are from %d to %d", first, last)
				}
			})
		}
	}
}
