// Package undo makes the inverse of a change out of the log: the drafts that
// restore what was before a person's change. It is pure. It never rewrites: an
// undo is a new change, so that the undo of an undo does the first one again.
//
// What it brings back is what objects are (their specs and metadata), with the
// same names and new uids; children follow from their owners by the reconcilers.
package undo

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Question is what Undo needs to know.
type Question struct {
	Event events.Envelope // the change
	// Before is the state up to the event before it, Now the writer's own view.
	Before, Now projections.State
	// Later are the events after the change, oldest first, as far as they are
	// read; spec events of the writer's view that are not among them are found
	// and refused.
	Later []events.Envelope
	Force bool // go on over changes that came later
}

// Step is one thing that an undo does.
type Step struct {
	Key     events.Key
	UID     events.UID // of the object as it is; empty when it will be made
	Outcome string     // "restored", "deleted", "created"
	Draft   reconcilers.Draft
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

// MaxSteps is the most objects that one undo restores: it is one append, whole
// or not at all.
const MaxSteps = 1000

// Undo is the inverse of a change, in the order in which it is to be appended.
func Undo(q Question) ([]Step, error) {
	if err := q.undoable(); err != nil {
		return nil, err
	}
	k, err := q.Event.Subject.Key()
	if err != nil {
		return nil, fmt.Errorf("read subject of %d: %w", q.Event.Seq, err)
	}
	var steps []Step
	switch q.Event.Type.Verb() {
	case events.VerbCreated:
		steps, err = q.unmake(k)
	case events.VerbChanged:
		steps, err = q.restore(k)
	case events.VerbDeletionRequested, events.VerbRemoved:
		steps, err = q.bringBack(k)
	}
	if err == nil && len(steps) > MaxSteps {
		return nil, refuse("undo of %d would bring back %d objects; at most %d in one append", q.Event.Seq, len(steps), MaxSteps)
	}
	return steps, err
}

// undoable tells whether a person did it.
func (q Question) undoable() error {
	e := q.Event
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

// unmake is the inverse of a creation.
func (q Question) unmake(k events.Key) ([]Step, error) {
	o, ok := q.Now.Get(k)
	made, err := events.Decode[events.Created](q.Event)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %d: %w", q.Event.Seq, err)
	case !ok || o.UID != made.UID:
		return nil, q.conflict(k, "%s that %d made is gone already", k, q.Event.Seq)
	case o.Deletion != nil:
		return nil, q.conflict(k, "%s is being deleted already", k)
	}
	if err := q.unchanged(k); err != nil {
		return nil, err
	}
	return []Step{{Key: k, UID: o.UID, Outcome: Deleted, Draft: removal(q.Now, o)}}, nil
}

// removal is what a deletion by a person becomes; see gateway/admit.
func removal(v projections.State, o *projections.Object) reconcilers.Draft {
	switch o.Key.Resource {
	case events.Deployments, events.ReplicaSets, events.Namespaces:
		return reconcilers.RequestDeletion(o, events.DeletionRequested{})
	case events.Pods:
		if p, ok := v.PodOf(o.Key); ok && p.Node != "" {
			return reconcilers.RequestDeletion(o, events.DeletionRequested{Grace: reconcilers.GraceOf(o)})
		}
	}
	return reconcilers.Remove(o)
}

// restore is the inverse of a change.
func (q Question) restore(k events.Key) ([]Step, error) {
	was, before := q.Before.Get(k)
	o, ok := q.Now.Get(k)
	switch {
	case !before:
		return nil, refuse("the log does not say what %s was before %d", k, q.Event.Seq)
	case !ok || o.UID != was.UID:
		return nil, q.conflict(k, "%s that %d changed is gone", k, q.Event.Seq)
	case o.Deletion != nil:
		return nil, q.conflict(k, "%s is being deleted", k)
	}
	if err := q.unchanged(k); err != nil {
		return nil, err
	}
	return []Step{{Key: k, UID: o.UID, Outcome: Restored, Draft: back(was, o)}}, nil
}

// back drafts that an object is again what it was.
func back(was, is *projections.Object) reconcilers.Draft {
	body := reconcilers.Same(was)
	body.Generation = is.Generation + 1
	body.Owner = is.Owner // adoption is the reconcilers' business
	body.Object = keepRevision(was, is, body.Object)
	return reconcilers.Change(is, body)
}

// revision is written by the deployment reconciler: an undo of what a person
// did leaves it alone.
const revision = "deployment.kubernetes.io/revision"

func keepRevision(was, is *projections.Object, raw json.RawMessage) json.RawMessage {
	now, ok := is.Typed().GetAnnotations()[revision]
	if !ok || was.Typed().GetAnnotations()[revision] == now {
		return raw
	}
	return reconcilers.Edit(raw, func(object map[string]any) {
		reconcilers.Field(reconcilers.Field(object, "metadata"), "annotations")[revision] = now
	})
}

// bringBack is the inverse of a deletion. Of a namespace, all comes back that
// was in it and that nothing controls: the rest follows.
func (q Question) bringBack(k events.Key) ([]Step, error) {
	was, ok := q.Before.Get(k)
	if !ok {
		return nil, refuse("the log does not say what %s was before %d", k, q.Event.Seq)
	}
	steps, err := q.again(nil, was)
	if err != nil || k.Resource != events.Namespaces {
		return steps, err
	}
	for _, kind := range events.Kinds {
		if !kind.Namespaced || kind.Derived {
			continue
		}
		for o := range q.Before.List(kind.Resource, k.Name) {
			if o.Owner != nil || o.Deletion != nil {
				continue
			}
			if steps, err = q.again(steps, o); err != nil {
				return nil, err
			}
		}
	}
	return steps, nil
}

// again adds the step that makes an object anew. One that stands in its place is
// a conflict, or, by force, becomes what the old one was.
func (q Question) again(steps []Step, was *projections.Object) ([]Step, error) {
	if is, there := q.Now.Get(was.Key); there {
		switch {
		case is.Deletion != nil || is.UID == was.UID && was.Key.Resource == events.Namespaces:
			return nil, q.conflict(was.Key, "%s is not gone yet; try again when it is (stave wait --for=delete %s)", was.Key, was.Key)
		case !q.Force:
			return nil, q.conflict(was.Key, "%s is there again, made by %s at %d", was.Key, q.actorOf(is.Created.Seq), is.Created.Seq)
		}
		return append(steps, Step{Key: was.Key, UID: is.UID, Outcome: Restored, Draft: back(was, is)}), nil
	}
	if err := q.free(was); err != nil {
		return nil, err
	}
	if err := q.hasNamespace(was.Key, steps); err != nil {
		return nil, err
	}
	b := reconcilers.Same(was)
	return append(steps, Step{Key: was.Key, Outcome: Created,
		Draft: reconcilers.Create(was.Key, events.Created{Template: b.Template, Object: b.Object, Applied: b.Applied, Managed: b.Managed})}), nil
}

// hasNamespace wants the namespace to be there, or to come back with it.
func (q Question) hasNamespace(k events.Key, steps []Step) error {
	if k.Namespace == "" {
		return nil
	}
	ns := events.Key{Resource: events.Namespaces, Name: k.Namespace}
	if len(steps) > 0 && steps[0].Key == ns {
		return nil
	}
	o, ok := q.Now.Get(ns)
	switch {
	case !ok:
		return q.conflict(ns, "namespace %s is gone: undo its deletion first", k.Namespace)
	case o.Deletion != nil:
		return q.conflict(ns, "namespace %s is being deleted", k.Namespace)
	}
	return nil
}

// free wants what a service had been given to belong to nobody else now.
func (q Question) free(was *projections.Object) error {
	if was.Key.Resource != events.Services {
		return nil
	}
	old := &projections.As[*corev1.Service](was).Spec
	for o := range q.Now.List(events.Services, "") {
		spec := &projections.As[*corev1.Service](o).Spec
		if old.ClusterIP != "" && old.ClusterIP != corev1.ClusterIPNone && spec.ClusterIP == old.ClusterIP {
			return q.conflict(o.Key, "the address %s of %s belongs to %s now", old.ClusterIP, was.Key, o.Key)
		}
		for _, p := range old.Ports {
			for _, taken := range spec.Ports {
				if p.NodePort != 0 && p.NodePort == taken.NodePort && p.Protocol == taken.Protocol {
					return q.conflict(o.Key, "the node port %d of %s belongs to %s now", p.NodePort, was.Key, o.Key)
				}
			}
		}
	}
	return nil
}

// unchanged wants that no person changed the object after the change. What
// reconcilers wrote since follows anew from what is restored.
func (q Question) unchanged(k events.Key) error {
	if q.Force {
		return nil
	}
	last := q.Event.Seq
	for _, e := range q.Later {
		own, err := e.Subject.Key()
		if err != nil || own != k || e.Subject.Class() != "spec" {
			continue
		}
		last = e.Seq
		if strings.HasPrefix(string(e.Actor), "user:") {
			return &Refusal{Conflict: e.Seq, Said: fmt.Sprintf("%s was changed after %d: by %s at %d, %s%s; undo that first, or go on over it with --force",
				k, q.Event.Seq, e.Actor, e.Seq, e.Time.UTC().Format(time.RFC3339), because(e))}
		}
	}
	if newest := q.Now.LastSpec(k); newest > last {
		return &Refusal{Conflict: newest, Said: fmt.Sprintf("%s is being changed right now, at %d; look at it and try again", k, newest)}
	}
	return nil
}

func because(e events.Envelope) string {
	if e.Message == "" {
		return ""
	}
	return " (" + e.Message + ")"
}

// conflict names what was last said of an object.
func (q Question) conflict(k events.Key, format string, args ...any) error {
	return &Refusal{Conflict: q.Now.LastSpec(k), Said: fmt.Sprintf(format, args...)}
}

func (q Question) actorOf(seq events.Seq) events.Actor {
	for _, e := range q.Later {
		if e.Seq == seq {
			return e.Actor
		}
	}
	return "somebody"
}
