package schedule

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// claims are what a class asks of where other pods are, counted by domain on one
// view and kept up as its pods get their nodes. The nil claims ask for nothing.
//
// Within a class all of it but skew only ever narrows: what is refused once stays
// refused. A skew lets domains in again when the emptiest one has got a pod.
type claims struct {
	view      reconcilers.View
	atlas     *atlas
	namespace string
	labels    map[string]string

	skews []*skew   // topologySpreadConstraints that must hold
	near  *near     // required affinity
	apart []*apart  // required anti-affinity, the pod's own and that of others about it
	likes []*liking // preferred terms, the pod's own and those of others about it
	evens []*evening

	likesRange, evensMost int64 // what preferences are measured against: see scale
	strict                bool  // a node that lacks a label of evens comes last
}

// part says which domains a question is about: those that many nodes share, or
// those of one node each. The first are asked about once for all their nodes.
type part uint8

const (
	shared part = 1 << iota
	single
	both = shared | single
)

func (p part) has(d *domains) bool {
	if d.single {
		return p&single != 0
	}
	return p&shared != 0
}

// claimsOf counts what pods like this one ask for.
func claimsOf(v reconcilers.View, a *atlas, o *projections.Object, w *wants) *claims {
	c := &claims{view: v, atlas: a, namespace: o.Key.Namespace, labels: o.PodLabels()}
	if w.node != "" {
		return nil // it has passed the scheduler by, as with Kubernetes
	}
	spec := o.PodSpec()
	c.spread(o, spec, w)
	if spec.Affinity != nil {
		c.ownTerms(spec.Affinity)
	}
	for crowd := range v.CrowdsMinding(c.namespace, c.labels) {
		c.others(crowd)
	}
	if len(c.skews)+len(c.apart)+len(c.likes)+len(c.evens) == 0 && c.near == nil {
		return nil
	}
	return c
}

// apart is a domain that one pod keeps to itself: the pod's own anti-affinity, or
// that of others about it.
type apart struct {
	domains *domains
	count   []int32 // pods that are in the way
	aim     *aim    // nil when it is theirs
	self    bool    // it is about pods like its own
}

// near is required affinity: the pods that all terms mean must be in the node's
// domain of each.
type near struct {
	aims    []aim
	domains []*domains
	count   [][]int32 // by term
	any     bool      // there is such a pod, wherever
	self    bool      // the pod is one itself: the first of its kind may be anywhere
}

func (c *claims) ownTerms(a *corev1.Affinity) {
	if a.PodAffinity != nil {
		c.ownAffinity(a.PodAffinity)
	}
	if a.PodAntiAffinity == nil {
		return
	}
	for i := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		t := &a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[i]
		x, d := aimOf(t, c.namespace, c.labels), c.atlas.domains(t.TopologyKey)
		c.apart = append(c.apart, &apart{domains: d, count: c.tally(x, d), aim: &x, self: c.meansSelf(x)})
	}
	for i := range a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
		t := &a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[i]
		c.prefer(&t.PodAffinityTerm, -int64(t.Weight))
	}
}

func (c *claims) ownAffinity(a *corev1.PodAffinity) {
	for i := range a.PreferredDuringSchedulingIgnoredDuringExecution {
		t := &a.PreferredDuringSchedulingIgnoredDuringExecution[i]
		c.prefer(&t.PodAffinityTerm, int64(t.Weight))
	}
	required := a.RequiredDuringSchedulingIgnoredDuringExecution
	if len(required) == 0 {
		return
	}
	n := &near{self: true}
	for i := range required {
		x, d := aimOf(&required[i], c.namespace, c.labels), c.atlas.domains(required[i].TopologyKey)
		n.aims, n.domains, n.count = append(n.aims, x), append(n.domains, d), append(n.count, make([]int32, len(d.names)))
		n.self = n.self && c.meansSelf(x)
		if c.meansSelf(x) {
			c.liking(d).self += weightRequired
		}
	}
	for crowd := range n.aims[0].crowds(c.view) {
		if n.meansAll(c.view, crowd.Namespace, crowd.Labels) {
			c.each(crowd, func(place, pods int32) { n.add(place, pods) })
		}
	}
	c.near = n
}

func (n *near) meansAll(v reconcilers.View, namespace string, labels map[string]string) bool {
	for _, a := range n.aims {
		if !a.means(v, namespace, labels) {
			return false
		}
	}
	return true
}

func (n *near) add(place, pods int32) {
	for i, d := range n.domains {
		if at := d.of[place]; at != none {
			n.count[i][at] += pods
			n.any = true
		}
	}
}

func (c *claims) meansSelf(a aim) bool { return a.means(c.view, c.namespace, c.labels) }

