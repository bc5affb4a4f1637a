// Package podgc takes away pods that nobody else would: of those that have come to their end
// the oldest, once there are very many, and those that are to go from a node of which a
// person has said that it is out of service.
//
// It follows Kubernetes. What else Kubernetes' controller of this name does, package gc does at once:
// pods of nodes that are gone, and pods that are to go and never had a node.
package podgc

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Ended is the key of all pods that have come to their end: there is one for the whole cluster.
var Ended = events.Key{Resource: events.Pods, Name: "*"}

// Threshold is how many pods that have come to their end are kept, as in Kubernetes.
const Threshold = 12_500

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct {
	// Threshold is how many pods that have come to their end are kept; 0 is the usual number.
	Threshold int
}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "podgc" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 1 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource { return []events.Resource{events.Pods, events.Nodes} }

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{events.TypeOf(events.Pods, events.VerbDeletionRequested)}
}

// Keys implements reconcilers.Reconciler: all that have ended, when one more has and there are too many; and the node of a pod
// that is to go, or one that changes.
func (r Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	switch {
	case c.After == nil:
		return nil
	case c.Key.Resource == events.Nodes && outOfService(v, c.After):
		return []events.Key{c.Key}
	case c.Key.Resource != events.Pods || c.PodAfter == nil:
		return nil
	}
	var out []events.Key
	if v.EndedPods() > r.most() {
		out = append(out, Ended)
	}
	if c.After.Deletion != nil && c.PodAfter.Node != "" {
		k := events.Key{Resource: events.Nodes, Name: c.PodAfter.Node}
		if n, ok := v.Get(k); ok && outOfService(v, n) {
			out = append(out, k)
		}
	}
	return out
}

func (r Reconciler) most() int { return cmp.Or(r.Threshold, Threshold) }

// outOfService tells whether a person has said of a node that does not answer that it will not: then nobody waits for it.
func outOfService(v reconcilers.View, node *projections.Object) bool {
	if !slices.ContainsFunc(projections.As[*corev1.Node](node).Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService }) {
		return false
	}
	row, heard := v.Node(node.Key.Name)
	return !heard || row.Report.UID != node.UID || !row.Report.Ready
}

// Decide implements reconcilers.Reconciler.
func (r Reconciler) Decide(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
	if k == Ended {
		return tooMany(v, v.EndedPods()-r.most())
	}
	o, ok := v.Get(k)
	if !ok || !outOfService(v, o) {
		return reconcilers.Decision{}
	}
	return abandon(v, o)
}

// tooMany asks so many of the pods that have ended to go: those that were evicted first, and then the oldest.
func tooMany(v reconcilers.View, n int) reconcilers.Decision {
	var d reconcilers.Decision
	if n <= 0 {
		return d
	}
	var ended []*projections.Object
	for o := range v.List(events.Pods, "") {
		if p, ok := v.PodOf(o.Key); ok && p.HasEnded(o) {
			ended = append(ended, o)
		}
	}
	slices.SortFunc(ended, func(a, b *projections.Object) int {
		return cmp.Or(cmp.Compare(rank(v, a), rank(v, b)), a.Created.Time.Compare(b.Created.Time), cmp.Compare(a.Key.Name, b.Key.Name), cmp.Compare(a.Key.Namespace, b.Key.Namespace))
	})
	for _, o := range ended[:min(n, len(ended))] {
		if !d.Emit(reconcilers.RequestDeletion(o, events.DeletionRequested{})) {
			break
		}
		d.Because = append(d.Because, events.Reason{Code: "TooManyEnded", About: o.Key})
	}
	return d
}

// rank is 0 for a pod that was evicted by its node, 1 for others.
func rank(v reconcilers.View, o *projections.Object) int {
	if p, ok := v.PodOf(o.Key); ok && p.Failed != nil && p.Failed.Reason == projections.Evicted {
		return 0
	}
	return 1
}

// abandon has nobody wait any more for what a node says of the pods that are to go from it.
func abandon(v reconcilers.View, node *projections.Object) reconcilers.Decision {
	var d reconcilers.Decision
	for p := range v.PodsOn(node.Key.Name) {
		o, ok := v.Get(p.Key)
		if !ok || o.Deletion == nil || o.Deletion.Force {
			continue
		}
		b := events.DeletionRequested{Force: true, Orphan: o.Deletion.Orphan, Foreground: o.Deletion.Foreground, For: o.Deletion.For, Disrupts: o.Deletion.Disrupts}
		if !d.Emit(reconcilers.RequestDeletion(o, b)) {
			break
		}
		d.Because = append(d.Because, events.Reason{Code: "OutOfService", About: node.Key, What: p.Key.String()})
	}
	return d
}
