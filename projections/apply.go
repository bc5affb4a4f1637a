package projections

import (
	"time"

	"github.com/stave-run/stave/events"
)

// Change is one row that an event changed. Before is nil for a new row, After
// for one that is gone. PodBefore and PodAfter are set for pods.
type Change struct {
	Key                 events.Key
	Before, After       *Object
	PodBefore, PodAfter *Pod
	Position            events.Position
}

// Apply folds one event. It returns the new state and the rows that the event
// changed, in the order of their positions. A void or unknown event changes no
// row; it is counted.
//
// e must be the event after s.Seq; Apply does not look for gaps.
func Apply(s State, e events.Envelope) (State, []Change) {
	s.open() // what one event changes in a table twice is copied once
	s, changes := apply(s, e, nil)
	s.allow(0)
	return s, changes
}

// apply is Apply that has room for the changes already.
func apply(s State, e events.Envelope, room []Change) (State, []Change) {
	s.Seq = e.Seq
	s = s.advanceTo(e.Time)
	if e.Type == events.LeaseTaken {
		return s.takeLease(e), nil
	}
	if e.Epoch != 0 && e.Epoch < s.Epoch {
		s.Void++ // written by somebody who had lost the lease
		return s.lastOf(e), nil
	}
	if e.Epoch != 0 && e.Subject.Class() != "seen" {
		s = s.advanceTo(e.Now) // the writer's time goes on where the log's stands still, because a clock was set back
	}
	if e.Version > events.Version {
		s.Unknown++ // a newer program wrote it: its meaning, void rules too, is not known here
		return s.lastOf(e), nil
	}
	s = s.advance(e)
	f := folding{s: s, e: e, changes: room}
	switch e.Subject.Class() {
	case "spec":
		f.spec()
	case "template":
		f.template()
	case "assign":
		f.assign()
	case "seen":
		f.seen()
	case "status":
		f.status()
	case "verdict":
		f.verdict()
	case "change":
		f.asked()
	case "cut":
		f.cut()
	default:
		f.unknown()
	}
	if f.void {
		s.Void++
		return s.lastOf(e), nil
	}
	f.judge()
	f.lapse()
	if !f.noted {
		f.s = f.s.lastOf(e)
	}
	return f.s.noteOp(e).noteMade(e), f.changes
}

// advanceTo is the state at a time: fold time never runs back.
func (s State) advanceTo(t time.Time) State {
	if t.After(s.Time) {
		s.Time = t
	}
	return s
}

// folding is one Apply under way.
type folding struct {
	s       State
	e       events.Envelope
	changes []Change
	at      map[events.Key]int // where a row's change stands in changes, once they are many
	about   events.Key         // the object whose spec subject the event stands on, if one
	noted   bool               // its row says so
	void    bool
}

// mark is the present moment in fold time: the event's own time may lie before
// that of the events before it, when a clock was set back.
func (f *folding) mark() Mark { return Mark{f.e.Seq, f.s.Time} }

func (f *folding) unknown() { f.s.Unknown++ }

// drop makes the event void: it names a life or an assignment that is not current.
func (f *folding) drop() { f.void = true }

// lastOf remembers the last sequence of a spec subject. Void events count: the
// log's compare-and-append does not know that they are void.
func (s State) lastOf(e events.Envelope) State {
	if e.Subject.Class() != "spec" {
		return s
	}
	k, err := e.Subject.Key()
	if err != nil {
		return s
	}
	o, ok := s.Get(k)
	switch {
	case !ok:
		s.lastSpec = s.lastSpec.with(rowKey(k), e.Seq)
	case o.last != e.Seq: // the event changed nothing of it
		n := o.clone()
		n.last = e.Seq
		s.objects = s.objects.with(rowKey(k), n)
	}
	return s
}

func (s State) takeLease(e events.Envelope) State {
	l, err := events.Decode[events.Lease](e)
	if err != nil {
		s.Void++
		return s
	}
	s.Epoch, s.Holder = e.Seq, l.Holder
	return s
}

// body decodes the event's body; an unreadable one makes the event void.
func body[T any](f *folding) (T, bool) {
	v, err := events.Decode[T](f.e)
	if err != nil {
		f.drop()
	}
	return v, err == nil
}

// set stores a row and records the change, giving it the next position.
func (f *folding) set(o *Object) {
	before, _ := f.s.Get(o.Key)
	f.record(Change{Key: o.Key, Before: before, After: o})
	o.Position = f.changes[len(f.changes)-1].Position
	if f.about == o.Key {
		o.last, f.noted = f.e.Seq, true
	}
	f.s.objects = f.s.objects.with(rowKey(o.Key), o)
}

// touch is set for a row whose derived part changed: the same row, a new position.
func (f *folding) touch(k events.Key, edit func(*Object)) {
	o, ok := f.s.Get(k)
	if !ok {
		return
	}
	n := o.clone()
	if edit != nil {
		n.own()
		edit(n)
	}
	f.set(n)
}

// record gives a change its position within the event. Ordinals beyond the last
// one share it; MaxRows is far above what one event may touch.
func (f *folding) record(c Change) {
	c.Position = events.At(f.e.Seq, min(len(f.changes), events.MaxRows-1))
	f.changes = append(f.changes, c)
	switch {
	case f.at != nil:
		f.at[c.Key] = len(f.changes) - 1
	case len(f.changes) > fewChanges:
		f.at = make(map[events.Key]int, 4*fewChanges)
		for i := range f.changes {
			f.at[f.changes[i].Key] = i
		}
	}
}

// fewChanges are found faster by looking at each than in a map.
const fewChanges = 8

// changeOf is where a row's last change stands.
func (f *folding) changeOf(k events.Key) (int, bool) {
	if f.at != nil {
		i, ok := f.at[k]
		return i, ok
	}
	for i := len(f.changes) - 1; i >= 0; i-- {
		if f.changes[i].Key == k {
			return i, true
		}
	}
	return 0, false
}

// clone copies a row; its decoded body is shared until the body changes, and its
// extras until somebody asks for its own.
func (o *Object) clone() *Object {
	n := &Object{Key: o.Key, UID: o.UID, Owner: o.Owner, Created: o.Created, Changed: o.Changed, Position: o.Position,
		Generation: o.Generation, Deletion: o.Deletion, Template: o.Template, Raw: o.Raw, Extras: o.Extras, pod: o.pod, last: o.last}
	n.body.Store(o.body.Load())
	return n
}
