package projections

import (
	"slices"
	"time"

	"github.com/stave-run/stave/events"
)

// Wish is a change under way that is larger than one append: what it leads to
// stands in the log, and so does how much of that has been appended. It is
// forgotten with its last event.
type Wish struct {
	Actor   events.Actor
	ID      events.ChangeID
	Asked   Mark
	Now     time.Time // when it was decided
	Message string
	Of      int             // how many events it leads to
	Then    []events.Wanted // they, in order
	Done    int             // how many of them are in the log
}

// Rest is what is still to be appended, at most so many.
func (w *Wish) Rest(most int) []events.Wanted { return w.Then[w.Done:min(len(w.Then), w.Done+most)] }

// Wishes are the changes that are not carried out to their end yet, oldest first.
func (s State) Wishes() []*Wish {
	if s.wishes.len() == 0 {
		return nil
	}
	var out []*Wish
	for w := range s.wishes.below("") {
		if len(w.Then) == w.Of {
			out = append(out, w)
		}
	}
	slices.SortFunc(out, func(a, b *Wish) int { return int(int64(a.Asked.Seq) - int64(b.Asked.Seq)) })
	return out
}

// asked folds a part of what a wish leads to.
func (f *folding) asked() {
	b, ok := body[events.Asked](f)
	if !ok {
		return
	}
	at := wishKey(f.e.Actor, f.e.Change)
	w := Wish{Actor: f.e.Actor, ID: f.e.Change, Asked: f.mark(), Now: f.e.Now, Message: f.e.Message, Of: b.Of}
	if had, ok := f.s.wishes.get(at); ok && b.From > 0 {
		w = *had
	}
	if f.e.Change == "" || b.From != len(w.Then) || b.From+len(b.Then) > b.Of || w.Of != b.Of {
		f.drop() // a part that does not go on where the last one ended
		return
	}
	w.Then = slices.Concat(w.Then, b.Then)
	f.s.wishes = f.s.wishes.with(at, &w)
}

// advance counts an event that a wish leads to. It counts whatever the fold then
// makes of it: what was appended is not appended again.
func (s State) advance(e events.Envelope) State {
	if s.wishes.len() == 0 || e.Change == "" {
		return s
	}
	at := wishKey(e.Actor, e.Change)
	w, ok := s.wishes.get(at)
	if !ok || w.Done == len(w.Then) || w.Then[w.Done].Op != e.Op {
		return s
	}
	n := *w
	if n.Done++; n.Done == n.Of {
		s.wishes = s.wishes.without(at)
		return s
	}
	s.wishes = s.wishes.with(at, &n)
	return s
}

func wishKey(actor events.Actor, id events.ChangeID) string {
	return string(actor) + "\x00" + string(id)
}
