package schedule

import (
	"maps"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/projections"
)

// skew is a spread that must hold: no domain may have more than so many pods above
// the emptiest one.
type skew struct {
	domains *domains
	aim     aim
	count   []int32 // by domain
	counts  []bool  // the domains that the constraint looks at
	size    int32   // how many these are
	least   int32   // the pods of the emptiest of them
	emptied int     // how many have so few
	most    int32   // maxSkew
	min     int32   // minDomains
	self    int32   // 1 when pods like this one count
}

// evening is a spread that is only preferred.
type evening struct {
	domains *domains
	count   []int64
	weight  int64 // of one pod, in thousandths
	flat    int64 // of having the label at all
	self    bool
}

// byDefault is how Kubernetes spreads the pods of services and of sets that say nothing of it.
var byDefault = []corev1.TopologySpreadConstraint{
	{TopologyKey: corev1.LabelHostname, MaxSkew: 3, WhenUnsatisfiable: corev1.ScheduleAnyway},
	{TopologyKey: corev1.LabelTopologyZone, MaxSkew: 5, WhenUnsatisfiable: corev1.ScheduleAnyway},
}

// spread reads the pod's constraints, or the default ones.
func (c *claims) spread(o *projections.Object, spec *corev1.PodSpec, w *wants) {
	if len(spec.TopologySpreadConstraints) == 0 {
		c.spreadByDefault(o, w)
		return
	}
	var hard, soft []*corev1.TopologySpreadConstraint
	for i := range spec.TopologySpreadConstraints {
		t := &spec.TopologySpreadConstraints[i]
		if t.WhenUnsatisfiable == corev1.ScheduleAnyway {
			soft = append(soft, t)
			continue
		}
		hard = append(hard, t)
	}
	for _, t := range hard {
		s := c.skew(t, w, c.labelled(hard))
		c.skews = append(c.skews, s)
	}
	c.strict = len(soft) > 0
	for _, t := range soft {
		c.even(t, aimOfSpread(t, c.namespace, c.labels), w, c.labelled(soft))
	}
}

// labelled tells which nodes have the labels of all these constraints: only such
// nodes count for any of them.
func (c *claims) labelled(all []*corev1.TopologySpreadConstraint) func(place int32) bool {
	var of []*domains
	for _, t := range all {
		of = append(of, c.atlas.domains(t.TopologyKey))
	}
	return func(place int32) bool {
		return !slices.ContainsFunc(of, func(d *domains) bool { return d.of[place] == none })
	}
}

func aimOfSpread(t *corev1.TopologySpreadConstraint, namespace string, labels map[string]string) aim {
	return aim{names: []string{namespace}, selector: t.LabelSelector, same: picked(labels, t.MatchLabelKeys)}
}

func (c *claims) skew(t *corev1.TopologySpreadConstraint, w *wants, labelled func(int32) bool) *skew {
	d := c.atlas.domains(t.TopologyKey)
	s := &skew{domains: d, aim: aimOfSpread(t, c.namespace, c.labels), counts: make([]bool, len(d.names)), most: t.MaxSkew, min: 1}
	if t.MinDomains != nil {
		s.min = *t.MinDomains
	}
	if c.meansSelf(s.aim) {
		s.self = 1
	}
	looked := c.looked(t, w, labelled)
	for i := range c.atlas.nodes {
		if at := d.of[i]; at != none && looked(int32(i)) && !s.counts[at] {
			s.counts[at] = true
			s.size++
		}
	}
	s.count = c.tallySpread(s.aim, d, looked)
	s.least = math.MaxInt32
	for at, counts := range s.counts {
		if counts {
			s.least = min(s.least, s.count[at])
		}
	}
	s.recount()
	return s
}

// looked tells which nodes a constraint looks at: those that the pod's own node
// affinity wants, wherever its volumes are, and, when it asks for that, whose taints it tolerates.
func (c *claims) looked(t *corev1.TopologySpreadConstraint, w *wants, labelled func(int32) bool) func(place int32) bool {
	wanted := t.NodeAffinityPolicy == nil || *t.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor
	tolerated := t.NodeTaintsPolicy != nil && *t.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
	return func(place int32) bool {
		n := c.atlas.nodes[place]
		return labelled(place) && (!wanted || w.unmeant(n).code == "") && (!tolerated || w.repelled(n).code == "")
	}
}

