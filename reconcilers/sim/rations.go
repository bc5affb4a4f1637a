package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/reconcilers"
)

// rationed is the namespace that has a ResourceQuota now and then.
const rationed = "small"

var (
	rationKey = events.Key{Resource: events.Quotas, Namespace: rationed, Name: "q"}
	fed       = app{rationed, "fed", `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":1}}`, 0}
)

// ration is somebody who makes a quota, writes numbers of their own into it or takes it away, or who has pods and maps in its namespace.
func (w *World) ration(r uint64, rng *rand.Rand) {
	w.ask(r+1, namespaceRequest(rationed))
	q := wire.ChangeRequest{Operation: wire.Apply}
	switch rng.IntN(9) {
	case 0, 1, 2:
		q.Items = []wire.Item{{Object: []byte(fmt.Sprintf(`{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q","namespace":%q},"spec":{"hard":{"pods":"%d","count/configmaps":"%d"}}}`,
			rationed, 1+rng.IntN(5), 1+rng.IntN(4)))}}
	case 3:
		q.Operation, q.Items = wire.Delete, []wire.Item{{Key: rationKey}}
	case 4: // numbers that are counted
		q.Operation = wire.Status
		q.Items = []wire.Item{{Object: []byte(fmt.Sprintf(`{"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q","namespace":%q},"status":{"hard":{"pods":"90"},"used":{"pods":"%d"}}}`,
			rationed, 60+rng.IntN(9)))}}
	case 5:
		q.Operation, q.Items = wire.Delete, []wire.Item{{Key: fed.key()}}
	case 6:
		q.Operation, q.Replicas, q.Items = wire.Scale, int32(rng.IntN(6)), []wire.Item{{Key: fed.key()}}
	default:
		q.Items = []wire.Item{{Object: []byte(fed.manifest(1+rng.IntN(5), images[rng.IntN(3)]))}}
	}
	w.ask(r, q)
}

// hard is what a quota allows, by what is counted here.
type hard struct{ pods, maps int }

// rationsNow is what of a namespace is counted.
func (j *judge) rationsNow(namespace string) (n hard) {
	for _, p := range j.l.order {
		if p.key.Namespace == namespace && !p.removed && !p.over() {
			n.pods++
		}
	}
	for k := range j.l.objects { //stave:sorted: they are counted
		if k.Resource == events.ConfigMaps && k.Namespace == namespace {
			n.maps++
		}
	}
	return n
}

// within: nothing is made that a quota has no room for.
func (j *judge) within(e events.Envelope) {
	k, err := e.Subject.Key()
	if err != nil || e.Subject.Class() != "spec" {
		return
	}
	if k.Resource == events.Quotas {
		j.l.limit(e, k)
		return
	}
	most, limited := j.l.rations[k.Namespace]
	if !limited || e.Type.Verb() != events.VerbCreated {
		return
	}
	have := j.rationsNow(k.Namespace)
	if k.Resource == events.Pods && have.pods > most.pods || k.Resource == events.ConfigMaps && have.maps > most.maps {
		j.w.fail("quota", "%s is made: %+v of %+v", k, have, most)
	}
}

// limit notes what a quota allows from now on.
func (l *ledger) limit(e events.Envelope, k events.Key) {
	o := l.objects[k]
	if o == nil {
		delete(l.rations, k.Namespace)
		return
	}
	var b wish
	read(e.Body, &b)
	if len(b.Object) == 0 || o.uid != b.UID {
		return
	}
	var q struct {
		Spec struct {
			Hard struct {
				Pods json.Number `json:"pods"`
				Maps json.Number `json:"count/configmaps"`
			} `json:"hard"`
		} `json:"spec"`
	}
	read(b.Object, &q)
	l.rations[k.Namespace] = hard{int(amount(q.Spec.Hard.Pods.String(), false)), int(amount(q.Spec.Hard.Maps.String(), false))}
}

// told: a quota tells what is used, whatever anybody wrote into it; and who has room for a pod makes it.
func (j *judge) toldOfRations() {
	have := j.rationsNow(rationed)
	most, limited := j.l.rations[rationed]
	if o := j.l.objects[fed.key()]; o != nil && (!limited || have.pods < most.pods) {
		if v, _ := o.at(j.w.store.end()); j.ownedBy(o.uid) < v.want {
			j.w.fail("quota", "%s wants %d and has %d pods, though %+v of %+v are used", fed.key(), v.want, j.ownedBy(o.uid), have, most)
		}
	}
	row, ok := j.w.newest().Get(rationKey)
	if !ok || !limited {
		return
	}
	st := j.w.newest().ObjectOf(row, j.w.now).(*corev1.ResourceQuota).Status
	pods, maps := st.Used[corev1.ResourcePods], st.Used["count/configmaps"]
	atMost := st.Hard[corev1.ResourcePods]
	if pods.Value() != int64(have.pods) || maps.Value() != int64(have.maps) || atMost.Value() != int64(most.pods) {
		j.w.fail("quota", "its status says %+v, and it is %+v of %+v", st, have, most)
	}
}

// ownedBy is how many pods a deployment has by all its sets.
func (j *judge) ownedBy(uid events.UID) int {
	n := 0
	for _, s := range j.sets(uid, rationed, j.w.store.end()) { //stave:sorted a sum
		n += j.pods(s.uid)
	}
	return n
}

// unlimited makes pods as if there were no quota.
func unlimited(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	if q, ok := v.Get(rationKey); ok {
		gone := reconcilers.Remove(q)
		v = pretend(v, events.Envelope{Subject: gone.Subject, Type: gone.Type, Body: gone.Body})
	}
	return r.Decide(v, k, now)
}

// idle decides nothing.
func idle(reconcilers.Reconciler, reconcilers.View, events.Key, time.Time) reconcilers.Decision {
	return reconcilers.Decision{}
}
