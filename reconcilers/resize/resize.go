// Package resize grants pods that have a node the resources that they wish for, or says why their node cannot give them: it has
// no room now, and the wish is looked at again when room comes; or it never had so much.
package resize

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Reconciler implements reconcilers.Reconciler. Its keys are nodes: the wishes on one compete for the same room.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "resize" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 1 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return []events.Resource{events.Pods, events.Nodes}
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type { return []events.Type{events.PodsResized} }

// Keys implements reconcilers.Reconciler: the node of a pod with a new wish, and one with wishes that has more room than before.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	switch {
	case c.Key.Resource == events.Nodes:
		return waiting(v, c.Key.Name)
	case c.Key.Resource != events.Pods:
		return nil
	case c.PodAfter != nil && c.PodAfter.Resize.Waits() && c.PodAfter.Resize.Refused == "" || reconcilers.Freed(c):
		return waiting(v, nodeOf(c))
	}
	return nil
}

func nodeOf(c projections.Change) string {
	if c.PodAfter != nil {
		return c.PodAfter.Node
	}
	return c.PodBefore.Node
}

func waiting(v reconcilers.View, node string) []events.Key {
	if v.Used(node).Wishes == 0 {
		return nil
	}
	return []events.Key{{Resource: events.Nodes, Name: node}}
}

// wish is a pod whose wish is not granted.
type wish struct {
	o          *projections.Object
	row        *projections.Pod
	has, wants projections.Usage
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, _ time.Time) reconcilers.Decision {
	node, ok := v.Node(k.Name)
	if !ok || node.Seen.IsZero() {
		return reconcilers.Decision{} // nobody knows what it has
	}
	kept, wishes := wishesOn(v, k.Name)
	var d reconcilers.Decision
	for _, w := range wishes {
		body, why := judge(node.Has, kept, w)
		if body.Refused == "" {
			kept = kept.Add(w.has, -1).Add(w.has.Larger(w.wants), +1) // less of it is free when the node has taken it
		} else {
			why.About = k
			d.Because = append(d.Because, why)
		}
		if body.Refused == w.row.Resize.Refused && body.Refused != "" {
			continue // it was told so
		}
		if !d.Emit(reconcilers.Resize(w.o, body)) {
			return d
		}
	}
	return d
}

// wishesOn are the wishes on a node in the order in which they are looked at, and what all its pods keep of it whatever becomes
// of those.
func wishesOn(v reconcilers.View, node string) (kept projections.Usage, wishes []wish) {
	for row := range v.PodsOn(node) {
		o, ok := v.Get(row.Key)
		if !ok || !row.Holds(o) {
			continue
		}
		spec := o.PodSpec()
		has := row.Keeps(spec)
		kept = kept.Add(has, +1)
		if row.Resize.Waits() && o.Deletion == nil {
			wishes = append(wishes, wish{o: o, row: row, has: has, wants: projections.Asks(spec)})
		}
	}
	slices.SortFunc(wishes, order)
	return kept, wishes
}

// order is the kubelet's: who wants no more than it has, then the most important, then guaranteed pods, then who has waited
// longest.
func order(a, b wish) int {
	aSpec, bSpec := a.o.PodSpec(), b.o.PodSpec()
	return cmp.Or(yes(a.grows())-yes(b.grows()), cmp.Compare(projections.PriorityOf(bSpec), projections.PriorityOf(aSpec)),
		yes(projections.QOSClass(bSpec) == corev1.PodQOSGuaranteed)-yes(projections.QOSClass(aSpec) == corev1.PodQOSGuaranteed),
		cmp.Compare(a.row.Resize.Asked.Seq, b.row.Resize.Asked.Seq), cmp.Compare(a.o.Created.Seq, b.o.Created.Seq))
}

func (w wish) grows() bool { return w.wants.CPU > w.has.CPU || w.wants.Memory > w.has.Memory }

func yes(b bool) int {
	if b {
		return 1
	}
	return 0
}

// judge says what becomes of a wish on a node that has so much, of which so much is kept. A resource of which no more is
// wanted is always there.
func judge(has, kept projections.Usage, w wish) (events.Resized, events.Reason) {
	body := events.Resized{Generation: w.row.Resize.Generation}
	for _, r := range []struct {
		what                   corev1.ResourceName
		before, asks, has, all int64
	}{
		{corev1.ResourceCPU, w.has.CPU, w.wants.CPU, has.CPU, kept.CPU},
		{corev1.ResourceMemory, w.has.Memory, w.wants.Memory, has.Memory, kept.Memory},
	} {
		others := r.all - r.before
		switch {
		case r.asks <= r.before:
			continue
		case r.asks > r.has:
			body.Refused = events.Infeasible
			body.Said = fmt.Sprintf("Node didn't have enough capacity: %s, requested: %d, capacity: %d", r.what, r.asks, r.has)
		case others+r.asks > r.has && body.Refused == "":
			body.Refused = events.Deferred
			body.Said = fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", r.what, r.asks, others, r.has)
		}
	}
	return body, events.Reason{Code: body.Refused, Said: body.Said}
}
