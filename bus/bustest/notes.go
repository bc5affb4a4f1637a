package bustest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// Notes runs the suite; open makes notes without any in them.
func Notes(t *testing.T, open func(t *testing.T) bus.Notes) {
	for name, f := range map[string]func(*testing.T, bus.Notes){
		"keeps the newest of a subject":       newest,
		"refuses who does not know the last":  guards,
		"takes away and forgets":              forgets,
		"tells who follows of what comes":     notesFollowed,
		"lets one of many writers of one win": notesRaced,
		"holds its limit":                     notesLimited,
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

func note(n int) events.Subject {
	return events.NoteSubject(events.Key{Resource: events.Leases, Namespace: "default", Name: fmt.Sprint("l.", n)})
}

func put(t *testing.T, n bus.Notes, s events.Subject, body string, last events.Seq) events.Seq {
	t.Helper()
	seq, err := n.Put(bounded(t), s, []byte(body), last)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

var errTold = errors.New("told enough")

// told is what a new follower hears until it has heard of seq.
func told(t *testing.T, n bus.Notes, seq events.Seq) map[events.Subject]string {
	t.Helper()
	out, last := map[events.Subject]string{}, events.Seq(0)
	err := n.Follow(bounded(t), func(x bus.Note) error {
		if x.Seq <= last {
			t.Errorf("note %d after %d", x.Seq, last)
		}
		if last = x.Seq; x.Time.IsZero() {
			t.Errorf("note %d has no time", x.Seq)
		}
		out[x.Subject] = string(x.Body)
		if x.Seq >= seq {
			return errTold
		}
		return nil
	})
	if !errors.Is(err, errTold) {
		t.Fatal(err)
	}
	return out
}

func newest(t *testing.T, n bus.Notes) {
	last := map[events.Subject]events.Seq{}
	var end events.Seq
	for i := range 50 {
		s := note(i % 5)
		end = put(t, n, s, fmt.Sprint(i), last[s])
		last[s] = end
	}
	got := told(t, n, end)
	for i := range 5 {
		if got[note(i)] != fmt.Sprint(45+i) {
			t.Errorf("%s is %q", note(i), got[note(i)])
		}
	}
	if l, err := n.Last(bounded(t)); err != nil || l != end {
		t.Errorf("last is %d, %v, want %d", l, err, end)
	}
}

func guards(t *testing.T, n bus.Notes) {
	first := put(t, n, note(1), "a", 0)
	for _, wrong := range []events.Seq{0, first + 1} {
		_, err := n.Put(bounded(t), note(1), []byte("b"), wrong)
		var conflict *bus.ConflictError
		if !errors.As(err, &conflict) || conflict.Subject != note(1) {
			t.Errorf("expecting %d: %v", wrong, err)
		}
	}
	if second := put(t, n, note(1), "b", first); second <= first {
		t.Errorf("%d after %d", second, first)
	}
}

func forgets(t *testing.T, n bus.Notes) {
	first := put(t, n, note(1), "a", 0)
	gone := put(t, n, note(1), "", first)
	other := put(t, n, note(2), "b", 0)
	if got := told(t, n, other); got[note(1)] != "" || got[note(2)] != "b" {
		t.Errorf("told %v", got)
	}
	if err := n.Forget(bounded(t), gone); err != nil {
		t.Fatal(err)
	}
	if err := n.Forget(bounded(t), gone); err != nil {
		t.Errorf("forgotten twice: %v", err)
	}
	if got := told(t, n, other); len(got) != 1 {
		t.Errorf("told %v", got)
	}
	if again := put(t, n, note(1), "c", 0); again <= other {
		t.Errorf("%d after %d", again, other)
	}
}

func notesFollowed(t *testing.T, n bus.Notes) {
	ctx, cancel := context.WithCancel(bounded(t))
	heard, done := make(chan bus.Note, 100), make(chan error, 1)
	go func() {
		done <- n.Follow(ctx, func(x bus.Note) error { heard <- x; return nil })
	}()
	for i := range 20 {
		seq := put(t, n, note(i), "x", 0)
		if x := <-heard; x.Seq != seq || x.Subject != note(i) || string(x.Body) != "x" {
			t.Errorf("heard %+v, want %d", x, seq)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func notesRaced(t *testing.T, n bus.Notes) {
	ctx := bounded(t)
	for round := range 20 {
		var wins sync.Map
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				if _, err := n.Put(ctx, note(round), []byte("x"), 0); err == nil {
					wins.Store(w, true)
				}
			})
		}
		all.Wait()
		count := 0
		wins.Range(func(any, any) bool { count++; return true })
		if count != 1 {
			t.Fatalf("%d writers won", count)
		}
	}
}

func notesLimited(t *testing.T, n bus.Notes) {
	if _, err := n.Put(bounded(t), note(1), []byte(strings.Repeat("x", bus.MaxNote+1)), 0); !errors.Is(err, bus.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	put(t, n, note(1), strings.Repeat("x", bus.MaxNote), 0)
}
