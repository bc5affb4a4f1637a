// Package reconcilers is the contract that every controller keeps:
// Decide(View, Key, now) → Decision, pure. Each controller is a folder of its
// own below; reconcilers/run drives them.
package reconcilers

import (
	"encoding/json"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// View is what a decision may look at: one immutable snapshot.
type View = projections.State

// Reconciler decides for the objects of its noun. Implementations hold no
// state: the same view, key and now give the same decision, always.
type Reconciler interface {
	// Name is the folder's: "deployment". Version goes up when Decide would
	// decide differently on the same view.
	Name() string
	Version() int
	// Keys are the objects that a changed row concerns. v is the view after the
	// event. Called for every row of every event: it has to be cheap.
	Keys(v View, c projections.Change) []events.Key
	// Reads and Writes are declared so that `stave graph` can print the
	// architecture; Step refuses an event that is not in Writes.
	Reads() []events.Resource
	Writes() []events.Type
	// Decide says what to append now, why, and when to be asked again.
	Decide(v View, k events.Key, now time.Time) Decision
}

// Decision is what follows from a view. The zero Decision does nothing.
type Decision struct {
	Events []Draft
	// Because is filled even when Events is empty: `why` prints it.
	Because []events.Reason
	// WakeAt asks to be asked again then, whatever happens; zero does not.
	WakeAt time.Time
	// More says that the step limit cut the decision short: ask again soon,
	// after others had their turn.
	More bool
	// Wishes are the children about which somebody outside of the log is asked before
	// they are made: all of them, on every view, until they are there.
	Wishes []Wish
}

// Wish is a child about which somebody outside is asked first: an admission webhook. What
// they answer is decided by birth.Answered.
type Wish struct {
	Child
	// Object is the whole child as those who are asked see it; without a name when its
	// name is made up, as in Kubernetes.
	Object events.Object
}

// MaxWishes is the most children of one object that others are asked about at a time.
const MaxWishes = 16

// Wish adds a child that others are asked about first; false when there are enough of them.
func (d *Decision) Wish(w Wish) bool {
	if len(d.Wishes) >= MaxWishes {
		return false
	}
	d.Wishes = append(d.Wishes, w)
	return true
}

// Emit adds an event while the step limit allows; else it asks for another turn and
// says false.
func (d *Decision) Emit(e Draft) bool {
	if len(d.Events) >= MaxSteps {
		d.More = true
		return false
	}
	d.Events = append(d.Events, e)
	return true
}

// Granted is the decision with all that it wishes for made at once: where nobody can be asked first, as in a fork of a state.
func (d Decision) Granted() Decision {
	for _, w := range d.Wishes {
		if !d.Emit(Create(w.Key, w.Body)) {
			break
		}
	}
	d.Wishes = nil
	return d
}

// Wake asks to be asked again at a time, unless that is to happen sooner.
func (d *Decision) Wake(at time.Time) { d.WakeAt = Sooner(d.WakeAt, at) }

// Draft is an event that a reconciler wants appended. Step fills in actor,
// cause, basis, epoch, now, operation id and uid.
type Draft struct {
	Subject events.Subject
	Type    events.Type
	Body    json.RawMessage
	// Cause is the event that led to this one when it is not the one that woke
	// the key; 0 leaves it to Step.
	Cause events.Seq
	// Child is set instead of Body for a Created: Step derives its uid from the
	// operation id. Drafts on log.spec get the expected last sequence of their
	// subject from Step.
	Child *Child
}

// Child is a Created whose uid Step fills in.
type Child struct {
	Key  events.Key
	Body events.Created
}

// MaxSteps is the most events that one decision may hold, so that one small
// object beside a large rollout waits milliseconds.
const MaxSteps = 100

// Wide is a Reconciler whose decisions may hold more events than MaxSteps,
// because one decision of its stands for what others do with one a key.
type Wide interface {
	// MaxSteps is the most events that one decision of it may hold.
	MaxSteps() int
}

// StepsOf is the most events that one decision of a reconciler may hold.
func StepsOf(r Reconciler) int {
	if w, ok := r.(Wide); ok {
		return w.MaxSteps()
	}
	return MaxSteps
}

// Create drafts a child.
func Create(k events.Key, body events.Created) Draft {
	return Draft{Subject: events.SpecSubject(k), Type: events.TypeOf(k.Resource, events.VerbCreated), Child: &Child{k, body}}
}

// Change drafts a new whole for an object.
func Change(o *projections.Object, body events.Changed) Draft {
	body.UID = o.UID
	return draft(o.Key, events.VerbChanged, body)
}

// RequestDeletion drafts that an object shall go.
func RequestDeletion(o *projections.Object, body events.DeletionRequested) Draft {
	body.UID = o.UID
	return draft(o.Key, events.VerbDeletionRequested, body)
}

// Remove drafts that an object is gone.
func Remove(o *projections.Object) Draft {
	return draft(o.Key, events.VerbRemoved, events.Removed{UID: o.UID})
}

// Shred drafts the end of a Secret whose values are gone with it, for good.
func Shred(o *projections.Object) Draft {
	return draft(o.Key, events.VerbRemoved, events.Removed{UID: o.UID, Shred: true})
}

func draft(k events.Key, verb string, body any) Draft {
	return Draft{Subject: events.SpecSubject(k), Type: events.TypeOf(k.Resource, verb), Body: events.MustBody(body)}
}

// Resize drafts what becomes of a pod's wish for other resources.
func Resize(o *projections.Object, body events.Resized) Draft {
	body.UID = o.UID
	return draft(o.Key, events.VerbResized, body)
}

// StoreTemplate drafts a body by content. It has to come before its first use;
// leave it out when the view has it already.
func StoreTemplate(raw json.RawMessage) Draft {
	return Draft{Subject: events.TemplateSubject(events.HashOf(raw)), Type: events.TemplateStored, Body: raw}
}

// Assign drafts one scheduling pass for one node.
func Assign(node string, body events.Assigned) Draft {
	return Draft{Subject: events.AssignSubject(node), Type: events.PodsAssigned, Body: events.MustBody(body)}
}

// Report drafts status that cannot be derived.
func Report(k events.Key, body any) Draft {
	return Draft{Subject: events.StatusSubject(k), Type: events.TypeOf(k.Resource, events.VerbStatus), Body: events.MustBody(body)}
}

// WriteStatus drafts a status that somebody outside wrote.
func WriteStatus(o *projections.Object, body events.StatusWritten) Draft {
	body.UID = o.UID
	return Draft{Subject: events.StatusSubject(o.Key), Type: events.TypeOf(o.Key.Resource, events.VerbStatusWritten), Body: events.MustBody(body)}
}

// Conclude drafts why an object does not move.
func Conclude(o *projections.Object, reasons []events.Reason) Draft {
	return Draft{Subject: events.VerdictSubject(o.Key), Type: events.TypeOf(o.Key.Resource, events.VerbVerdict),
		Body: events.MustBody(events.Verdict{UID: o.UID, Reasons: reasons})}
}
