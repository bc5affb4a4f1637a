package run

import (
	"fmt"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
)

// A key that was cut short waits for the others, and not for ever, however many there are.
func TestLongKeysWaitButNotForEver(t *testing.T) {
	p := &probe{name: "probe"}
	p.decide = func(_ reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
		return reconcilers.Decision{More: k == conf("big")}
	}
	w, s := probed(t, p)
	lease(w, s)
	w.Apply(conf("big"), `{}`)
	work, _ := s.Next(w.State, w.Now)
	s.Done(work, 0, nil)
	if s.Mixed() {
		t.Error("there is nothing beside the long one")
	}
	for i := range 3 * maxRow {
		w.Apply(conf(fmt.Sprint("small", i)), `{}`)
	}
	if !s.Mixed() {
		t.Fatal("the long one and the others are not told apart")
	}
	since := 0
	for range 3 * maxRow {
		if work, _ = s.Next(w.State, w.Now); work.Key == conf("big") {
			since = 0
		} else if since++; since > maxRow {
			t.Fatalf("%d others in a row", since)
		}
		s.Done(work, 0, nil)
	}
	for s.Mixed() {
		if work, _ = s.NextBrief(w.State, w.Now); work.Key == conf("big") {
			t.Fatal("the long one is among the brief ones")
		}
		s.Done(work, 0, nil)
	}
	if _, ok := s.NextBrief(w.State, w.Now); ok || s.Idle() {
		t.Error("what was cut short is forgotten, or brief")
	}
}
