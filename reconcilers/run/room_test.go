package run

import (
	"errors"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// While the log's disk is nearly full, people may delete and nothing else; what
// nodes and controllers have to say is let in.
func TestPeopleWaitForRoom(t *testing.T) {
	r := start(t)
	if _, err := r.Submit(t.Context(), wish("1", conf("a"))); err != nil {
		t.Fatal(err)
	}
	full := &bus.FullError{Dir: "/data", Free: 1 << 20, Need: 32 << 20}
	r.onLoop(t, func() { r.Room = func() error { return full } })
	if _, err := r.Submit(t.Context(), wish("2", conf("b"))); !errors.Is(err, bus.ErrFull) {
		t.Errorf("a person's request is answered with %v", err)
	}
	nodes := wish("3", conf("c"))
	nodes.Actor = events.NodeActor("n1")
	if _, err := r.Submit(t.Context(), nodes); err != nil {
		t.Errorf("a node is refused: %v", err)
	}
	gone := wish("4", conf("a"))
	gone.Decide = func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
		o, _ := v.Get(conf("a"))
		return []reconcilers.Draft{reconcilers.Remove(o)}, nil
	}
	if _, err := r.Submit(t.Context(), gone); err != nil {
		t.Errorf("a deletion is refused: %v", err)
	}
	r.eventually(t, "removed", func(v projections.State) bool { _, ok := v.Get(conf("a")); return !ok })
	r.onLoop(t, func() { r.Room = func() error { return nil } })
	if _, err := r.Submit(t.Context(), wish("5", conf("b"))); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

// onLoop does something in the loop's own goroutine.
func (r *running) onLoop(t *testing.T, do func()) {
	t.Helper()
	_, err := r.Submit(t.Context(), Request{Actor: "user:test", ID: "on loop", Decide: func(reconcilers.View, time.Time) ([]reconcilers.Draft, error) {
		do()
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}
