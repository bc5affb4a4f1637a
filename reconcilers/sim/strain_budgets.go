package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// fickleKey is the budget that people change, of the pods of one of the apps, which all belong to its deployment.
var fickleKey = events.Key{Resource: events.Budgets, Namespace: "default", Name: "fickle"}

// fickleApp is the app that it guards.
var fickleApp = apps[1]

// waver is somebody who makes the budget, says something else in it or takes it away, and drains pods then.
func (w *World) waver(r uint64, rng *rand.Rand) {
	switch rng.IntN(6) {
	case 0:
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: fickleKey}}})
	case 1, 2, 3:
		said := fmt.Sprintf([]string{`"minAvailable":%d`, `"maxUnavailable":%d`, `"minAvailable":"%d0%%"`, `"maxUnavailable":"%d0%%"`}[rng.IntN(4)], rng.IntN(4))
		w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
			`{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"fickle","namespace":"default"},"spec":{%s,"unhealthyPodEvictionPolicy":%q,"selector":{"matchLabels":{"app":%q}}}}`,
			said, []string{"IfHealthyBudget", "AlwaysAllow"}[rng.IntN(2)], fickleApp.name))}}})
	}
	var all []*projections.Object
	for o := range w.newest().List(events.Pods, "default") {
		if o.PodLabels()["app"] == fickleApp.name {
			all = append(all, o)
		}
	}
	for i := range min(3, len(all)) {
		q := w.wish(r+2+uint64(i), wire.ChangeRequest{Operation: wire.Evict, Message: wavering, Items: []wire.Item{{Key: all[rng.IntN(len(all))].Key}}})
		if decide := q.Decide; w.plant.outdated {
			q.Decide = func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) { return decide(lenient(v), now) }
		}
		w.submit(q)
	}
}

// wavering is what the drainer says with its evictions: by it the judge knows them.
const wavering = "drained under a budget that changes"

// allowance is what the budget said from an event on.
type allowance struct {
	seq    events.Seq
	gone   bool            // there is none
	Least  json.RawMessage `json:"minAvailable"`
	Most   json.RawMessage `json:"maxUnavailable"`
	Policy string          `json:"unhealthyPodEvictionPolicy"`
}

// allows notes what the budget says from now on.
func (l *ledger) allows(e events.Envelope) {
	k, err := e.Subject.Key()
	if err != nil || k != fickleKey || e.Subject.Class() != "spec" {
		return
	}
	a := allowance{seq: e.Seq, gone: l.objects[k] == nil}
	var b wish
	if read(e.Body, &b); !a.gone && len(b.Object) == 0 {
		return
	}
	if !a.gone {
		var spec struct {
			Spec allowance `json:"spec"`
		}
		read(b.Object, &spec)
		a.Least, a.Most, a.Policy = spec.Spec.Least, spec.Spec.Most, spec.Spec.Policy
	}
	l.fickle = append(l.fickle, a)
}

// needed is how many healthy pods the budget wanted, of a deployment of so many.
func (a allowance) needed(of int) int {
	if a.Most != nil {
		return max(0, of-share(a.Most, of, math.Ceil))
	}
	return share(a.Least, of, math.Ceil)
}

// wavered: who drains takes no pod away that the budget needs, as it is when the pod is asked to go: a healthy one only while more are
// healthy than it wants, and one that is not only while it has what it wants, or says that those may always go.
func (j *judge) wavered(e events.Envelope) {
	if e.Message != wavering || e.Subject.Class() != "spec" {
		return
	}
	var b wish
	read(e.Body, &b)
	p, a := j.l.pods[b.UID], j.l.allowanceAt(e.Basis)
	o := j.l.objects[fickleApp.key()]
	if p == nil || o == nil || a.seq == 0 || a.gone || p.deleted != 0 || p.over() || !p.begun() {
		return
	}
	v, ok := o.at(e.Basis)
	if !ok {
		return
	}
	healthy := 0
	for _, q := range j.l.order {
		if q.place.labels["app"] == fickleApp.name && q.key.Namespace == "default" && j.heals(q, e.Basis) {
			healthy++
		}
	}
	need := a.needed(v.want)
	switch is := j.heals(p, e.Basis); {
	case is && healthy-1 < need:
		j.w.fail("budget", "%s is evicted of %d healthy pods, of which %d are needed", p.key, healthy, need)
	case !is && a.Policy != "AlwaysAllow" && healthy < need:
		j.w.fail("budget", "%s, which is not healthy, is evicted while %d of %d are", p.key, healthy, need)
	}
}

// heals tells whether a pod counted as healthy at a moment.
func (j *judge) heals(p *life, at events.Seq) bool {
	gone := p.deleted != 0 && p.deleted <= at || p.ended != 0 && p.ended <= at
	return p.born <= at && !gone && p.readyAt(at) && !j.l.silentAt(p.node, at)
}

// begun tells whether all containers of a pod have run: no budget is asked about one that is pending.
func (p *life) begun() bool {
	return !slices.ContainsFunc(p.names, func(c string) bool { return p.run[c] == 0 })
}

// allowanceAt is what the budget said then; the zero one when there was none.
func (l *ledger) allowanceAt(at events.Seq) (a allowance) {
	for _, x := range l.fickle {
		if x.seq <= at {
			a = x
		}
	}
	return a
}

// move is somebody who says that a node is in another zone, or has other taints.
func (w *World) move(r uint64, rng *rand.Rand) {
	name := "n" + itoa(rng.IntN(3))
	if rng.IntN(3) == 0 {
		w.taint(r, rng)
		return
	}
	o, ok := w.newest().Get(admit.NodeKey(name))
	if !ok {
		return
	}
	zone := strings.Split("a b c", " ")[rng.IntN(3)]
	raw := reconcilers.Edit(o.Raw, func(object map[string]any) {
		reconcilers.Field(reconcilers.Field(object, "metadata"), "labels")["topology.kubernetes.io/zone"] = zone
	})
	w.ask(r, wire.ChangeRequest{Operation: wire.Replace, Items: []wire.Item{{Object: raw}}})
}
