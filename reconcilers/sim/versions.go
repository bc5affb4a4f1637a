package sim

import (
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
)

// upgraded are the reconcilers in a next version, which decides otherwise and is
// right too: while one replica runs it and the other does not, each has to go on
// from what the other has begun.
func upgraded(rs []reconcilers.Reconciler) []reconcilers.Reconciler {
	out := make([]reconcilers.Reconciler, len(rs))
	for i, r := range rs {
		switch r.Name() {
		case "replicaset", "gc":
			out[i] = next{r, stepwise}
		case "schedule":
			out[i] = next{r, reserving}
		default:
			out[i] = next{r, nil}
		}
	}
	return out
}

// next is a reconciler's next version; without a decide it decides as before.
type next struct {
	reconcilers.Reconciler
	decide decide
}

// Version implements reconcilers.Reconciler.
func (n next) Version() int { return n.Reconciler.Version() + 1 }

// Decide implements reconcilers.Reconciler.
func (n next) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	if n.decide == nil {
		return n.Reconciler.Decide(v, k, now)
	}
	return n.decide(n.Reconciler, v, k, now)
}

// stepwise does one thing at a time, where each stands for itself.
func stepwise(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	for _, e := range d.Events {
		if v := e.Type.Verb(); v != events.VerbCreated && v != events.VerbRemoved {
			return d // which pods are asked to go is chosen together
		}
	}
	if len(d.Events) > 1 {
		d.Events, d.More = d.Events[:1], true
	}
	return d
}

// reserving leaves a part of every node free.
func reserving(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	for o := range v.List(events.Nodes, "") {
		n, ok := v.Node(o.Key.Name)
		if !ok || n.Facts.Allocatable["cpu"] != "2" {
			continue
		}
		facts := n.Facts
		facts.Allocatable = map[string]string{"cpu": "1700m", "memory": facts.Allocatable["memory"], "pods": facts.Allocatable["pods"]}
		v = pretend(v, events.Envelope{Subject: events.SeenSubject(n.Name), Type: events.PodsSeen, Actor: events.NodeActor(n.Name),
			Body: events.MustBody(events.Seen{Node: &facts})})
	}
	return r.Decide(v, k, now)
}
