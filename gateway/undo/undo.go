// Package undo makes the inverse of a change out of the log: the drafts that
// restore what was before a person's change. It is pure. It never rewrites: an
// undo is a new change, so that the undo of an undo does the first one again.
//
// What it brings back is what objects are (their specs and metadata), with the
// same names and new uids; children follow from their owners by the reconcilers.
package undo

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Question is what Undo needs to know.
type Question struct {
	// Events are the change, oldest first: all that one wish led to directly.
	Events []events.Envelope
	// Before is the state up to the first of them, Now the writer's own view.
	Before, Now projections.State
	// Later are the spec events after the first that are no part of the change,
	// oldest first, as far as they are read: those about its objects, and those
	// that made what lives in its namespaces. What the writer's view has beside
	// them is found and refused.
	Later []events.Envelope
	Force bool // go on over changes that came later
}

// Step is one thing that an undo does.
type Step struct {
	Key     events.Key
	UID     events.UID // of the object as it is; empty when it will be made
	Outcome string     // "restored", "deleted", "created"
	Draft   reconcilers.Draft
	Was     *projections.Object // what it is to be again; nil when it is to go
}

// The words of a step.
const (
	Restored = "restored" // it is what it was
	Created  = "created"  // it is there again
	Deleted  = "deleted"  // it is wanted gone
)

// Refusal says why a change is not undone. Conflict is the sequence of the
// change that stands in the way, 0 when it is none.
type Refusal struct {
	Said     string
	Conflict events.Seq
}

// Error implements error.
func (r *Refusal) Error() string { return r.Said }

func refuse(format string, args ...any) error { return &Refusal{Said: fmt.Sprintf(format, args...)} }

// Undo is the inverse of a change, in the order in which it is to be appended:
// all of it, or a refusal that names everything that stands in the way.
func Undo(q Question) ([]Step, error) {
	u := &undoing{Question: q, done: map[events.Key]bool{}}
	parts, err := q.parts()
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := u.take(p); err != nil {
			return nil, err
		}
	}
	if len(u.refused) > 0 {
		return nil, together(u.refused)
	}
	return u.steps, nil
}

// part is what a change did to one object.
type part struct {
	key   events.Key
	event events.Envelope // the first that it did: what was before it is what comes back
	last  events.Seq      // the last
}

// parts are the objects of the change in the order in which they are undone:
// namespaces that went come first, for others to come back into, and all else
// backwards.
func (q Question) parts() ([]part, error) {
	var out []part
	at := map[events.Key]int{}
	for _, e := range q.Events {
		if err := undoable(e); err != nil {
			return nil, err
		}
		k, err := e.Subject.Key()
		if err != nil {
			return nil, fmt.Errorf("read subject of %d: %w", e.Seq, err)
		}
		if i, known := at[k]; known {
			out[i].last = e.Seq
			continue
		}
		at[k] = len(out)
		out = append(out, part{k, e, e.Seq})
	}
	slices.Reverse(out)
	slices.SortStableFunc(out, func(a, b part) int { return a.rank() - b.rank() })
	return out, nil
}

func (p part) rank() int {
	if v := p.event.Type.Verb(); p.key.Resource == events.Namespaces && (v == events.VerbDeletionRequested || v == events.VerbRemoved) {
		return 0
	}
	return 1
}

// undoing is an undo under way.
type undoing struct {
	Question
	steps   []Step
	done    map[events.Key]bool // what has a step
	refused []*Refusal
}

// take adds the inverse of one part, or the reason why there is none. Its error
// is no refusal: the log cannot be read.
func (u *undoing) take(p part) error {
	if u.done[p.key] {
		return nil // it came back with its namespace
	}
	var err error
	switch p.event.Type.Verb() {
	case events.VerbCreated:
		err = u.unmake(p)
	case events.VerbChanged:
		err = u.restore(p)
	case events.VerbDeletionRequested, events.VerbRemoved:
		err = u.bringBack(p)
	}
	return u.note(err)
}

// note keeps a refusal for later and passes every other error on.
func (u *undoing) note(err error) error {
	var no *Refusal
	if errors.As(err, &no) {
		u.refused = append(u.refused, no)
		return nil
	}
	return err
}

func (u *undoing) add(s Step) {
	u.done[s.Key] = true
	u.steps = append(u.steps, s)
}

// together is one refusal for many.
func together(all []*Refusal) error {
	said := make([]string, len(all))
	for i, r := range all {
		said[i] = r.Said
	}
	return &Refusal{Said: strings.Join(said, "\n"), Conflict: all[0].Conflict}
}

// undoable tells whether a person did it.
func undoable(e events.Envelope) error {
	switch {
	case e.Subject.Class() != "spec":
		return refuse("%d (%s) is no change that somebody asked for, so there is nothing to undo", e.Seq, e.Type)
	case strings.HasPrefix(string(e.Actor), "user:"):
		return nil
	case e.Cause != 0:
		return refuse("%d was decided by %s because of %d: undo what led to it, not what followed", e.Seq, e.Actor, e.Cause)
	}
	return refuse("%d was done by %s, and only what a person did is undone", e.Seq, e.Actor)
}
