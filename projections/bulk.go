package projections

import (
	"math"

	"github.com/stave-run/stave/events"
)

// Bulk folds a long stretch of a log of which only the end is wanted: a start, a
// look back, a check. It gives what Apply gives, event by event, but changes the
// tables that it made itself where they are, instead of copying a path for every
// row. It is for one goroutine; the states that it gives are as any other.
type Bulk struct {
	s       State
	changes []Change
}

// NewBulk begins with a state, which stays what it is.
func NewBulk(s State) *Bulk {
	b := &Bulk{s: s}
	b.s.open()
	return b
}

// Apply folds the next event.
func (b *Bulk) Apply(e events.Envelope) {
	clear(b.changes) // keep no rows alive
	b.s, b.changes = apply(b.s, e, b.changes[:0])
}

// Seq is the last event folded.
func (b *Bulk) Seq() events.Seq { return b.s.Seq }

// State is the state up to here. The fold may go on: it begins a new edit.
func (b *Bulk) State() State {
	s := b.s
	s.allow(0)
	b.s.open()
	return s
}

// open begins an edit: what it makes may be changed until it ends. Two that begin
// with the same state have the same number and never meet: what one made is in no
// tree of the other, and a state that one leaves counts it as over.
func (s *State) open() {
	if s.edits == math.MaxUint32 {
		s.allow(0) // copying is slower, and right
		return
	}
	s.edits++
	s.allow(s.edits)
}

func (s *State) allow(edit uint32) {
	s.objects.edit, s.children.edit, s.onNode.edit = edit, edit, edit
	s.nodes.edit, s.used.edit, s.templates.edit, s.selectors.edit = edit, edit, edit, edit
	s.verdicts.edit, s.lastSpec.edit, s.wishes.edit, s.dependents.edit = edit, edit, edit, edit
	s.crowds.edit, s.labelled.edit, s.minding.edit = edit, edit, edit // a crowd's own table follows: join
}
