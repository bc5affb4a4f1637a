package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/autoscale"
	"github.com/stave-run/stave/reconcilers/run"
)

// grows is what an autoscaler of the same name has the size of.
var (
	grows     = app{"default", "grow", `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":0}}`, 0}
	scalerKey = events.Key{Resource: events.Autoscalers, Namespace: grows.namespace, Name: grows.name}
)

// growAim is the percent of the CPU that its pods ask for that they should use.
const growAim = 50

// grow is somebody who makes an autoscaler and its target, or changes them; or the load changes.
func (w *World) grow(r uint64, rng *rand.Rand) {
	q := wire.ChangeRequest{Operation: wire.Apply}
	switch rng.IntN(10) {
	case 0, 1:
		q.Items = []wire.Item{{Object: []byte(grows.manifest(1+rng.IntN(4), images[rng.IntN(3)]))}}
	case 2, 3, 4:
		least := 1 + rng.IntN(2)
		q.Items = []wire.Item{{Object: []byte(fmt.Sprintf(`{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":%q,"namespace":%q},"spec":{"minReplicas":%d,"maxReplicas":%d,
"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":%q},"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":%d}}}]}}`,
			scalerKey.Name, scalerKey.Namespace, least, least+rng.IntN(4), grows.name, growAim))}}
	case 5:
		q.Operation, q.Items = wire.Delete, []wire.Item{{Key: []events.Key{scalerKey, grows.key()}[rng.IntN(2)]}}
	case 6:
		q.Operation, q.Replicas, q.Items = wire.Scale, int32(rng.IntN(6)), []wire.Item{{Key: grows.key()}}
	default:
		w.load = 100 * rng.IntN(9)
		w.note("the load is %d", w.load)
		return
	}
	w.ask(r, q)
}

// measureEvery is how often the pods of autoscalers are measured.
const measureEvery = 8 * beat

// measure is the room that asks nodes what pods use, as the control plane has one; some do not answer.
func (w *World) measure() {
	if w.now.Sub(w.measured) < measureEvery {
		return
	}
	w.measured = w.now
	for _, r := range w.leaders() {
		o, ok := r.view.Get(scalerKey)
		if !ok || o.Deletion != nil || w.fate(12) == 0 {
			continue
		}
		m, err := autoscale.Measure(r.view, o, w.samples(), r.time())
		if err != nil || !autoscale.Moved(o, m, r.time()) {
			continue
		}
		r.submit(run.Request{Actor: events.Controller("measure"), ID: r.holder() + "/" + w.now.Format(time.RFC3339Nano), Key: o.Key,
			Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
				return autoscale.Report(v, o, m), nil
			}})
	}
}

// samples are what the pods use that answer: each its share of the load.
func (w *World) samples() autoscale.Samples {
	var up []events.UID
	v := w.newest()
	for o := range v.List(events.Pods, grows.namespace) {
		if p, ok := v.PodOf(o.Key); ok && !p.ReadySince.IsZero() && strings.HasPrefix(o.Key.Name, grows.name+"-") {
			up = append(up, o.UID)
		}
	}
	out := autoscale.Samples{}
	for _, uid := range up {
		if w.fate(8) != 0 {
			out[uid] = autoscale.Sample{At: w.now, Containers: map[string]autoscale.Use{"c": {CPU: int64(w.load / len(up)), Window: time.Second}}}
		}
	}
	return out
}

// scaler is the ledger's copy of an autoscaler.
type scaler struct {
	uid    events.UID
	bounds []bounds
	wishes []asking
}

type bounds struct {
	seq         events.Seq
	least, most int
}

// asking is how many replicas were measured to be needed, from a time on; -1 when that could not be said.
type asking struct {
	seq events.Seq
	at  time.Time
	n   int
}

// scales notes what an autoscaler is and what was measured for it.
func (l *ledger) scales(e events.Envelope) {
	k, err := e.Subject.Key()
	if err != nil || k.Resource != events.Autoscalers {
		return
	}
	o := l.objects[k]
	if o == nil {
		return
	}
	if l.scaler == nil || l.scaler.uid != o.uid {
		l.scaler = &scaler{uid: o.uid}
	}
	switch e.Subject.Class() {
	case "spec":
		var b wish
		if read(e.Body, &b); len(b.Object) == 0 {
			return
		}
		var h struct {
			Spec struct{ MinReplicas, MaxReplicas int } `json:"spec"`
		}
		read(b.Object, &h)
		l.scaler.bounds = append(l.scaler.bounds, bounds{e.Seq, h.Spec.MinReplicas, h.Spec.MaxReplicas})
	case "status":
		var b struct {
			UID      events.UID
			Measured *struct{ Replicas, Current int }
		}
		if read(e.Body, &b); b.Measured != nil && b.UID == o.uid {
			if len(l.scaler.wishes) == 0 { // what was there before counts as asked for, as in Kubernetes
				l.scaler.wishes = append(l.scaler.wishes, asking{e.Seq, e.Time, b.Measured.Current})
			}
			l.scaler.wishes = append(l.scaler.wishes, asking{e.Seq, e.Time, b.Measured.Replicas})
		}
	}
}

