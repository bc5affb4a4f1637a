package sim

import (
	"bytes"
	"fmt"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	books "github.com/stave-run/stave/node/ledger"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// Result is what a simulation came to.
type Result struct {
	Seed    uint64
	Script  []Action
	Events  int
	Failure *Failure // nil when no judge found anything
	Trace   []string // what happened, when it was asked for
}

// Simulate plays the script of a seed. trace asks for what happened, line by line.
func Simulate(seed uint64, script []Action, p Plant, trace bool) Result {
	w := newWorld(seed, p)
	w.tracing = trace
	w.found()
	return w.play(seed, script)
}

// SimulateFrom plays the script of a seed on the cluster that a log has left: on
// its objects and its nodes, of which nothing runs any more.
func SimulateFrom(log []events.Envelope, seed uint64, script []Action, trace bool) Result {
	w := newWorld(seed, Plant{})
	w.tracing = trace
	w.goOn(log)
	return w.play(seed, script)
}

func (w *World) play(seed uint64, script []Action) (out Result) {
	defer func() {
		w.survives(recover())
		out = Result{Seed: seed, Script: script, Events: len(w.store.log), Failure: w.failure, Trace: w.trace}
	}()
	w.calm = false
	for _, a := range script {
		if w.failure == nil {
			w.perform(a)
		}
	}
	w.heal()
	w.refold(seed) // before the rest: who missed an event may well have left something lying about
	w.recheck()
	w.judge.rest()
	return out
}

// found makes the cluster: a lease, namespaces, three nodes.
func (w *World) found() {
	r := w.replicas[0]
	r.lead()
	w.submit(run.Request{Actor: "user:system", ID: "bootstrap", Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
		return admit.Bootstrap(v, projections.Cluster{Name: clusterName, PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16",
			DNS: "10.96.0.10", Domain: "cluster.local"}), nil
	}})
	for i := range 3 {
		n := &node{w: w, name: "n" + itoa(i), ip: "10.0.0." + itoa(i+1), up: true, reads: books.Reading{Stale: true}, skew: time.Duration(w.rng.IntN(120)-60) * time.Second}
		w.nodes = append(w.nodes, n)
		n.join()
	}
	w.settleFor(5)
}

// join makes the node a member, at first and after somebody deleted it.
func (n *node) join() {
	w := n.w
	w.submit(run.Request{Actor: events.NodeActor(n.name), ID: "join-" + n.name + w.now.Format(time.RFC3339), Key: admit.NodeKey(n.name),
		Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
			drafts, _ := admit.Join(v, wire.JoinRequest{Node: n.name, Labels: map[string]string{"topology.kubernetes.io/zone": n.zone()}})
			return drafts, nil
		}})
	n.introduce()
}

// zone: there are two, of which one has two nodes.
func (n *node) zone() string {
	if n.name == "n2" {
		return "b"
	}
	return "a"
}

// introduce says what the node has to give.
func (n *node) introduce() {
	has := map[string]string{"cpu": "2", "memory": "1Gi", "pods": "6"}
	e := n.seen(events.Seen{Node: &events.NodeFacts{Hostname: n.name, Capacity: has, Allocatable: has, VolumesDir: "/claims"}})
	if _, err := n.w.store.append(n.w.now, records(e)); err != nil {
		panic(err) // a node's facts expect nothing
	}
}

// settleFor lets so many beats pass in which everybody finishes what there is.
func (w *World) settleFor(beats int) {
	for range beats {
		w.tick()
		w.exhaust()
	}
}

// exhaust gives turns until nobody has anything to do at this time.
func (w *World) exhaust() {
	for range 2000 {
		if w.failure != nil || !w.round() {
			return
		}
	}
	w.fail("settle", "there is always something to do at %s", w.now.Sub(w.began))
}

// The bounds of healing. Back-offs take up to five minutes, and twice that
// lies between a fault and the last thing that follows from it.
const (
	healFor  = 25 * time.Minute
	quietFor = 10 * time.Minute // of healFor, at its end
	// giveFor is how much later an autoscaler gives room back: who waited for it begins then.
	giveFor = 10 * time.Minute
)

// heal mends everything and demands that all settles and stays.
func (w *World) heal() {
	if w.failure != nil {
		return
	}
	w.note("-- everything is mended")
	w.calm = true
	for _, r := range w.replicas {
		r.mend()
	}
	for _, n := range w.nodes {
		n.mend()
	}
	span := healFor
	if w.judge.l.scaler != nil {
		span += giveFor
	}
	for end := w.now.Add(span); w.now.Before(end) && w.failure == nil; {
		w.settleFor(1)
		w.letGo(uint64(w.newest().Seq)<<20, len(w.store.log))
		if end.Sub(w.now) < span-4*time.Minute {
			w.stopTimers(uint64(w.newest().Seq)<<20 + 1<<19)
		}
		w.tame(uint64(w.newest().Seq)<<20+1<<18, end.Sub(w.now) < span-6*time.Minute)
		if end.Sub(w.now) < span-time.Minute {
			w.now = w.now.Add(8 * time.Second) // by now, waits are long ones
		}
		if end.Sub(w.now) < quietFor && w.now.Sub(w.judge.moved) < time.Minute {
			w.fail("settle", "after %s it still moves", span-end.Sub(w.now))
		}
	}
}

// refold folds the log once more. The state at the cut must be what it was, and
// the end what was folded on from there when it happened: a fold that changed a
// row which a snapshot shares shows in the first, one that depends on anything
// but the log in the second. At the cut a checkpoint takes the state's place: one
// that forgets anything which later events need shows at the end.
func (w *World) refold(seed uint64) {
	if w.failure != nil {
		return
	}
	cut := w.base + int(seed%uint64(len(w.store.log)-w.base))
	s := projections.Empty()
	for i, e := range w.store.log {
		if i == cut && !bytes.Equal(s.Dump(), w.views[i].Dump()) {
			w.fail("refold", "the state at %d is not what it was", i)
		}
		if i == cut {
			s = w.restored(s)
		}
		s, _ = w.apply(s, e)
	}
	whole := s.Dump()
	if !bytes.Equal(whole, w.newest().Dump()) {
		w.fail("refold", "all at once is another state than all but the rest, and then the rest")
	}
	for _, r := range w.replicas {
		r.foldAll()
		if !bytes.Equal(whole, r.view.Dump()) {
			w.fail("refold", "%s has another state than the log", r.name)
		}
	}
}

// restored is a state after its checkpoint was written and read.
func (w *World) restored(s projections.State) projections.State {
	var b bytes.Buffer
	err := s.Keep(&b)
	if err == nil {
		s, err = projections.Restore(projections.KeptVersion, &b)
	}
	if err != nil {
		w.fail("checkpoint", "%v", err)
	}
	return s
}

// Format is a failed result for people: seed, finding, script and trace.
func (r Result) Format() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "seed %d: %v\nscript of %d actions:\n", r.Seed, r.Failure, len(r.Script))
	for _, a := range r.Script {
		fmt.Fprintf(&b, "  %s\n", a)
	}
	for _, line := range r.Trace {
		fmt.Fprintln(&b, line)
	}
	return b.String()
}

func records(e events.Envelope) []bus.Record { return []bus.Record{{Envelope: e}} }
