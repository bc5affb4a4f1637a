// Package gc carries out deletions.
//
// The rule: whoever wants an object gone appends DeletionRequested for what
// others depend on or wait for (Pods, ReplicaSets, Deployments), and Removed for
// what nobody waits for (ConfigMaps, Services). From there on
//
//   - a pod is Removed when its node said that nothing of it runs any more, when
//     it never had a node, or when its node is no longer a member. A deadline
//     that passed is no proof: only a person's forced delete, which admission
//     writes as Removed, does not wait for the node;
//   - an object that others belong to is Removed at once (background), after its
//     children are gone (foreground), or after they were released (orphan);
//   - a pod whose node is no longer a member is asked to go: nothing of it runs;
//   - children of an owner that is gone are asked to go, by the owner's uid, so
//     that a new object of the same name does not inherit them;
//   - whatever has finalizers waits, when all of that is done, until the last of
//     them is taken off.
//
// Namespaces have a reconciler of their own.
package gc

import (
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// maxNamed is how many leftovers are named.
const maxNamed = 10

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "gc" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 3 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	var out []events.Resource
	for _, k := range events.Kinds {
		if !k.Derived && k.Resource != events.Namespaces {
			out = append(out, k.Resource)
		}
	}
	return out
}

// Writes implements reconcilers.Reconciler.
func (r Reconciler) Writes() []events.Type {
	var out []events.Type
	for _, res := range r.Reads() {
		for _, verb := range []string{events.VerbChanged, events.VerbDeletionRequested, events.VerbRemoved} {
			out = append(out, events.TypeOf(res, verb))
		}
	}
	return out
}

// Keys implements reconcilers.Reconciler.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	if c.After == nil {
		return bereft(v, c.Before)
	}
	if c.After.Deletion != nil || ownerless(v, c.After) || stranded(v, c.PodAfter) {
		return []events.Key{c.Key}
	}
	return nil
}

// bereft are those whom the end of an object concerns: its children, its owner
// when that waits for it, and the pods of a node.
func bereft(v reconcilers.View, o *projections.Object) []events.Key {
	var out []events.Key
	for child := range v.Children(o.UID) {
		out = append(out, child.Key)
	}
	if o.Owner != nil {
		if k := o.OwnerKey(); waits(v, k) {
			out = append(out, k)
		}
	}
	if o.Key.Resource == events.Nodes {
		for p := range v.PodsOn(o.Key.Name) {
			out = append(out, p.Key)
		}
	}
	return out
}

func waits(v reconcilers.View, k events.Key) bool {
	o, ok := v.Get(k)
	return ok && o.Deletion != nil
}

// ownerless tells whether an object's owner is gone: nothing of its uid is there.
func ownerless(v reconcilers.View, o *projections.Object) bool {
	if o.Owner == nil {
		return false
	}
	w, ok := v.Get(o.OwnerKey())
	return !ok || w.UID != o.Owner.UID
}

// stranded tells whether a pod's node was removed. A pod is given to members
// only, so a node that is not there was.
func stranded(v reconcilers.View, p *projections.Pod) bool {
	if p == nil || p.Node == "" {
		return false
	}
	_, member := v.Get(events.Key{Resource: events.Nodes, Name: p.Node})
	return !member
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	switch {
	case !ok || k.Resource == events.Namespaces:
		return reconcilers.Decision{}
	case o.Deletion == nil && ownerless(v, o):
		return reconcilers.Decision{Events: []reconcilers.Draft{request(o, false)}}
	case o.Deletion == nil:
		if p, ok := v.PodOf(k); ok && k.Resource == events.Pods && stranded(v, p) {
			return reconcilers.Decision{Events: []reconcilers.Draft{request(o, false)}}
		}
		return reconcilers.Decision{}
	case reconcilers.Lingers(v, o):
		return lingering(v, o)
	case o.Deletion.Orphan:
		return orphan(v, o)
	case o.Deletion.Foreground:
		return foreground(v, o)
	}
	return remove(o)
}

// remove ends an object that nothing but its finalizers keeps. One of the
// deletion's own that has done its work goes first, if others stay.
func remove(o *projections.Object) reconcilers.Decision {
	keepers := o.Keepers()
	if len(keepers) == 0 {
		return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Remove(o)}}
	}
	var d reconcilers.Decision
	if own := o.Deletion.Own(); len(own) > 0 {
		b := reconcilers.Same(o)
		b.Released = own
		d.Events = append(d.Events, reconcilers.Change(o, b))
	}
	d.Because = []events.Reason{reconcilers.Kept(o, keepers)}
	return d
}

// request asks for a child to go; its cause is what took its owner.
func request(o *projections.Object, foreground bool) reconcilers.Draft {
	b := events.DeletionRequested{Foreground: foreground}
	if o.Key.Resource == events.Pods {
		b = events.DeletionRequested{Grace: reconcilers.GraceOf(o)}
	}
	return reconcilers.RequestDeletion(o, b)
}

// lingering says what a pod waits for of which something may still run.
func lingering(v reconcilers.View, o *projections.Object) reconcilers.Decision {
	p, _ := v.PodOf(o.Key)
	node := events.Key{Resource: events.Nodes, Name: p.Node}
	why := events.Reason{Code: "Stopping", About: node, What: o.Key.String(), Need: "the node to say that it stopped"}
	if p.Lost {
		why.Code, why.Fix = "NodeSilent", "bring "+p.Node+" back, or delete the pod with --force if the machine is gone"
	}
	return reconcilers.Decision{Because: []events.Reason{why}}
}

// orphan releases the children and then removes the object.
func orphan(v reconcilers.View, o *projections.Object) reconcilers.Decision {
	var d reconcilers.Decision
	for child := range v.Children(o.UID) {
		if len(d.Events) >= reconcilers.MaxSteps {
			d.More = true
			return d
		}
		b := reconcilers.Same(child)
		b.Owner = nil
		d.Events = append(d.Events, reconcilers.Change(child, b))
	}
	if len(d.Events) > 0 {
		d.More = true // once they are free
		return d
	}
	return remove(o)
}

// foreground asks the children to go and removes the object after the last one.
func foreground(v reconcilers.View, o *projections.Object) reconcilers.Decision {
	var d reconcilers.Decision
	left := 0
	for child := range v.Children(o.UID) {
		left++
		if child.Deletion != nil {
			if len(d.Because) >= maxNamed {
				continue
			}
			d.Because = append(d.Because, events.Reason{Code: "ChildLeft", About: child.Key})
			continue
		}
		if len(d.Events) >= reconcilers.MaxSteps {
			d.More = true
			return d
		}
		d.Events = append(d.Events, request(child, true))
	}
	if left == 0 {
		return remove(o)
	}
	return d
}
