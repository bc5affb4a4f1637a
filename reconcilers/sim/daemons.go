package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// watch is a DaemonSet that people have. How it rolls out and which nodes it means
// belong to the name, so that a judge need not know under which of two something began.
type watch struct {
	name        string
	surge, away int
	ripe        int    // minReadySeconds
	zone        string // of its nodes, empty for any
	bears       bool   // the taint that people give nodes here
}

var watches = []watch{
	{name: "agent", away: 1, ripe: 5},
	{name: "edge", surge: 1, zone: "a", bears: true},
}

func (x watch) key() events.Key {
	return events.Key{Resource: events.DaemonSets, Namespace: "default", Name: x.name}
}

func (x watch) manifest(image string) string {
	pod := ""
	if x.zone != "" {
		pod += fmt.Sprintf(`"nodeSelector":{"topology.kubernetes.io/zone":%q},`, x.zone)
	}
	if x.bears {
		pod += `"tolerations":[{"key":"dedicated","operator":"Exists"}],`
	}
	return fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":%q,"namespace":"default"},"spec":{"minReadySeconds":%d,
"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":%d,"maxUnavailable":%d}},"selector":{"matchLabels":{"daemon":%q}},
"template":{"metadata":{"labels":{"daemon":%q}},"spec":{%s"terminationGracePeriodSeconds":10,"containers":[{"name":"c","image":%q,"resources":{"requests":{"cpu":"50m"}}}]}}}}`,
		x.name, x.ripe, x.surge, x.away, x.name, x.name, pod, image)
}

// daemon is somebody who makes a DaemonSet, gives it another image, takes it away, or
// keeps pods from a node.
func (w *World) daemon(r uint64, rng *rand.Rand) {
	x := watches[rng.IntN(len(watches))]
	switch rng.IntN(8) {
	case 0:
		w.ask(r, wire.ChangeRequest{Operation: wire.Delete, Cascade: []string{"background", "foreground", "orphan"}[rng.IntN(3)], Items: []wire.Item{{Key: x.key()}}})
	case 1, 2:
		w.taint(r, rng)
	default:
		w.ask(r, wire.ChangeRequest{Operation: wire.Apply, Items: []wire.Item{{Object: []byte(x.manifest(images[rng.IntN(len(images))]))}}})
	}
}

// taint gives a node a taint, or takes it away.
func (w *World) taint(r uint64, rng *rand.Rand) {
	o, ok := w.newest().Get(admit.NodeKey("n" + itoa(rng.IntN(3))))
	effect := []string{"", "", "NoSchedule", "NoExecute"}[rng.IntN(4)]
	if !ok {
		return
	}
	var n grounding
	read(o.Raw, &n)
	var taints []any
	for _, t := range n.Spec.Taints {
		if t.Key != "dedicated" {
			taints = append(taints, t)
		}
	}
	if effect != "" {
		taints = append(taints, stain{"dedicated", effect})
	}
	body := reconcilers.Edit(o.Raw, func(object map[string]any) { reconcilers.Field(object, "spec")["taints"] = taints })
	w.ask(r, wire.ChangeRequest{Operation: wire.Replace, Items: []wire.Item{{Object: body}}})
}

// stain is a taint as people and the judges write it.
type stain struct {
	Key    string `json:"key"`
	Effect string `json:"effect"`
}

// grounding is what of a node decides who may be there.
type grounding struct {
	Metadata struct {
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Taints []stain `json:"taints"`
	} `json:"spec"`
}

// ground is what a node was from an event on.
type ground struct {
	seq events.Seq
	grounding
}

// pinned is the node whose name a pod's affinity wants.
func pinned(raw json.RawMessage) string {
	var a struct {
		Required struct {
			Terms []struct {
				Fields []struct {
					Values []string `json:"values"`
				} `json:"matchFields"`
			} `json:"nodeSelectorTerms"`
		} `json:"requiredDuringSchedulingIgnoredDuringExecution"`
	}
	if raw == nil {
		return ""
	}
	read(raw, &a)
	if t := a.Required.Terms; len(t) == 1 && len(t[0].Fields) == 1 && len(t[0].Fields[0].Values) == 1 {
		return t[0].Fields[0].Values[0]
	}
	return ""
}

// groundAt is what a node was then.
func (l *ledger) groundAt(node string, at events.Seq) ground {
	var g ground
	for _, was := range l.grounds[node] {
		if was.seq <= at {
			g = was
		}
	}
	return g
}

// dedicated tells whether people kept pods from a node then.
func (l *ledger) dedicated(node string, at events.Seq) bool {
	return slices.ContainsFunc(l.groundAt(node, at).Spec.Taints, func(t stain) bool { return t.Key == "dedicated" })
}

// wants tells whether a set wanted a pod of a node then, and whether one could stay.
func (j *judge) wants(x watch, node string, at events.Seq) (run, stay bool) {
	if !last(j.l.member[node], at).yes {
		return false, false
	}
	g := j.l.groundAt(node, at)
	if x.zone != "" && g.Metadata.Labels["topology.kubernetes.io/zone"] != x.zone {
		return false, false
	}
	run, stay = true, true
	for _, t := range g.Spec.Taints {
		borne := x.bears && t.Key == "dedicated"
		switch t.Key {
		case "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable":
			borne = t.Effect == "NoExecute"
		case "node.kubernetes.io/disk-pressure", "node.kubernetes.io/unschedulable":
			borne = true
		}
		switch {
		case borne:
		case t.Effect == "NoExecute":
			return false, false
		case t.Effect == "NoSchedule":
			run = false
		}
	}
	return run, stay
}

// on is the node that a pod is on, or meant for.
func (p *life) on() string {
	if p.node != "" {
		return p.node
	}
	return p.pinned
}

func watchOf(k events.Key) (watch, bool) {
	for _, x := range watches {
		if x.key() == k {
			return x, true
		}
	}
	return watch{}, false
}

// daemons: a pod that is made for a DaemonSet is for one node, which wants it, and the
// only one there that may run; where sets surge, beside one that is to go.
func (j *judge) daemons(e events.Envelope) {
	if e.Type != events.TypeOf(events.Pods, events.VerbCreated) {
		return
	}
	var b wish
	read(e.Body, &b)
	made := j.l.pods[b.UID]
	if made == nil || b.Owner == nil {
		return
	}
	x, ok := watchOf(events.Key{Resource: b.Owner.Resource, Namespace: made.key.Namespace, Name: b.Owner.Name})
	if !ok {
		return
	}
	if run, _ := j.wants(x, made.pinned, e.Basis); !run {
		j.w.fail("daemons", "%s is made for %q, which does not want it", made.key, made.pinned)
	}
	beside := 0
	for _, p := range j.l.order {
		if p.owner != made.owner || p.uid == made.uid || p.over() || p.on() != made.pinned || x.surge > 0 && p.deleted != 0 {
			continue
		}
		if beside++; beside > min(1, x.surge) {
			j.w.fail("daemons", "%s is made for %s beside %s", made.key, made.pinned, p.key)
		}
	}
}

// downed judges a DaemonSet's decision: it may not take pods that answer, on nodes that
// want one, when more nodes than may be are without one then.
func (j *judge) downed(w run.Work, at events.Seq) {
	o := j.l.objects[w.Key]
	x, known := watchOf(w.Key)
	if o == nil || !known {
		return
	}
	taken := map[events.UID]bool{}
	for _, r := range w.Records {
		if r.Envelope.Type == events.TypeOf(events.Pods, events.VerbDeletionRequested) {
			var b wish
			read(r.Envelope.Body, &b)
			taken[b.UID] = true
		}
	}
	want, served, left := 0, 0, 0
	for _, n := range j.w.nodes {
		if run, _ := j.wants(x, n.name, at); !run {
			continue
		}
		want++
		was, is := j.serving(o.uid, n.name, x, at, w, nil), j.serving(o.uid, n.name, x, at, w, taken)
		if was {
			served++
		}
		if is {
			left++
		}
	}
	if left < served && left < want-x.away {
		j.w.fail("budget", "%s has %d of %d nodes served, at most %d unavailable, and goes to %d", w.Key, served, want, x.away, left)
	}
}

// serving tells whether a node had a pod of a set that had answered for long enough, without some of them.
func (j *judge) serving(owner events.UID, node string, x watch, at events.Seq, w run.Work, without map[events.UID]bool) bool {
	for _, p := range j.l.order {
		if p.owner == owner && p.on() == node && !without[p.uid] && (p.deleted == 0 || p.deleted > at) && p.born <= at &&
			(p.ended == 0 || p.ended > at) && j.l.ripeAt(p, at, w.Records[0].Envelope.Now, x.ripe) {
			return true
		}
	}
	return false
}

// watched: at rest each node that wants one has one pod of a set, and no other has.
func (j *judge) watched() {
	waiting := j.waiting()
	for _, x := range watches {
		o := j.l.objects[x.key()]
		row, ok := j.w.newest().Get(x.key())
		if o == nil || !ok {
			continue
		}
		comes := !waiting && !hopeless(row.Raw)
		end := j.w.store.end()
		for _, n := range j.w.nodes {
			run, stay := j.wants(x, n.name, end)
			pods, ready := 0, 0
			for _, p := range j.l.order {
				if p.owner != o.uid || p.on() != n.name || !p.counts() {
					continue
				}
				if pods++; j.l.ripeAt(p, end, j.w.now, x.ripe) {
					ready++
				}
			}
			switch most := max(1, 1+x.surge); {
			case !stay && pods > 0, pods > most, run && pods == 0, run && comes && (pods != 1 || ready != 1):
				j.w.fail("settle", "%s has %d pods of %s, %d ready, and wants one: %v", n.name, pods, x.key(), ready, run)
			}
		}
	}
}
