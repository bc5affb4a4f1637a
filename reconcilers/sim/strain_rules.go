package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// oddTimers are CronJobs with schedules that few write.
var oddTimers = []struct{ name, spec string }{
	{"paced", `"schedule":"@every 1m30s","concurrencyPolicy":"Allow"`},
	{"never", `"schedule":"0 0 30 2 *"`},
	{"abroad", `"schedule":"*/3 1-23/2,* * * *","timeZone":"America/St_Johns","concurrencyPolicy":"Replace"`},
}

func oddKey(i int) events.Key {
	return events.Key{Resource: events.CronJobs, Namespace: "default", Name: oddTimers[i].name}
}

// oddTimer is somebody who makes one of them, or has it wait.
func (w *World) oddTimer(r uint64, rng *rand.Rand) {
	w.setOddTimer(r, rng.IntN(len(oddTimers)), rng.IntN(6) == 0)
}

func (w *World) setOddTimer(id uint64, i int, wait bool) {
	w.ask(id, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
		`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":%q,"namespace":"default"},"spec":{%s,"suspend":%v,"jobTemplate":{"spec":{"completions":0,
"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"ends:1"}]}}}}}}`, oddTimers[i].name, oddTimers[i].spec, wait))}}})
}

// stopOddTimers has those wait that still go on.
func (w *World) stopOddTimers(id uint64) {
	for i := range oddTimers {
		if o := w.judge.l.objects[oddKey(i)]; o != nil && !o.deleting && len(o.timers) > 0 && !o.timers[len(o.timers)-1].Suspend {
			w.setOddTimer(id+uint64(i), i, true)
		}
	}
}

// backlogOf is how many Jobs a CronJob has to forget at once: more than one decision may hold.
const backlogOf = 103

// hoardKey is the CronJob that has them. It makes none of its own.
var hoardKey = events.Key{Resource: events.CronJobs, Namespace: "default", Name: "hoard"}

func (w *World) hoard(id uint64, keep int) {
	w.ask(id, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"hoard","namespace":"default"},
"spec":{"schedule":"* * * * *","suspend":true,"successfulJobsHistoryLimit":%d,"jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"ends:1"}]}}}}}}`, keep))}}})
}

// backlog is somebody who keeps all Jobs of a CronJob that there ever were.
func (w *World) backlog(r uint64) {
	w.hoard(r+1, 1000)
	o, ok := w.newest().Get(hoardKey)
	if !ok {
		return
	}
	var all []string
	for i := range backlogOf {
		all = append(all, fmt.Sprintf(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"hoard-%d","namespace":"default","ownerReferences":[{"apiVersion":"batch/v1","kind":"CronJob","name":"hoard","uid":%q,"controller":true}]},
"spec":{"completions":0,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"ends:1"}]}}}}`, i, o.UID))
	}
	w.askAll(r, all)
}

// unhoard is the same when all of them are over, and wants few of them.
func (w *World) unhoard(id uint64) {
	if o := w.judge.l.objects[hoardKey]; o != nil && !o.deleting && o.timers[len(o.timers)-1].limit("Complete") > 1 {
		w.hoard(id, int(id>>20&1))
	}
}

// held is the deployment whose pods have gates.
var held = app{"default", "held", `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":1}}`, 0}

// gate is somebody who makes pods that are held back, or lets some go.
func (w *World) gate(r uint64, rng *rand.Rand) {
	switch rng.IntN(4) {
	case 0:
		body := reconcilers.Edit([]byte(held.manifest(1+rng.IntN(3), images[rng.IntN(3)])), func(object map[string]any) {
			pod := reconcilers.Field(reconcilers.Field(reconcilers.Field(object, "spec"), "template"), "spec")
			pod["schedulingGates"] = []any{map[string]any{"name": "sim.test/wait"}}
		})
		w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: body}}})
	case 1:
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: held.key()}}})
	default:
		w.ungate(r, 1+rng.IntN(2))
	}
}

// ungate lets so many pods go that are held back.
func (w *World) ungate(id uint64, most int) {
	for o := range w.newest().List(events.Pods, "default") {
		if o.Deletion != nil || !projections.HeldBack(o.PodSpec()) {
			continue
		}
		if most--; most < 0 {
			return
		}
		id += 2
		raw := reconcilers.Edit(events.MustBody(o.Typed()), func(object map[string]any) {
			delete(reconcilers.Field(object, "metadata"), "resourceVersion")
			delete(reconcilers.Field(object, "spec"), "schedulingGates")
		})
		w.ask(id, wire.ChangeRequest{Operation: wire.Replace, Items: []wire.Item{{Object: raw, UID: o.UID}}})
	}
}

// ranges is somebody who says how large pods may be, takes that back, or has pods that may be too large.
func (w *World) ranges(r uint64, rng *rand.Rand) {
	w.fence(r, rng)
	k := events.Key{Resource: events.LimitRanges, Namespace: wild, Name: "l"}
	switch rng.IntN(5) {
	case 0:
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: k}}})
	case 1, 2, 3:
		w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
			`{"apiVersion":"v1","kind":"LimitRange","metadata":{"name":"l","namespace":%q},"spec":{"limits":[{"type":"Container","max":{"cpu":"%dm"},"defaultRequest":{"cpu":"20m"}}]}}`, wild, 50*(1+rng.IntN(8))))}}})
	}
	w.ask(r+3, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(ranged.manifest(1+rng.IntN(3), images[rng.IntN(3)]))}}})
}