// others are the terms of a crowd's pods about this one.
func (c *claims) others(crowd *projections.Crowd) {
	about := func(t *corev1.PodAffinityTerm) bool {
		return aimOf(t, crowd.Namespace, crowd.Labels).means(c.view, c.namespace, c.labels)
	}
	if a := crowd.Affinity.PodAntiAffinity; a != nil {
		for i := range a.RequiredDuringSchedulingIgnoredDuringExecution {
			if t := &a.RequiredDuringSchedulingIgnoredDuringExecution[i]; about(t) {
				c.keptOut(crowd, c.atlas.domains(t.TopologyKey))
			}
		}
		for i := range a.PreferredDuringSchedulingIgnoredDuringExecution {
			if t := &a.PreferredDuringSchedulingIgnoredDuringExecution[i]; about(&t.PodAffinityTerm) {
				c.likedBy(crowd, t.PodAffinityTerm.TopologyKey, -int64(t.Weight))
			}
		}
	}
	if a := crowd.Affinity.PodAffinity; a != nil {
		for i := range a.RequiredDuringSchedulingIgnoredDuringExecution {
			if t := &a.RequiredDuringSchedulingIgnoredDuringExecution[i]; about(t) {
				c.likedBy(crowd, t.TopologyKey, weightRequired)
			}
		}
		for i := range a.PreferredDuringSchedulingIgnoredDuringExecution {
			if t := &a.PreferredDuringSchedulingIgnoredDuringExecution[i]; about(&t.PodAffinityTerm) {
				c.likedBy(crowd, t.PodAffinityTerm.TopologyKey, int64(t.Weight))
			}
		}
	}
}

// keptOut marks the domains of a crowd that does not want this pod.
func (c *claims) keptOut(crowd *projections.Crowd, d *domains) {
	var out *apart
	for _, a := range c.apart {
		if a.aim == nil && a.domains == d {
			out = a
		}
	}
	if out == nil {
		out = &apart{domains: d, count: make([]int32, len(d.names))}
		c.apart = append(c.apart, out)
	}
	c.each(crowd, func(place, pods int32) {
		if at := d.of[place]; at != none {
			out.count[at] += pods
		}
	})
}

// each walks the nodes of a crowd that are there, with the pods on them.
func (c *claims) each(crowd *projections.Crowd, do func(place, pods int32)) {
	for h := range crowd.On() {
		if place, ok := c.atlas.find(h.Node); ok {
			do(place, int32(h.Pods))
		}
	}
}

// tally counts the pods that an aim means, by domain. Those that leave are still there.
func (c *claims) tally(a aim, d *domains) []int32 {
	count := make([]int32, len(d.names))
	for crowd := range a.crowds(c.view) {
		c.each(crowd, func(place, pods int32) {
			if at := d.of[place]; at != none {
				count[at] += pods
			}
		})
	}
	return count
}

// refuses is the first claim that a node does not meet, in Kubernetes' order.
func (c *claims) refuses(place int32, p part) refusal {
	if c == nil {
		return refusal{}
	}
	for _, s := range c.skews {
		if p.has(s.domains) {
			if r := s.refuses(place); r.code != "" {
				return r
			}
		}
	}
	if c.near != nil {
		if r := c.near.refuses(place, p); r.code != "" {
			return r
		}
	}
	for _, a := range c.apart {
		at := a.domains.of[place]
		if !p.has(a.domains) || at == none || a.count[at] == 0 {
			continue
		}
		if a.aim == nil {
			return refusal{code: CodeKeptOut, what: a.domains.key, apart: a}
		}
		return refusal{code: CodeAntiAffinity, what: a.domains.key, apart: a}
	}
	return refusal{}
}

func (n *near) refuses(place int32, p part) refusal {
	for i, d := range n.domains {
		if !p.has(d) {
			continue
		}
		at := d.of[place]
		if at == none || n.count[i][at] == 0 && (n.any || !n.self) {
			return refusal{code: CodePodAffinity, what: d.key, near: n, term: i}
		}
	}
	return refusal{}
}

// took counts in that a pod of the class got a node. It tells whether a skew of
// single nodes may let some in again.
func (c *claims) took(place int32) (risen bool) {
	if c == nil {
		return false
	}
	if c.near != nil && c.near.self {
		c.near.add(place, 1)
	}
	for _, a := range c.apart {
		if at := a.domains.of[place]; a.self && at != none {
			a.count[at]++
		}
	}
	for _, s := range c.skews {
		risen = s.took(place) && s.domains.single || risen
	}
	for _, l := range c.likes {
		if at := l.domains.of[place]; at != none {
			l.sum[at] += l.self
		}
	}
	for _, e := range c.evens {
		if at := e.domains.of[place]; e.self && at != none {
			e.count[at]++
		}
	}
	return risen
}

// wide are the domains of all claims that several nodes share.
func (c *claims) wide() []*domains {
	if c == nil {
		return nil
	}
	var all []*domains
	add := func(d *domains) {
		if !d.single && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	for _, s := range c.skews {
		add(s.domains)
	}
	if c.near != nil {
		for _, d := range c.near.domains {
			add(d)
		}
	}
	for _, a := range c.apart {
		add(a.domains)
	}
	for _, l := range c.likes {
		add(l.domains)
	}
	for _, e := range c.evens {
		add(e.domains)
	}
	return all
}