// steady is how long the most that was asked for counts, where an autoscaler says nothing else.
const steady = 5 * time.Minute

// asked is what was asked for within a time before a decision: the last thing said before it too, for it held on.
func (s *scaler) asked(e events.Envelope, within time.Duration) (least, most, last int) {
	least, most, last = math.MaxInt, -1, -1
	for _, w := range slices.Backward(s.wishes) {
		if w.seq > e.Basis {
			continue
		}
		if most < 0 && last < 0 {
			last = w.n
		}
		least, most = min(least, w.n), max(most, w.n)
		if e.Now.Sub(w.at) > within {
			break
		}
	}
	return least, most, last
}

// scaled judges a change of replicas by an autoscaler: within its bounds, never of what was stopped, up no further and down no sooner
// than what was measured asks for, and without a measurement only into the bounds.
func (j *judge) scaled(e events.Envelope) {
	if e.Type != events.TypeOf(events.Deployments, events.VerbChanged) || !strings.HasPrefix(e.Reconciler, "autoscale/") {
		return
	}
	k, _ := e.Subject.Key()
	o, s := j.l.objects[k], j.l.scaler
	if o == nil || s == nil || len(o.versions) < 2 {
		j.w.fail("scaler", "%s is scaled by nobody", k)
		return
	}
	from, n := o.versions[len(o.versions)-2].want, o.versions[len(o.versions)-1].want
	var b bounds
	for _, x := range s.bounds {
		if x.seq <= e.Basis {
			b = x
		}
	}
	if n < b.least || n > b.most || from == 0 {
		j.w.fail("scaler", "%s is scaled from %d to %d, and has %d to %d", k, from, n, b.least, b.most)
	}
	if from < b.least || from > b.most {
		return
	}
	_, most, _ := s.asked(e, steady+mostSkew)
	_, lately, last := s.asked(e, steady-mostSkew)
	switch {
	case n > from && (most < n || n > max(2*from, 4)):
		j.w.fail("scaler", "%s is scaled up from %d to %d, and %d was asked for at most", k, from, n, most)
	case n < from && (last < 0 || min(lately, b.most) > n):
		j.w.fail("scaler", "%s is scaled down from %d to %d, and %d was asked for lately, %d last", k, from, n, lately, last)
	}
}

// grown: at rest a target has as many pods as its load wants.
func (j *judge) grown() {
	o, s := j.l.objects[grows.key()], j.l.scaler
	h := j.l.objects[scalerKey]
	if o == nil || h == nil || o.deleting || h.deleting || s == nil || s.uid != h.uid {
		return
	}
	v, _ := o.at(j.w.store.end())
	b := s.bounds[len(s.bounds)-1]
	if v.want == 0 {
		return
	}
	if v.want < b.least || v.want > b.most {
		j.w.fail("scaler", "%s wants %d, and has %d to %d", grows.key(), v.want, b.least, b.most)
	}
	ready, asks, pods := 0, 0, 0
	for _, x := range j.sets(o.uid, grows.namespace, j.w.store.end()) { //stave:sorted a sum
		ready += j.available(x.uid, j.w.store.end(), j.w.now, v.ripe)
		for _, p := range j.l.order { // some were resized
			if p.owner == x.uid && p.counts() {
				asks, pods = asks+int(p.ask.milli), pods+1
			}
		}
	}
	if ready != v.want || pods != v.want {
		return // some have no room
	}
	const tolerated = 0.1
	ratio := float64(j.w.load/v.want*v.want*100/asks) / growAim
	ideal := min(max(int(math.Ceil(ratio*float64(v.want))), b.least), b.most)
	if (ratio < 1-tolerated || ratio > 1+tolerated) && ideal != v.want {
		j.w.fail("scaler", "%s rests with %d pods under a load of %d, which wants %d", grows.key(), v.want, j.w.load, ideal)
	}
}

// boundlessly goes beyond what an autoscaler may.
func boundlessly(spec map[string]any) { add(spec, "maxReplicas", 2) }

// nervous goes down as soon as less is asked for.
func nervous(spec map[string]any) {
	all := map[string]any{"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": []any{map[string]any{"type": "Percent", "value": 100, "periodSeconds": 15}}}
	spec["behavior"] = map[string]any{"scaleUp": all, "scaleDown": all}
}
