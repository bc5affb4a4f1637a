package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/autoscale"
	"github.com/stave-run/stave/reconcilers/copies"
	"github.com/stave-run/stave/reconcilers/cronjob"
	"github.com/stave-run/stave/reconcilers/daemonset"
	"github.com/stave-run/stave/reconcilers/deployment"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/job"
	"github.com/stave-run/stave/reconcilers/namespace"
	"github.com/stave-run/stave/reconcilers/nodelife"
	"github.com/stave-run/stave/reconcilers/podgc"
	"github.com/stave-run/stave/reconcilers/quota"
	"github.com/stave-run/stave/reconcilers/replicaset"
	"github.com/stave-run/stave/reconcilers/resize"
	"github.com/stave-run/stave/reconcilers/schedule"
	"github.com/stave-run/stave/reconcilers/statefulset"
	"github.com/stave-run/stave/reconcilers/volume"
)

// begin is when every world begins.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// World is one cluster with everybody in it.
type World struct {
	now         time.Time // the true time, which is the log's and the control plane's
	rng         *rand.Rand
	calm        bool // no more faults
	store       *store
	began       time.Time
	base        int                 // how many events the world began with
	views       []projections.State // the fold after each event; views[0] is empty
	reconcilers []reconcilers.Reconciler
	newer       []reconcilers.Reconciler // the same ones in their next version
	rechecked   int                      // decisions that were made again at the end
	replicas    []*replica
	nodes       []*node
	letters     []letter
	load        int       // that the pods of an autoscaler's target share, in thousandths of a core
	measured    time.Time // when they were looked at last
	outside     outside
	judge       *judge
	plant       Plant
	failure     *Failure
	tracing     bool
	told        bool
	trace       []string
}

// Failure is what a judge found.
type Failure struct {
	Judge string // which one
	What  string
	Seq   events.Seq // the last event then
}

// Error is the finding in one line.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s (at %d)", f.Judge, f.What, f.Seq) }

func everyone() []reconcilers.Reconciler {
	return []reconcilers.Reconciler{deployment.Reconciler{Guards: guards}, replicaset.Reconciler{Guards: guards}, statefulset.Reconciler{}, job.Reconciler{}, cronjob.Reconciler{}, daemonset.Reconciler{}, schedule.Reconciler{},
		nodelife.Reconciler{}, gc.Reconciler{}, podgc.Reconciler{}, namespace.Reconciler{}, copies.Reconciler{},
		resize.Reconciler{}, volume.Reconciler{}, quota.Reconciler{}, autoscale.Reconciler{}}
}

func newWorld(seed uint64, plant Plant) *World {
	w := &World{now: begin, began: begin, rng: rand.New(rand.NewPCG(seed, 1)), calm: true, plant: plant, views: []projections.State{projections.Empty()},
		outside: outside{rng: rand.New(rand.NewPCG(seed, 2))}}
	w.reconcilers = everyone()
	if plant.swap != nil {
		for i, r := range w.reconcilers {
			w.reconcilers[i] = plant.swap(r)
		}
	}
	w.newer = upgraded(w.reconcilers)
	w.judge = newJudge(w)
	w.store = newStore(w.landed)
	for i := range 2 {
		r := &replica{w: w, name: "cp" + itoa(i)}
		r.boot()
		w.replicas = append(w.replicas, r)
	}
	return w
}

// landed folds an event for the judges and shows it to them.
func (w *World) landed(e events.Envelope) {
	before := w.views[len(w.views)-1]
	after, changes := w.apply(before, e)
	w.views = append(w.views, after)
	if w.tracing {
		w.note("%s", line(e))
	}
	w.judge.landed(e, before, after, changes)
}

func (w *World) apply(s projections.State, e events.Envelope) (projections.State, []projections.Change) {
	if w.plant.apply != nil {
		return w.plant.apply(s, e)
	}
	return projections.Apply(s, e)
}

// fate draws what becomes of something: one of n, where the low numbers are
// faults. When all is healed nothing is faulty.
func (w *World) fate(n int) int {
	if w.calm {
		return n
	}
	return w.rng.IntN(n)
}

// lag is how many events a replica folds at a time.
func (w *World) lag() int {
	if w.calm || w.rng.IntN(2) == 0 {
		return len(w.store.log)
	}
	return w.rng.IntN(5)
}

func (w *World) fail(judge, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Failure{Judge: judge, What: fmt.Sprintf(format, args...), Seq: w.store.end()}
		w.note("FOUND by %s: %s", judge, w.failure.What)
	}
}

func (w *World) note(format string, args ...any) {
	if !w.tracing || w.told {
		return
	}
	w.trace = append(w.trace, fmt.Sprintf("%8.1fs  ", w.now.Sub(w.began).Seconds())+fmt.Sprintf(format, args...))
	w.told = w.failure != nil // what comes after it explains nothing
}

func (w *World) node(name string) *node {
	for _, n := range w.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// leaders are the replicas that believe that they hold the lease and can act.
func (w *World) leaders() []*replica {
	var out []*replica
	for _, r := range w.replicas {
		if r.able() && r.holds() {
			out = append(out, r)
		}
	}
	return out
}

// round gives everybody who can act some turns, in an order that is drawn.
func (w *World) round() bool {
	did := w.deliver()
	turns := make([]func() bool, 0, len(w.replicas)+len(w.nodes))
	for _, r := range w.replicas {
		turns = append(turns, r.turn)
	}
	for _, n := range w.nodes {
		turns = append(turns, n.turn)
	}
	w.rng.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
	for _, turn := range turns {
		if w.failure == nil && turn() {
			did = true
		}
	}
	return did
}

// beat is how long a tick of the world is. An observer counts no more silence
// than that from one tick to the next.
const beat = 2 * time.Second

// tick lets a beat of time pass: heartbeats, beacons, and who wants the lease.
func (w *World) tick() {
	w.now = w.now.Add(beat)
	for _, r := range w.replicas {
		if !r.able() {
			continue
		}
		r.observe()
		if r.holds() {
			r.feeder.beacon()
		}
	}
	w.elect()
	w.measure()
	w.reply()
	for _, n := range w.nodes {
		if _, member := w.newest().Get(admit.NodeKey(n.name)); !member && n.able() && !n.cut && w.fate(4) != 0 && len(w.leaders()) > 0 {
			n.join()
		}
	}
}

// elect lets a replica take the lease: when nobody has it who can act, and
// sometimes although somebody has.
func (w *World) elect() {
	leaders := w.leaders()
	for _, r := range w.replicas {
		if r.able() && !r.holds() && (len(leaders) == 0 || !w.calm && w.rng.IntN(60) == 0) {
			w.note("%s wants the lease", r.name)
			r.lead()
			return
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

// line is an event for people.
func line(e events.Envelope) string {
	body := string(e.Body)
	if len(body) > 160 {
		body = body[:160] + "…"
	}
	return fmt.Sprintf("%4d %s %s by %s because of %d on %d epoch %d %s", e.Seq, e.Subject, e.Type, e.Actor, e.Cause, e.Basis, e.Epoch, body)
}
