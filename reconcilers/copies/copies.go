// Package copies takes away the ConfigMaps and Secrets that rollbacks made when no revision
// that is kept mentions them any more: no deployment, no replica set, no pod. An
// undo that brings one of these back brings its copies too (gateway/undo).
package copies

import (
	"bytes"
	"slices"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

const (
	// young is how long a copy stays whoever mentions it: nobody counts on that, but
	// who looks at what a rollback did finds it.
	young = 10 * time.Second
	// again is when to look again at a copy that only pods mention: each of them has
	// an end, and none of these ends is worth a look at every copy.
	again = time.Minute
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "copies" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 2 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return []events.Resource{events.ConfigMaps, events.Secrets, events.Deployments, events.ReplicaSets, events.StatefulSets, events.DaemonSets, events.Revisions, events.Pods}
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{events.TypeOf(events.ConfigMaps, events.VerbRemoved), events.TypeOf(events.Secrets, events.VerbRemoved),
		events.TypeOf(events.ConfigMaps, events.VerbDeletionRequested), events.TypeOf(events.Secrets, events.VerbDeletionRequested)}
}

// Keys implements reconcilers.Reconciler: a copy itself, and those that a workload
// mentioned which changed or is gone.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	switch c.Key.Resource {
	case events.ConfigMaps, events.Secrets:
		if c.After != nil && projections.IsCopy(c.After) {
			return []events.Key{c.Key}
		}
	case events.Deployments, events.ReplicaSets, events.StatefulSets, events.DaemonSets, events.Revisions:
		if c.Before != nil && (c.After == nil || !sameBody(c.Before, c.After)) {
			return mentioned(v, c.Before)
		}
	}
	return nil
}

// sameBody tells whether only what is derived changed.
func sameBody(a, b *projections.Object) bool {
	return a.Template == b.Template && bytes.Equal(a.Raw, b.Raw)
}

// mentioned are the copies that a workload mentions.
func mentioned(v reconcilers.View, o *projections.Object) []events.Key {
	var out []events.Key
	for _, mention := range projections.Mentions(o) {
		k := mention.Key(o.Key.Namespace)
		if m, ok := v.Get(k); ok && projections.IsCopy(m) {
			out = append(out, k)
		}
	}
	return out
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil || !projections.IsCopy(o) {
		return reconcilers.Decision{}
	}
	if old := o.Created.Time.Add(young); now.Before(old) {
		return reconcilers.Decision{WakeAt: old}
	}
	for _, r := range []events.Resource{events.Deployments, events.ReplicaSets, events.StatefulSets, events.DaemonSets, events.Revisions, events.Pods} {
		by, ok := user(v, r, k)
		if !ok {
			continue
		}
		d := reconcilers.Decision{Because: []events.Reason{{Code: "InUse", About: by}}}
		if r == events.Pods {
			d.WakeAt = now.Add(again)
		}
		return d
	}
	return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Leave(o)}}
}

// user is an object of a resource that mentions a ConfigMap or Secret.
func user(v reconcilers.View, r events.Resource, k events.Key) (events.Key, bool) {
	for o := range v.List(r, k.Namespace) {
		if slices.Contains(projections.Mentions(o), projections.Mention{Resource: k.Resource, Name: k.Name}) {
			return o.Key, true
		}
	}
	return events.Key{}, false
}
