package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// many is a wish for n maps.
func many(id string, n int) Request {
	return Request{Actor: "user:ann", ID: id, Change: events.ChangeID(id), Message: "many", Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
		var out []reconcilers.Draft
		for i := range n {
			out = append(out, reconcilers.Create(conf(fmt.Sprintf("%s-%d", id, i)), events.Created{Object: []byte(`{}`)}))
		}
		return out, nil
	}}
}

func made(v projections.State) (n int) {
	for range v.List(events.ConfigMaps, "") {
		n++
	}
	return n
}

// A wish of more events than one append holds is in the log before its first
// event, and all of it lands, whatever becomes of acknowledgements.
func TestLargeWish(t *testing.T) {
	for name, fates := range map[string][]mishap{
		"calm": nil, "the wish is lost": {lost}, "the wish is not acknowledged": {silent}, "a batch is lost": {nil, nil, lost},
		"a batch is not acknowledged": {nil, nil, silent}, "the last batch is not acknowledged": {nil, nil, nil, silent},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			r.eventually(t, "leading", func(v projections.State) bool { return v.Holder == "me" })
			r.log.next(fates...)
			got, err := r.Submit(t.Context(), many("w", 2500))
			if err != nil || len(got) != 2500 {
				t.Fatalf("%d events, %v", len(got), err)
			}
			v := r.src.Ahead()
			if made(v) != 2500 || len(v.Wishes()) != 0 || v.Void != 0 {
				t.Errorf("%d made, %d wishes, %d void", made(v), len(v.Wishes()), v.Void)
			}
			for i, e := range got {
				o, _ := v.Get(conf(fmt.Sprintf("w-%d", i)))
				if o.Created.Seq != e.Seq || e.Change != "w" {
					t.Fatalf("%d: made at %d, answered %d of %q", i, o.Created.Seq, e.Seq, e.Change)
				}
			}
			if again, err := r.Submit(t.Context(), many("w", 2500)); err != nil || len(again) != 2500 || again[7].Seq != got[7].Seq || made(r.src.Ahead()) != 2500 {
				t.Errorf("a retry: %d events, %v", len(again), err)
			}
		})
	}
}

// Whoever takes the lease finishes what the holder before left in the middle,
// before it decides anything else.
func TestNextHolderFinishesAWish(t *testing.T) {
	r := start(t)
	r.eventually(t, "leading", func(v projections.State) bool { return v.Holder == "me" })
	dead := func(func() (events.Seq, error)) (events.Seq, error) { return 0, context.Canceled }
	r.log.next(nil, nil, dead) // the wish, one batch, and the end of the process
	if _, err := r.Submit(t.Context(), many("w", 2500)); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	<-r.end
	r.end <- nil
	if v := r.src.Ahead(); made(v) != 1000 || len(v.Wishes()) != 1 || v.Wishes()[0].Done != 1000 {
		t.Fatalf("%d made, wishes %+v", made(v), v.Wishes())
	}
	next, err := NewLoop(Config{Cluster: "c", Holder: "next", Log: r.log, Source: r.src, Clock: Wall{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- next.Run(ctx) }()
	if _, err := next.Submit(t.Context(), wish("other", conf("other"))); err != nil {
		t.Fatal(err)
	}
	v := r.src.Ahead()
	if o, _ := v.Get(conf("other")); made(v) != 2501 || len(v.Wishes()) != 0 || o.Created.Seq != v.Seq {
		t.Errorf("%d made, %d wishes, the next one's at %d of %d", made(v), len(v.Wishes()), o.Created.Seq, v.Seq)
	}
	stop()
	<-over
}

// What cannot be appended now is appended when it can; meanwhile the loop answers.
func TestWishWaitsForAFullLog(t *testing.T) {
	r := start(t)
	r.eventually(t, "leading", func(v projections.State) bool { return v.Holder == "me" })
	full := func(func() (events.Seq, error)) (events.Seq, error) { return 0, bus.ErrFull }
	r.log.next(nil, nil, full)
	if _, err := r.Submit(t.Context(), many("w", 2500)); !errors.Is(err, bus.ErrFull) {
		t.Fatal(err)
	}
	if _, err := r.Submit(t.Context(), wish("other", conf("other"))); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "all of it", func(v projections.State) bool { return made(v) == 2501 && len(v.Wishes()) == 0 })
}

func TestWishHasABound(t *testing.T) {
	r := start(t)
	if _, err := r.Submit(t.Context(), many("w", bus.MaxChange+1)); !errors.Is(err, bus.ErrTooLarge) || made(r.src.Ahead()) != 0 {
		t.Errorf("%v", err)
	}
}
