package why

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/table"
)

// Tree is an event with all that followed from it, as far as it was read.
type Tree struct {
	Event events.Envelope
	Below []*Tree // in the order of the log
}

// Forest makes one tree a cause of a stretch of the log, in the order of their
// roots. What was caused before the stretch begins has its root in it.
func Forest(log []events.Envelope) []*Tree {
	var out []*Tree
	at := make(map[events.Seq]*Tree, len(log))
	for _, e := range log {
		t := &Tree{Event: e}
		at[e.Seq] = t
		if up, ok := at[causeOf(e)]; ok {
			up.Below = append(up.Below, t)
			continue
		}
		out = append(out, t)
	}
	return out
}

// causeOf is the event that led to one. A node's facts name no cause; they
// follow from the assignment that they are about.
func causeOf(e events.Envelope) events.Seq {
	if e.Subject.Class() != "seen" {
		return e.Cause
	}
	if b, err := events.Decode[events.Seen](e); err == nil && len(b.Pods) > 0 {
		return b.Pods[0].Assigned
	}
	return 0
}

// Any tells whether an event of the tree is one of those.
func (t *Tree) Any(is func(events.Envelope) bool) bool {
	return is(t.Event) || slices.ContainsFunc(t.Below, func(b *Tree) bool { return b.Any(is) })
}

// In tells whether an event is about something in a namespace; the empty one is
// all of them.
func In(e events.Envelope, namespace string) bool {
	k, err := e.Subject.Key()
	if namespace == "" || err == nil && k.Namespace == namespace {
		return true
	}
	return slices.ContainsFunc(events.PodsIn(e), func(k events.Key) bool { return k.Namespace == namespace })
}

// Lines are the tree for people: a line an event, what followed from it below it.
func (t *Tree) Lines(now time.Time) []string {
	return t.lines(now, "", "")
}

func (t *Tree) lines(now time.Time, first, rest string) []string {
	e := t.Event
	out := []string{fmt.Sprintf("%s%d  %s  %s  %s", first, e.Seq, table.Age(now.Sub(e.Time)), who(e), withMessage(strings.ReplaceAll(Words(e, events.Key{}), "\n", " "), e.Message))}
	for i, b := range t.Below {
		if i == len(t.Below)-1 {
			out = append(out, b.lines(now, rest+"└─ ", rest+"   ")...)
			continue
		}
		out = append(out, b.lines(now, rest+"├─ ", rest+"│  ")...)
	}
	return out
}
