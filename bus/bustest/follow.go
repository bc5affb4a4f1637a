package bustest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

var errEnough = errors.New("enough")

// follow reads behind several concurrent writers, from the start and from the
// middle, and wants every sequence once.
func follow(t *testing.T, u LogUnderTest) {
	const writers, each = 4, 250
	const total = 100 + writers*each
	ctx := bounded(t)
	must(t, u.Log, numbered(0, 100))
	var wg sync.WaitGroup
	for _, from := range []events.Seq{0, 1, 50, 101} {
		wg.Go(func() {
			next := max(from, 1)
			err := u.Log.Follow(ctx, from, func(e events.Envelope) error {
				if e.Seq != next {
					return fmt.Errorf("got %d, want %d", e.Seq, next)
				}
				if next++; next > total {
					return errEnough
				}
				return nil
			})
			if !errors.Is(err, errEnough) {
				t.Errorf("follow from %d: %v", from, err)
			}
		})
	}
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := u.Log.Append(ctx, []bus.Record{{Envelope: event(fmt.Sprintf("w%d-%d", w, i))}}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func readBounds(t *testing.T, u LogUnderTest) {
	if got := all(t, u.Log); len(got) != 0 {
		t.Errorf("read %d events of an empty log", len(got))
	}
	must(t, u.Log, numbered(0, 10))
	ctx := bounded(t)
	var got []events.Seq
	err := u.Log.Read(ctx, 4, func(e events.Envelope) error {
		got = append(got, e.Seq)
		_, err := u.Log.Append(ctx, plain("later")) // what comes while reading is not read
		return err
	})
	if err != nil || len(got) != 7 || got[0] != 4 || got[6] != 10 {
		t.Errorf("read from 4: %v, %v", got, err)
	}
	if err := u.Log.Read(ctx, 3, func(events.Envelope) error { return errEnough }); !errors.Is(err, errEnough) {
		t.Errorf("the reader's error came back as %v", err)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	if err := u.Log.Follow(short, 1, func(events.Envelope) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("follow with an ended context: %v", err)
	}
}

func starts(t *testing.T, u LogUnderTest) {
	ctx := bounded(t)
	must(t, u.Log, numbered(0, 10))
	nothing := func(e events.Envelope) error { return fmt.Errorf("got %d", e.Seq) }
	var future *bus.FutureError
	if err := u.Log.Read(ctx, 12, nothing); !errors.As(err, &future) || future.Asked != 12 || future.Last != 10 {
		t.Errorf("read from the future: %v", err)
	}
	if err := u.Log.Follow(ctx, 12, nothing); !errors.As(err, &future) {
		t.Errorf("follow from the future: %v", err)
	}
	if err := u.Log.Read(ctx, 11, nothing); err != nil {
		t.Errorf("read from the end: %v", err)
	}
	if u.Cut == nil {
		return
	}
	cut(t, u, 6)
	var horizon *bus.HorizonError
	if err := u.Log.Read(ctx, 5, nothing); !errors.As(err, &horizon) || horizon.First != 6 || horizon.Asked != 5 {
		t.Errorf("read below the horizon: %v", err)
	}
	if err := u.Log.Follow(ctx, 1, nothing); !errors.As(err, &horizon) {
		t.Errorf("follow below the horizon: %v", err)
	}
	var got []events.Seq
	if err := u.Log.Read(ctx, 6, func(e events.Envelope) error { got = append(got, e.Seq); return nil }); err != nil || len(got) != 5 {
		t.Errorf("read from the horizon: %v, %v", got, err)
	}
	if _, err := u.Log.Append(ctx, []bus.Record{bus.Expecting(event("p1"), 0)}); err != nil {
		t.Errorf("a subject that was cut off does not expect 0: %v", err)
	}
	if _, err := u.Log.Append(ctx, []bus.Record{bus.Expecting(event("p2"), 2)}); err != nil {
		t.Errorf("a writer that remembers what was cut off: %v", err)
	}
	if _, err := u.Log.Append(ctx, []bus.Record{bus.Expecting(event("p2"), 2)}); !isConflict(err) {
		t.Errorf("a writer that remembers what was cut off and missed what came after: %v", err)
	}
	cut(t, u, 13)
	if b, err := u.Log.Bounds(ctx); err != nil || b != (bus.Bounds{First: 13, Last: 12}) {
		t.Errorf("bounds when all was cut: %+v, %v", b, err)
	}
	if seq := must(t, u.Log, plain("next")); seq != 13 {
		t.Errorf("sequence ran back to %d", seq)
	}
}

func cut(t *testing.T, u LogUnderTest, first events.Seq) {
	t.Helper()
	if err := u.Cut(bounded(t), first); err != nil {
		t.Fatal(err)
	}
}

func durability(t *testing.T, u LogUnderTest) {
	ctx := bounded(t)
	for i := range 20 {
		seq := must(t, u.Log, numbered(i, 1+i%3))
		last := seq + events.Seq(i%3)
		if err := u.Log.WaitDurable(ctx, last); err != nil {
			t.Fatal(err)
		}
		if d := u.Log.Durable(); d < last {
			t.Fatalf("watermark %d after waiting for %d", d, last)
		}
	}
	b, err := u.Log.Bounds(ctx)
	if err != nil || u.Log.Durable() > b.Last {
		t.Errorf("watermark %d beyond the log's end %d, %v", u.Log.Durable(), b.Last, err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := u.Log.WaitDurable(short, b.Last+1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for what is not there: %v", err)
	}
}

func closing(t *testing.T, u LogUnderTest) {
	ctx := bounded(t)
	must(t, u.Log, plain("a"))
	began, ended := make(chan struct{}), make(chan error, 2)
	go func() {
		ended <- u.Log.Follow(ctx, 1, func(events.Envelope) error { close(began); return nil })
	}()
	go func() { ended <- u.Log.WaitDurable(ctx, 99) }()
	<-began
	for range 2 {
		if err := u.Log.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, bus.ErrClosed) {
			t.Errorf("what was under way ended with %v", err)
		}
	}
	if _, err := u.Log.Append(ctx, plain("b")); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("append to a closed log: %v", err)
	}
	if err := u.Log.Read(ctx, 1, func(events.Envelope) error { return nil }); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("read a closed log: %v", err)
	}
}

func isConflict(err error) bool {
	var conflict *bus.ConflictError
	return errors.As(err, &conflict)
}
