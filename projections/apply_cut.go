package projections

import (
	"github.com/stave-run/stave/events"
)

// cut folds log.cut: history begins later from here on. What only events below
// the horizon could ask for is forgotten, so that a state is bounded by what is
// there and what the horizon shows, however old its log.
func (f *folding) cut() {
	b, ok := body[events.Cut](f)
	if !ok {
		return
	}
	if b.First > f.e.Seq {
		f.drop() // nobody can cut what has not happened
		return
	}
	f.s.Horizon = max(f.s.Horizon, b.First)
	f.forgetLast()
	f.forgetTemplates()
}

// forgetLast forgets the last sequences of objects that ended below the horizon:
// the log has none of their subjects either.
func (f *folding) forgetLast() {
	var old []string
	for k, seq := range f.s.lastSpec.all() {
		if seq < f.s.Horizon {
			old = append(old, k)
		}
	}
	for _, k := range old {
		f.s.lastSpec = f.s.lastSpec.without(k)
	}
}

// forgetTemplates forgets those that nothing above the horizon refers to. When
// an object had one last is not known; that none has it at this cut is. All who
// ever had it did so before, so a later cut above this one may forget it.
func (f *folding) forgetTemplates() {
	used := map[events.Hash]bool{}
	for o := range f.s.All() {
		if o.Template != nil {
			used[o.Template.Hash] = true
		}
	}
	var idle []*Template
	for t := range f.s.templates.below("") {
		if !used[t.Hash] {
			idle = append(idle, t)
		}
	}
	for _, t := range idle {
		switch {
		case t.Idle == 0:
			f.s.templates = f.s.templates.with(string(t.Hash), &Template{Hash: t.Hash, Raw: t.Raw, Idle: f.e.Seq})
		case t.Idle < f.s.Horizon:
			f.s.templates = f.s.templates.without(string(t.Hash))
		}
	}
}
