package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// stores are the claims that people have, and in which mode.
var stores = []struct{ name, mode string }{{"d0", "ReadWriteOnce"}, {"d1", "ReadWriteOncePod"}, {"d2", "ReadWriteOnce"}}

func storeKey(i int) events.Key {
	return events.Key{Resource: events.Claims, Namespace: "default", Name: stores[i].name}
}

// storing is somebody who makes a claim or takes it away, or a pod that uses one.
func (w *World) storing(r uint64, rng *rand.Rand) {
	i, pod := rng.IntN(len(stores)), fmt.Sprintf("store%d", rng.IntN(4))
	switch rng.IntN(8) {
	case 0:
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: storeKey(i)}}})
		return
	case 1:
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: events.Key{Resource: events.Pods, Namespace: "default", Name: pod}}}})
		return
	case 2: // the volume itself: it has to stay while somebody has it
		for o := range w.newest().List(events.Volumes, "") {
			w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: o.Key}}})
			return
		}
	}
	if _, ok := w.newest().Get(events.Key{Resource: events.StorageClasses, Name: "local"}); !ok {
		w.ask(r+2, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(
			`{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"local"},"provisioner":"stave.run/local","volumeBindingMode":"WaitForFirstConsumer"}`)}}})
	}
	w.ask(r+1, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
		`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":%q,"namespace":"default"},"spec":{"storageClassName":"local","accessModes":[%q],"resources":{"requests":{"storage":"1Gi"}}}}`,
		stores[i].name, stores[i].mode))}}})
	for range 1 + rng.IntN(2) {
		r += 3
		w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(fmt.Sprintf(
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":"default"},"spec":{"terminationGracePeriodSeconds":5,
"containers":[{"name":"c","image":"one:1","resources":{"requests":{"cpu":"100m"}},"volumeMounts":[{"name":"v","mountPath":"/v"}]}],
"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":%q}}]}}`, fmt.Sprintf("store%d", rng.IntN(4)), stores[i].name))}}})
	}
}

// erase takes the directories away that shall go, those that no pod here may have. What was asked and is not done is done later.
func (n *node) erase(list []projections.ErasedVolume) {
	for _, e := range list {
		if n.condemned == nil {
			n.condemned = map[events.UID]projections.ErasedVolume{}
		}
		n.condemned[e.UID] = e
	}
}

// clear erases what nobody has any more.
func (n *node) clear() bool {
	for uid, e := range n.condemned { //stave:sorted each stands for itself, and one is done a turn
		if n.has(uid) || len(n.condemned) > 1 && n.older(uid) {
			continue
		}
		delete(n.condemned, uid)
		n.kept = append(n.kept, piece{volume: &events.VolumeSeen{Name: e.Name, UID: uid, Kind: events.VolumeErased, At: n.clock()}})
		return true
	}
	return false
}

// older tells whether another directory comes before this one: a map has no order, and a world must have one.
func (n *node) older(than events.UID) bool {
	for uid := range n.condemned { //stave:sorted one answer for all
		if uid < than && !n.has(uid) {
			return true
		}
	}
	return false
}

// has tells whether a pod of the node may have a volume.
func (n *node) has(volume events.UID) bool {
	for _, p := range n.pods {
		if !p.obs.Remains {
			continue
		}
		if p.told == nil {
			return true
		}
		for _, d := range p.told.Claims { //stave:sorted one answer for all
			if d.UID == volume {
				return true
			}
		}
	}
	return false
}

// opened tells of the directories that were made for a pod.
func (n *node) opened(p *pod) {
	for _, v := range p.row.Pod.Spec.Volumes {
		if d, ok := p.row.Claims[v.Name]; ok && !d.Made {
			n.kept = append(n.kept, piece{volume: &events.VolumeSeen{Name: d.Name, UID: d.UID, Kind: events.VolumeMade, At: n.clock()}})
		}
	}
}

// storeBody is what of claims and volumes the judges read.
type storeBody struct {
	Spec struct {
		VolumeName  string   `json:"volumeName"`
		AccessModes []string `json:"accessModes"`
		ClaimRef    *struct {
			UID events.UID `json:"uid"`
		} `json:"claimRef"`
	} `json:"spec"`
}

// binding is a claim or a volume that is there, and whom it is bound to.
type binding struct {
	volume string     // of a claim
	claim  events.UID // of a volume
	alone  bool
}

// stored judges claims and volumes before the ledger takes the event in: bound is bound, nobody shares, and what is in use stays.
func (j *judge) stored(e events.Envelope) {
	k, err := e.Subject.Key()
	if err != nil || e.Subject.Class() != "spec" || k.Resource != events.Claims && k.Resource != events.Volumes {
		return
	}
	var b wish
	read(e.Body, &b)
	if o := j.l.objects[k]; e.Type.Verb() != events.VerbCreated && (o == nil || o.uid != b.UID) {
		return // of another life
	}
	have := j.l.stores[k]
	if e.Type.Verb() == events.VerbRemoved {
		j.used(k)
		delete(j.l.stores, k)
		return
	}
	if len(b.Object) == 0 {
		return
	}
	var body storeBody
	read(b.Object, &body)
	next := binding{volume: body.Spec.VolumeName}
	if body.Spec.ClaimRef != nil {
		next.claim = body.Spec.ClaimRef.UID
	}
	for _, m := range body.Spec.AccessModes {
		next.alone = next.alone || m == "ReadWriteOncePod"
	}
	if have.volume != "" && have.volume != next.volume || have.claim != "" && have.claim != next.claim {
		j.w.fail("claims", "%s was bound to %s%s and is to %s%s", k, have.volume, have.claim, next.volume, next.claim)
	}
	for other, x := range j.l.stores { //stave:sorted each is judged alone
		if other != k && (next.volume != "" && x.volume == next.volume || next.claim != "" && x.claim == next.claim) {
			j.w.fail("claims", "%s and %s share %s%s", k, other, next.volume, next.claim)
		}
	}
	j.l.stores[k] = next
}

// used: nothing goes that a pod may still use.
func (j *judge) used(k events.Key) {
	for _, p := range j.l.order {
		if p.claim == "" || p.node == "" || p.stopped || p.removed {
			continue
		}
		claim := events.Key{Resource: events.Claims, Namespace: p.key.Namespace, Name: p.claim}
		if claim == k || k.Resource == events.Volumes && j.l.stores[claim].volume == k.Name {
			j.w.fail("claims", "%s is gone, and %s may use it", k, p.key)
		}
	}
}

// exclusive: what is one pod's at a time is.
func (j *judge) exclusive(e events.Envelope) {
	var b events.Assigned
	read(e.Body, &b)
	for _, r := range b.Pods {
		p := j.l.pods[r.UID]
		if p == nil || p.claim == "" || p.assigned != e.Seq {
			continue
		}
		x, there := j.l.stores[events.Key{Resource: events.Claims, Namespace: p.key.Namespace, Name: p.claim}]
		if !there || x.volume == "" {
			j.w.fail("claims", "%s is given to %s, and its claim %s has no volume", p.key, nodeOf(e), p.claim)
		}
		for _, o := range j.l.order {
			if x.alone && o != p && o.claim == p.claim && o.key.Namespace == p.key.Namespace && o.node != "" && !o.over() {
				j.w.fail("claims", "%s and %s both have %s", p.key, o.key, p.claim)
			}
		}
	}
}

// detained tells whether something on its way out has to stay: a claim that pods use, and its volume.
func (j *judge) detained(k events.Key) bool {
	for _, p := range j.l.order {
		if p.claim == "" || p.node == "" || p.stopped || p.removed {
			continue
		}
		claim := events.Key{Resource: events.Claims, Namespace: p.key.Namespace, Name: p.claim}
		if k == claim || k.Resource == events.Volumes && j.l.stores[claim].volume == k.Name {
			return true
		}
	}
	if k.Resource != events.Volumes {
		return false
	}
	for _, x := range j.l.stores { //stave:sorted one answer for all
		if x.volume == k.Name {
			return true // its claim is there
		}
	}
	return false
}
