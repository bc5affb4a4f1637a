package sim

import (
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
)

// rest looks at what everything has settled to.
func (j *judge) rest() {
	if j.w.failure != nil {
		return
	}
	j.carried()
	j.counted()
	j.owners()
	j.nodes()
	j.resting()
	j.wound()
	j.watched()
	j.sizesAtRest()
	j.mustered()
	j.toldOfRations()
	j.grown()
	for _, a := range apps {
		j.app(a)
	}
}

// counted: the fold knows how many pods have come to their end and stay.
func (j *judge) counted() {
	n := 0
	for _, p := range j.l.order {
		if p.over() && !p.removed && p.deleted == 0 {
			n++
		}
	}
	if have := j.w.newest().EndedPods(); have != n {
		j.w.fail("fold", "%d pods have ended, and the fold counts %d", n, have)
	}
}

// owners: nothing is left of those that are gone, and nobody waits to go.
func (j *judge) owners() {
	for _, k := range j.keys() {
		o := j.l.objects[k]
		if o.deleting && !j.detained(k) {
			j.w.fail("settle", "%s is still on its way out", k)
		}
		for _, uid := range o.owners {
			if !slices.ContainsFunc(j.keys(), func(k events.Key) bool { return j.l.objects[k].uid == uid }) {
				j.w.fail("orphans", "%s belongs to %s, which is gone", k, uid)
			}
		}
		if o.owner == nil {
			continue
		}
		owner := j.l.objects[events.Key{Resource: o.owner.Resource, Namespace: k.Namespace, Name: o.owner.Name}]
		if owner == nil || owner.uid != o.owner.UID {
			j.w.fail("orphans", "%s belongs to %s, which is gone", k, o.owner.Name)
		}
	}
}

func (j *judge) keys() []events.Key {
	var out []events.Key
	for k := range j.l.objects {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b events.Key) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// nodes: a node has the pods that it was given, and nothing else.
func (j *judge) nodes() {
	for _, n := range j.w.nodes {
		for _, p := range n.pods {
			l := j.l.pods[p.uid]
			if l == nil || l.removed || l.node != n.name {
				j.w.fail("settle", "%s has %s, which is not its", n.name, p.key)
			}
			if len(n.kept) > n.sent {
				j.w.fail("settle", "%s has things to say", n.name)
			}
		}
	}
	for _, p := range j.l.order {
		if p.node == "" || p.over() {
			continue
		}
		if n := j.w.node(p.node); n == nil || n.pod(p.uid) == nil {
			j.w.fail("settle", "%s does not know of %s", p.node, p.key)
		}
	}
}

// app: a deployment has what it wishes when its image comes up and all pods
// have a place.
func (j *judge) app(a app) {
	o := j.l.objects[a.key()]
	row, ok := j.w.newest().Get(a.key())
	if o == nil || !ok {
		return
	}
	v, _ := o.at(j.w.store.end())
	if hopeless(row.Raw) {
		return
	}
	pods, ready := 0, 0
	for _, s := range j.sets(o.uid, a.namespace, j.w.store.end()) {
		pods += j.pods(s.uid)
		ready += j.available(s.uid, j.w.store.end(), j.w.now, v.ripe)
	}
	if waiting := j.waiting(); !waiting && (pods != v.want || ready != v.want) {
		j.w.fail("settle", "%s wants %d and has %d pods, %d ready", a.key(), v.want, pods, ready)
	}
}

// hopeless tells whether pods of a workload never come up.
func hopeless(raw []byte) bool {
	return strings.Contains(string(raw), `"image":"bad`) || strings.Contains(string(raw), `"image":"crash`)
}

// waiting tells whether pods wait for room; each has to know why.
func (j *judge) waiting() bool {
	found := false
	for _, p := range j.l.order {
		if p.node != "" || p.removed || p.deleted != 0 {
			continue
		}
		found = true
		if j.l.verdicts[p.key] == "" || j.l.verdicts[p.key] == string(p.uid) {
			j.w.fail("settle", "%s waits and nothing says why", p.key)
		}
	}
	return found
}
