package sim

import (
	"slices"
	"time"

	"github.com/stave-run/stave/events"
	books "github.com/stave-run/stave/node/ledger"
	"github.com/stave-run/stave/projections"
)

// goOn makes the world out of a log, whose sequences follow each other from 1
// on. Only the ledger reads what happened before: the judges were not there.
// The nodes have lost what ran and their disks, so that the log has to do.
func (w *World) goOn(log []events.Envelope) {
	s := w.newest()
	for _, e := range log {
		s, _ = w.apply(s, e)
		w.store.log = append(w.store.log, e)
		w.store.last[e.Subject] = e.Seq
		w.judge.l.fold(e)
		if a := w.judge.l.asked[e.Change]; a != nil && e.Subject.Class() != "change" && !w.judge.l.void(e) {
			a.ops = slices.DeleteFunc(a.ops, func(op events.OpID) bool { return op == e.Op })
		}
	}
	w.views = append(make([]projections.State, len(log)), s) // nobody looks further back
	w.base, w.store.first = len(log), events.Seq(len(log))
	w.now = w.newest().Time.Add(time.Second)
	w.began, w.judge.moved = w.now, w.now
	for _, r := range w.replicas {
		r.boot()
	}
	for o := range w.newest().List(events.Nodes, "") {
		n := &node{w: w, name: o.Key.Name, ip: "10.0.1." + itoa(len(w.nodes)+1), up: true, reads: books.Reading{Stale: true}, skew: time.Duration(w.rng.IntN(120)-60) * time.Second}
		w.nodes = append(w.nodes, n)
	}
	if len(w.nodes) == 0 {
		w.found()
		return
	}
	w.settleFor(5)
}

// unprobed is a row whose containers are asked nothing: those that are only
// pretended could not answer.
func unprobed(row *projections.DesiredPod) *projections.DesiredPod {
	out := *row
	out.Pod = *row.Pod.DeepCopy()
	for i := range out.Pod.Spec.Containers {
		c := &out.Pod.Spec.Containers[i]
		c.ReadinessProbe, c.LivenessProbe, c.StartupProbe, c.Lifecycle = nil, nil, nil, nil
	}
	for i := range out.Pod.Spec.InitContainers {
		c := &out.Pod.Spec.InitContainers[i]
		c.ReadinessProbe, c.LivenessProbe, c.StartupProbe, c.Lifecycle = nil, nil, nil, nil
	}
	return &out
}
