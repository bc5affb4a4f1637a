package jetstream

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// The janitor's cut takes segments and stream alike; what is left is one log,
// for this process and the next.
func TestCut(t *testing.T) {
	dir := t.TempDir()
	s := sealing(t, dir, nil)
	l := s.Log()
	grow(t, l, 475)
	sealedTo(t, l, 450)
	first := l.Boundary(time.Now())
	if first != 401 {
		t.Fatalf("the newest boundary is %d", first)
	}
	if early := l.Boundary(time.Time{}); early != 0 {
		t.Errorf("before all there was, the boundary is %d", early)
	}
	if err := l.Cut(t.Context(), 460); err == nil {
		t.Error("what is not sealed was cut")
	}
	// 430 lies in the stream and in the middle of a segment: the segment stays.
	for _, c := range []struct{ at, begins events.Seq }{{201, 201}, {430, 401}} {
		if err := l.Cut(t.Context(), c.at); err != nil {
			t.Fatal(err)
		}
		if got := seqs(t, l, c.begins); !slices.Equal(got, upTo(c.begins, 475)) {
			t.Errorf("cut at %d: %d events are left", c.at, len(got))
		}
		var horizon *bus.HorizonError
		if err := l.Read(t.Context(), c.begins-1, func(events.Envelope) error { return nil }); !errors.As(err, &horizon) || horizon.First != c.begins {
			t.Errorf("cut at %d, below it: %v", c.at, err)
		}
	}
	if _, err := l.Append(t.Context(), []bus.Record{bus.Expecting(events.Envelope{Subject: "log.spec.pods.default.p0", Type: "pods.changed", Version: 1, Body: []byte(`{}`)}, 999)}); !isConflict(err) {
		t.Errorf("a stale writer after the cut: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var said []string
	s = sealing(t, dir, &said)
	defer s.Close()
	if got := seqs(t, s.Log(), 401); !slices.Equal(got, upTo(401, 475)) {
		t.Errorf("%d events after a restart; said %q", len(got), said)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, segmentDir, "*.segment")); len(left) != 1 {
		t.Errorf("left %v", left)
	}
	if seq, err := s.Log().Append(t.Context(), []bus.Record{bus.Expecting(events.Envelope{Subject: "log.spec.pods.default.new", Type: "pods.created", Version: 1, Body: []byte(`{}`)}, 0)}); err != nil || seq != 476 {
		t.Errorf("appended %d, %v", seq, err)
	}
}

// A death between the two halves of a cut leaves a whole log.
func TestHalfACut(t *testing.T) {
	dir := t.TempDir()
	s := sealing(t, dir, nil)
	grow(t, s.Log(), 475)
	sealedTo(t, s.Log(), 450)
	if err := s.Log().cutStream(t.Context(), 440); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, segmentDir, "*.segment"))
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	var said []string
	s = sealing(t, dir, &said)
	defer s.Close()
	if got := seqs(t, s.Log(), 51); !slices.Equal(got, upTo(51, 475)) {
		t.Errorf("%d events; said %q", len(got), said)
	}
}

// Readers beside cuts get all that is there from where they are, or are told of
// the horizon; nobody reads over a hole.
func TestReadersBesideCuts(t *testing.T) {
	s := sealing(t, t.TempDir(), nil)
	defer s.Close()
	l := s.Log()
	grow(t, l, 2000)
	sealedTo(t, l, 2000)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	for n := range 3 {
		all.Go(func() {
			for turn := events.Seq(n); ctx.Err() == nil; turn++ {
				next := 1 + turn*97%1900
				err := l.Read(ctx, next, func(e events.Envelope) error {
					if e.Seq != next {
						t.Errorf("got %d, want %d", e.Seq, next)
						return errEnd
					}
					next++
					return nil
				})
				var horizon *bus.HorizonError
				if err != nil && ctx.Err() == nil && !errors.As(err, &horizon) {
					t.Errorf("read from %d: %v", next, err)
				}
				if _, err := l.About(ctx, events.Key{Resource: events.Pods, Namespace: "default", Name: "p1"}); err != nil && ctx.Err() == nil {
					t.Errorf("look in the index: %v", err)
				}
			}
		})
	}
	for first := events.Seq(51); first <= 1901; first += 50 {
		if err := l.Cut(ctx, first); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	all.Wait()
}
