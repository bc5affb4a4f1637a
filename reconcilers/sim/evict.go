package sim

import (
	"math/rand/v2"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// guarded are the pods of the budget that there is: so many of them stay.
const (
	guardedApp = "web"
	guardedMin = 2
)

var budgetKey = events.Key{Resource: events.Budgets, Namespace: "default", Name: "guard"}

// evicting marks the wishes of somebody who drains.
const evicting = "drain"

// evict is somebody who drains: some pod is evicted, that of a budget or another.
func (w *World) evict(r uint64, rng *rand.Rand) {
	if _, ok := w.newest().Get(budgetKey); !ok {
		w.ask(r+1, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(
			`{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"guard","namespace":"default"},"spec":{"minAvailable":2,"selector":{"matchLabels":{"app":"web"}}}}`)}}})
	}
	var all []*projections.Object
	for o := range w.newest().List(events.Pods, "default") {
		if o.PodLabels()["app"] == guardedApp {
			all = append(all, o)
		}
	}
	for i := range min(2, len(all)) { // one after the other, as a drain does
		op := wire.Evict
		if w.plant.heedless {
			op = wire.Delete
		}
		w.ask(r+2+uint64(i), wire.ChangeRequest{Operation: op, Message: evicting, Items: []wire.Item{{Key: all[rng.IntN(len(all))].Key}}})
	}
}

// evicted: who drains takes no healthy pod away that its budget needs.
func (j *judge) evicted(e events.Envelope) {
	if e.Message != evicting || e.Subject.Class() != "spec" {
		return
	}
	var b wish
	read(e.Body, &b)
	p, guard := j.l.pods[b.UID], j.l.objects[budgetKey]
	if p == nil || guard == nil || guard.born > e.Basis || !j.guarded(p, e.Basis) {
		return
	}
	left := 0
	for _, q := range j.l.order {
		if q != p && j.guarded(q, e.Basis) {
			left++
		}
	}
	if left < guardedMin {
		j.w.fail("budget", "%s is evicted, which leaves %d healthy pods of %d", p.key, left, guardedMin)
	}
}

// guarded tells whether a pod counted for the budget at a moment.
func (j *judge) guarded(p *life, at events.Seq) bool {
	gone := p.deleted != 0 && p.deleted <= at || p.ended != 0 && p.ended <= at
	return p.key.Namespace == "default" && p.place.labels["app"] == guardedApp && p.born <= at && !gone && p.readyAt(at) && !j.l.silentAt(p.node, at)
}
