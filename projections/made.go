package projections

import (
	"iter"
	"time"

	"github.com/stave-run/stave/events"
)

// MaxMade is how many changes of people are remembered at least; twice as many at
// most. An older one is found by a sequence.
const MaxMade = 2048

// Made is what the log has of one change of a person.
type Made struct {
	Actor       events.Actor
	ID          events.ChangeID // empty for what was written before changes had ids
	First, Last events.Seq      // of its events
	Time        time.Time       // of the first
	Count       int             // of its events
}

// is tells whether an event belongs to the change.
func (m Made) is(actor events.Actor, id events.ChangeID) bool {
	return id != "" && m.ID == id && m.Actor == actor
}

// madeList holds changes, the newest in front. It is shared by the states that
// came after each of its rows: a row is never changed.
type madeList struct {
	row  Made
	rest *madeList
	long int
}

// push puts a row in front.
func (l *madeList) push(m Made) *madeList {
	n := &madeList{row: m, rest: l, long: 1}
	if l != nil {
		n.long += l.long
	}
	return n
}

func (l *madeList) len() int {
	if l == nil {
		return 0
	}
	return l.long
}

func (l *madeList) all() iter.Seq[Made] {
	return func(yield func(Made) bool) {
		for ; l != nil; l = l.rest {
			if !yield(l.row) {
				return
			}
		}
	}
}

// noteMade remembers what a person changed, in two generations, so that
// forgetting costs nothing. The events of one change mostly come one after the
// other; where they do not, it has several rows.
func (s State) noteMade(e events.Envelope) State {
	if !e.Wished() {
		return s
	}
	if s.made != nil && s.made.row.is(e.Actor, e.Change) {
		m := s.made.row
		m.Last = e.Seq
		m.Count++
		s.made = s.made.rest.push(m)
		return s
	}
	if s.made.len() >= MaxMade {
		s.oldMade, s.made = s.made, nil
	}
	s.made = s.made.push(Made{Actor: e.Actor, ID: e.Change, First: e.Seq, Last: e.Seq, Time: s.Time, Count: 1})
	return s
}

// LastMade are the changes that are remembered, the newest first.
func (s State) LastMade() []Made {
	type wish struct {
		actor events.Actor
		id    events.ChangeID
	}
	var out []Made
	at := map[wish]int{}
	for _, list := range []*madeList{s.made, s.oldMade} {
		for m := range list.all() {
			i, again := at[wish{m.Actor, m.ID}]
			if again && m.ID != "" {
				out[i].First, out[i].Time, out[i].Count = m.First, m.Time, out[i].Count+m.Count
				continue
			}
			at[wish{m.Actor, m.ID}] = len(out)
			out = append(out, m)
		}
	}
	return out
}

// MadeBy finds a change among those that are remembered.
func (s State) MadeBy(actor events.Actor, id events.ChangeID) (Made, bool) {
	for _, m := range s.LastMade() {
		if m.is(actor, id) {
			return m, true
		}
	}
	return Made{}, false
}
