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
//   - an object that others belong to is Removed at once (background), after those
//     of them are gone that say that they block it (foreground), or after they
//     were released (orphan);
//   - a pod whose node is no longer a member is asked to go: nothing of it runs;
//   - what belongs to owners that are all gone is asked to go, by their uids, so
//     that a new object of the same name does not inherit it; while one of them
//     is there it stays, and forgets the others;
//   - whatever has finalizers waits, when all of that is done, until the last of
//     them is taken off.
//
// Namespaces and definitions have reconcilers of their own.
package gc

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "gc" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 5 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	var out []events.Resource
	for _, k := range events.Kinds {
		if !k.Derived {
			out = append(out, k.Resource)
		}
	}
	return append(out, events.CustomResources)
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
	var out []events.Key
	if c.Before != nil && c.Before.Changed != c.After.Changed {
		out = waitingOwners(v, c.Before) // it may block one no more
	}
	if c.After.Deletion != nil {
		return append(append(out, unblocked(v, c)...), c.Key)
	}
	if gone, waiting, _ := standing(v, c.After); gone+waiting > 0 || stranded(v, c.PodAfter) {
		out = append(out, c.Key)
	}
	return out
}

// bereft are those whom the end of an object concerns: what names it as an owner,
// its owners that wait for it, and the pods of a node.
func bereft(v reconcilers.View, o *projections.Object) []events.Key {
	out := waitingOwners(v, o)
	for child := range v.Dependents(o.UID) {
		out = append(out, child.Key)
	}
	if o.Key.Resource == events.Nodes {
		for p := range v.PodsOn(o.Key.Name) {
			out = append(out, p.Key)
		}
	}
	return out
}

// unblocked are the owners of an object that just began to wait for what it owns
// itself: in a circle one of them waits for itself.
func unblocked(v reconcilers.View, c projections.Change) []events.Key {
	if !c.After.Deletion.Foreground || c.Before != nil && c.Before.Deletion != nil {
		return nil
	}
	return waitingOwners(v, c.After)
}

// waitingOwners are the owners of an object that are on their way out.
func waitingOwners(v reconcilers.View, o *projections.Object) []events.Key {
	if o.Owner != nil && o.Owners == nil { // most have one
		if w, ok := v.Get(o.OwnerKey()); ok && w.Deletion != nil {
			return []events.Key{w.Key}
		}
		return nil
	}
	var out []events.Key
	for _, r := range o.Owners {
		if k, ok := v.OwnerKey(o, r); ok {
			if owner, ok := v.Get(k); ok && owner.Deletion != nil {
				out = append(out, owner.Key)
			}
		}
	}
	return out
}

// standing counts an object's owners by how they stand.
func standing(v reconcilers.View, o *projections.Object) (gone, waiting, stand int) {
	if o.Owner == nil && o.Owners == nil {
		return 0, 0, 0
	}
	for _, r := range o.References() {
		switch v.Standing(o, r) {
		case projections.Gone:
			gone++
		case projections.Waits:
			waiting++
		default:
			stand++
		}
	}
	return gone, waiting, stand
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
	case !ok || (k.Resource == events.Namespaces || k.Resource == events.Definitions) && o.Deletion != nil:
		return reconcilers.Decision{}
	case o.Deletion == nil:
		return collect(v, o)
	case reconcilers.Lingers(v, o):
		return lingering(v, o)
	case o.Deletion.Orphan:
		return orphan(v, o)
	case o.Deletion.Foreground:
		return foreground(v, o)
	}
	return remove(v, o)
}

// collect asks an object to go whose owners are all gone or wait for it to go, or
// whose node is. While one of them stays, the object forgets the others, as in Kubernetes.
func collect(v reconcilers.View, o *projections.Object) reconcilers.Decision {
	if p, ok := v.PodOf(o.Key); ok && o.Key.Resource == events.Pods && stranded(v, p) {
		return reconcilers.Decision{Events: request(v, o, false, events.ByPodGC)}
	}
	gone, waiting, stand := standing(v, o)
	switch {
	case gone+waiting == 0:
		return reconcilers.Decision{}
	case stand > 0:
		return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Disown(o, func(r metav1.OwnerReference) bool { return v.Standing(o, r) != projections.Stands })}}
	}
	return reconcilers.Decision{Events: request(v, o, waiting > 0, "")}
}

// remove ends an object that nothing but its finalizers keeps. One of the
// deletion's own that has done its work goes first, if others stay.
func remove(v reconcilers.View, o *projections.Object) reconcilers.Decision {
	keepers := o.Keepers()
	if len(keepers) == 0 {
		return reconcilers.Decision{Events: reconcilers.Gone(v, o)}
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

// request asks for what others own to go; its cause is what took its owner. What
// nobody waits for goes at once. disrupts is why a pod goes that its owner would keep.
func request(v reconcilers.View, o *projections.Object, foreground bool, disrupts events.Code) []reconcilers.Draft {
	b := events.DeletionRequested{Foreground: foreground}
	has := o.Typed().GetFinalizers()
	if !foreground {
		b.Orphan = slices.Contains(has, metav1.FinalizerOrphanDependents)
		b.Foreground = !b.Orphan && slices.Contains(has, metav1.FinalizerDeleteDependents)
	}
	if events.Makes(o.Key.Resource) {
		return []reconcilers.Draft{reconcilers.RequestDeletion(o, b)}
	}
	if !owns(v, o) {
		b = events.DeletionRequested{}
	}
	switch {
	case o.Key.Resource == events.Pods:
		b.Grace, b.Disrupts = reconcilers.GraceOf(o), disrupts
	case o.Key.Resource != events.Namespaces && len(o.Keepers()) == 0 && !b.Foreground && !b.Orphan:
		return reconcilers.Gone(v, o)
	}
	return []reconcilers.Draft{reconcilers.RequestDeletion(o, b)}
}

func owns(v reconcilers.View, o *projections.Object) bool {
	for range v.Dependents(o.UID) {
		return true
	}
	return false
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

// orphan releases what the object owns and then removes the object.
func orphan(v reconcilers.View, o *projections.Object) reconcilers.Decision {
	var d reconcilers.Decision
	for child := range v.Dependents(o.UID) {
		if len(d.Events) >= reconcilers.MaxSteps {
			d.More = true
			return d
		}
		d.Events = append(d.Events, reconcilers.Disown(child, reconcilers.By(o.UID)))
	}
	if len(d.Events) > 0 {
		d.More = true // once they are free
		return d
	}
	return remove(v, o)
}