// ranged is the deployment whose pods are as large as may be, or larger.
var ranged = app{wild, "ranged", `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":1}}`, 0}

// pacedBy: the times of @every follow each other by the same time, from when the CronJob was made.
func (j *judge) pacedBy(t timing, o *entry, at time.Time, k events.Key) {
	d, ok := strings.CutPrefix(t.Schedule, "@every ")
	if !ok {
		return
	}
	if every, err := time.ParseDuration(d); err != nil || at.Sub(o.last.Truncate(time.Second))%every != 0 {
		j.w.fail("timers", "%s is for %s, which is no time of %s after %s", k, at, t.Schedule, o.last)
	}
}

// limitsOf notes the largest container that a namespace's limit range allows, in thousandths of a core; none when it has none.
func (l *ledger) limitsOf(e events.Envelope, k events.Key) {
	if k.Resource != events.LimitRanges || e.Subject.Class() != "spec" {
		return
	}
	if l.objects[k] == nil {
		delete(l.ranges, k.Namespace)
		return
	}
	var b wish
	if read(e.Body, &b); len(b.Object) == 0 {
		return
	}
	var r struct {
		Spec struct {
			Limits []struct {
				Max struct {
					CPU string `json:"cpu"`
				} `json:"max"`
			} `json:"limits"`
		} `json:"spec"`
	}
	read(b.Object, &r)
	l.ranges[k.Namespace] = amount(r.Spec.Limits[0].Max.CPU, true)
}

// relabel is somebody who gives a pod of a set other labels, so that it is none of it any more, or makes one that could be.
func (w *World) relabel(r uint64, rng *rand.Rand) {
	w.fence(r, rng)
	switch rng.IntN(4) {
	case 0:
		w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"stray%d","namespace":%q,"labels":{"x":"r"}},"spec":{"terminationGracePeriodSeconds":5,"containers":[{"name":"c","image":"one:1"}]}}`, rng.IntN(2), wild))}}})
	case 1:
		w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
			`{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"x","namespace":%q},"spec":{"replicas":%d,"selector":{"matchLabels":{"x":"r"}},"template":{"metadata":{"labels":{"x":"r"}},
"spec":{"terminationGracePeriodSeconds":5,"containers":[{"name":"c","image":"one:1"}]}}}}`, wild, rng.IntN(4)))}}})
	default:
		var all []*projections.Object
		for o := range w.newest().List(events.Pods, wild) {
			if o.PodLabels()["x"] == "r" || rng.IntN(4) == 0 {
				all = append(all, o)
			}
		}
		if len(all) == 0 {
			return
		}
		o := all[rng.IntN(len(all))]
		raw := reconcilers.Edit(events.MustBody(o.Typed()), func(object map[string]any) {
			meta := reconcilers.Field(object, "metadata")
			delete(meta, "resourceVersion")
			reconcilers.Field(meta, "labels")["x"] = []string{"r", "none", "none"}[rng.IntN(3)]
		})
		w.ask(r, wire.ChangeRequest{Operation: wire.Replace, Items: []wire.Item{{Object: raw, UID: o.UID}}})
	}
}

// straySet is the set whose pods come and go by their labels.
var straySet = events.Key{Resource: events.ReplicaSets, Namespace: wild, Name: "x"}

// strays: at rest the set has the pods that bear its label and run, and no other.
func (j *judge) strays() {
	o := j.l.objects[straySet]
	if o == nil || o.deleting {
		return
	}
	for _, p := range j.l.order {
		if p.key.Namespace != wild || !p.counts() {
			continue
		}
		switch mine, bears := p.owner == o.uid, p.place.labels["x"] == "r"; {
		case mine && !bears:
			j.w.fail("settle", "%s has %s, which does not bear its label", straySet, p.key)
		case bears && p.owner == "":
			j.w.fail("settle", "%s belongs to nobody, and bears the label of %s", p.key, straySet)
		}
	}
}

// largest is what the largest of a pod's containers asks for, in thousandths of a core.
func (b *podBody) largest() (most int64) {
	for _, c := range b.Spec.Containers {
		most = max(most, amount(c.Resources.Requests["cpu"], true))
	}
	return most
}

// allowed: a pod is made as its namespace's limit range allows, and none is given a node that is held back.
func (j *judge) allowed(e events.Envelope) {
	k, _ := e.Subject.Key()
	j.l.limitsOf(e, k)
	switch e.Type {
	case events.TypeOf(events.Pods, events.VerbCreated):
		most, limited := j.l.ranges[k.Namespace]
		var b wish
		read(e.Body, &b)
		if p := j.l.pods[b.UID]; p != nil && limited && p.largest > most {
			j.w.fail("limits", "%s asks for %dm, and no container may for more than %dm", k, p.largest, most)
		}
	case events.PodsAssigned:
		var b events.Assigned
		read(e.Body, &b)
		for _, r := range b.Pods {
			if p := j.l.pods[r.UID]; p != nil && p.gated {
				j.w.fail("place", "%s is held back, and is given to %s", p.key, nodeOf(e))
			}
		}
	}
}
