package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// hold is a finalizer that people put on things, and take off again some time.
const hold = "sim.test/hold"

// keep is somebody who makes what has a finalizer or owners, wants it gone, lets go
// of it, or writes a status.
func (w *World) keep(r uint64, rng *rand.Rand) {
	x := apps[rng.IntN(len(apps))]
	k := events.Key{Resource: events.ConfigMaps, Namespace: x.namespace, Name: "kept-" + itoa(rng.IntN(2))}
	switch rng.IntN(11) {
	case 0, 1:
		w.ask(r+1, namespaceRequest(x.namespace))
		w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":%q,"finalizers":[%q]},"data":{"a":"%x"}}`, k.Name, k.Namespace, hold, r%3))}}})
	case 2:
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: k}}, Cascade: []string{"", "foreground", "orphan"}[rng.IntN(3)]})
	case 3: // somebody holds whatever pod or workload there is
		if o := w.someObject(rng); o != nil && o.Deletion == nil {
			w.rewrite(r, o, []any{hold})
		}
	case 4, 5, 6:
		w.own(r, rng)
	case 7, 8:
		w.say(r, rng)
	default:
		w.letGo(r, 1)
	}
}

// say is a controller outside that writes a status: of what is derived, and of its own.
func (w *World) say(r uint64, rng *rand.Rand) {
	o := w.someObject(rng)
	if o == nil {
		return
	}
	status := map[string]any{"conditions": []any{map[string]any{"type": []string{"Ready", "Available", "sim.test/said"}[rng.IntN(3)], "status": "Unknown", "reason": itoa(rng.IntN(3))}}}
	if rng.IntN(2) == 0 {
		status["observedGeneration"] = rng.IntN(3)
	}
	raw := reconcilers.Edit(events.MustBody(o.Typed()), func(object map[string]any) {
		delete(reconcilers.Field(object, "metadata"), "resourceVersion")
		object["status"] = status
	})
	w.ask(r, wire.ChangeRequest{Operation: wire.Status, Items: []wire.Item{{Object: raw, UID: o.UID}}})
}

// own makes what belongs to one or two other things, whatever they are.
func (w *World) own(r uint64, rng *rand.Rand) {
	var all []*projections.Object
	for _, kind := range []events.Resource{events.ConfigMaps, events.Pods, events.ReplicaSets, events.Deployments} {
		for o := range w.newest().List(kind, "default") {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return
	}
	var refs []map[string]any
	for range 1 + rng.IntN(2) {
		o := all[rng.IntN(len(all))]
		kind, _ := events.KindOf(o.Key.Resource)
		refs = append(refs, map[string]any{"apiVersion": kind.APIVersion(), "kind": kind.Name, "name": o.Key.Name, "uid": o.UID, "blockOwnerDeletion": rng.IntN(2) == 0})
	}
	body := events.MustBody(map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "owned-" + itoa(rng.IntN(4)), "namespace": "default", "ownerReferences": refs}})
	w.ask(r, wire.ChangeRequest{Operation: []wire.Operation{wire.Create, wire.Apply}[rng.IntN(2)], Items: []wire.Item{{Object: body}}})
}

func (w *World) someObject(rng *rand.Rand) *projections.Object {
	var all []*projections.Object
	for _, kind := range []events.Resource{events.Pods, events.ReplicaSets, events.Deployments, events.Namespaces} {
		for o := range w.newest().List(kind, "") {
			if kind != events.Namespaces || o.Key.Name == "team" {
				all = append(all, o)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[rng.IntN(len(all))]
}

// letGo takes what people put on so many objects off; the cluster's own protection stays.
func (w *World) letGo(id uint64, most int) {
	for o := range w.newest().All() {
		if !slices.Contains(o.Keepers(), hold) {
			continue
		}
		if most--; most < 0 {
			return
		}
		id += 2
		w.rewrite(id, o, nil)
	}
}

// rewrite gives an object other finalizers.
func (w *World) rewrite(id uint64, o *projections.Object, finalizers []any) {
	raw := reconcilers.Edit(events.MustBody(o.Typed()), func(object map[string]any) {
		meta := reconcilers.Field(object, "metadata")
		delete(meta, "resourceVersion")
		if meta["finalizers"] = finalizers; finalizers == nil {
			delete(meta, "finalizers")
		}
	})
	w.ask(id, wire.ChangeRequest{Operation: wire.Replace, Items: []wire.Item{{Object: raw, UID: o.UID}}})
}