// tallySpread counts the pods that stay, on the nodes that count.
func (c *claims) tallySpread(a aim, d *domains, looked func(int32) bool) []int32 {
	count := make([]int32, len(d.names))
	for crowd := range a.crowds(c.view) {
		for h := range crowd.On() {
			if place, ok := c.atlas.find(h.Node); ok && d.of[place] != none && looked(place) {
				count[d.of[place]] += int32(h.Pods - h.Leaving)
			}
		}
	}
	return count
}

// recount finds how many domains are the emptiest, looking one higher until there is one.
func (s *skew) recount() {
	for s.emptied = 0; s.size > 0; s.least++ {
		for at, counts := range s.counts {
			if counts && s.count[at] == s.least {
				s.emptied++
			}
		}
		if s.emptied > 0 {
			return
		}
	}
}

// floor is what a domain is measured against.
func (s *skew) floor() int32 {
	if s.size < s.min {
		return 0 // as if there were more domains, with nothing in them
	}
	return s.least
}

// would be the skew of a node's domain with one more pod.
func (s *skew) would(at int32) int32 { return s.count[at] + s.self - s.floor() }

func (s *skew) refuses(place int32) refusal {
	at := s.domains.of[place]
	switch {
	case at == none:
		return refusal{code: CodeNoDomain, what: s.domains.key}
	case s.would(at) > s.most:
		return refusal{code: CodeSkew, what: s.domains.key, skew: s}
	}
	return refusal{}
}

// took counts a pod in; it tells whether the emptiest domains have more than before.
func (s *skew) took(place int32) (risen bool) {
	at := s.domains.of[place]
	if s.self == 0 || at == none || !s.counts[at] {
		return false
	}
	s.count[at]++
	if s.count[at]-1 != s.least {
		return false
	}
	if s.emptied--; s.emptied > 0 {
		return false
	}
	s.least++
	s.recount()
	return true
}

// spreadByDefault prefers to keep the pods of one service and of one set apart. A
// node that has no zone just has no say in it.
func (c *claims) spreadByDefault(o *projections.Object, w *wants) {
	if w.pinned != "" {
		return // there is nothing to choose
	}
	selector := c.kin(o)
	if selector == nil {
		return
	}
	for i := range byDefault {
		t := &byDefault[i]
		if d := c.atlas.domains(t.TopologyKey); len(d.names) > 1 {
			c.even(t, aim{names: []string{c.namespace}, selector: selector}, w, func(int32) bool { return true })
		}
	}
}

// kin selects the pods of all services of a pod and of the set that made it: those
// that all of them select. It is nil for a pod that has none.
func (c *claims) kin(o *projections.Object) *metav1.LabelSelector {
	var out *metav1.LabelSelector
	add := func(labels map[string]string, more []metav1.LabelSelectorRequirement) {
		if out == nil {
			out = &metav1.LabelSelector{MatchLabels: map[string]string{}}
		}
		maps.Copy(out.MatchLabels, labels)
		out.MatchExpressions = append(out.MatchExpressions, more...)
	}
	for svc := range c.view.ServicesOf(o) {
		add(projections.As[*corev1.Service](svc).Spec.Selector, nil)
	}
	if o.Owner != nil {
		if set, ok := c.view.Get(o.OwnerKey()); ok && set.UID == o.Owner.UID {
			switch by := set.Typed().(type) {
			case *appsv1.ReplicaSet:
				if by.Spec.Selector != nil {
					add(by.Spec.Selector.MatchLabels, by.Spec.Selector.MatchExpressions)
				}
			case *corev1.ReplicationController:
				add(by.Spec.Selector, nil)
			}
		}
	}
	return out
}

func (c *claims) even(t *corev1.TopologySpreadConstraint, a aim, w *wants, labelled func(int32) bool) {
	d := c.atlas.domains(t.TopologyKey)
	e := &evening{domains: d, count: make([]int64, len(d.names)), flat: 1000 * int64(t.MaxSkew-1), self: c.meansSelf(a)}
	for at, n := range c.tallySpread(a, d, c.looked(t, w, labelled)) {
		e.count[at] = int64(n)
	}
	c.evens = append(c.evens, e)
}
