package schedule

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
)

// slow is a scheduler's filters written down as Kubernetes' documentation has them:
// each question looks at all pods and all nodes. It shares no code with the one
// that it judges.
type slow struct {
	nodes  []*slowNode
	pods   []*slowPod
	spaces map[string]map[string]string // labels of namespaces
}

type slowNode struct {
	name     string
	labels   map[string]string
	taints   []corev1.Taint
	cordoned bool
	milli    int64
}

type slowPod struct {
	*corev1.Pod
	node    string
	leaving bool
}

func (s *slow) refuses(p *slowPod, n *slowNode) events.Code {
	switch {
	case n.cordoned && !s.tolerates(p, corev1.Taint{Key: "node.kubernetes.io/unschedulable", Effect: "NoSchedule"}):
		return CodeCordoned
	case slices.ContainsFunc(n.taints, func(t corev1.Taint) bool { return !s.tolerates(p, t) }):
		return CodeTaint
	case !s.wants(p, n):
		return CodeSelector
	case s.used(n)+milli(p) > n.milli:
		return CodeInsufficient
	}
	if code := s.spread(p, n); code != "" {
		return code
	}
	switch {
	case !s.affinity(p, n):
		return CodePodAffinity
	case s.against(p, n, p, nil):
		return CodeAntiAffinity
	}
	for _, other := range s.pods {
		if other.node != "" && s.against(other, n, other, p) {
			return CodeKeptOut
		}
	}
	return ""
}

func milli(p *slowPod) int64 { return p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue() }

func (s *slow) used(n *slowNode) int64 {
	var sum int64
	for _, p := range s.pods {
		if p.node == n.name {
			sum += milli(p)
		}
	}
	return sum
}

func (s *slow) tolerates(p *slowPod, t corev1.Taint) bool {
	for _, o := range p.Spec.Tolerations {
		if o.Key == t.Key && o.Operator == corev1.TolerationOpExists {
			return true
		}
	}
	return false
}

func (s *slow) wants(p *slowPod, n *slowNode) bool {
	return labels.SelectorFromSet(p.Spec.NodeSelector).Matches(labels.Set(n.labels))
}

func (s *slow) on(name string) *slowNode {
	for _, n := range s.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// together tells whether two nodes are in one domain.
func together(a, b *slowNode, key string) bool {
	x, ok := a.labels[key]
	y, also := b.labels[key]
	return ok && also && x == y
}

// selector is a term's with its matchLabelKeys written out, as Kubernetes' API
// server writes them into pods.
func selector(own map[string]string, sel *metav1.LabelSelector, same, other []string) labels.Selector {
	if sel == nil {
		return labels.Nothing()
	}
	sel = sel.DeepCopy()
	for _, k := range same {
		if v, ok := own[k]; ok {
			sel.MatchExpressions = append(sel.MatchExpressions, metav1.LabelSelectorRequirement{Key: k, Operator: metav1.LabelSelectorOpIn, Values: []string{v}})
		}
	}
	for _, k := range other {
		if v, ok := own[k]; ok {
			sel.MatchExpressions = append(sel.MatchExpressions, metav1.LabelSelectorRequirement{Key: k, Operator: metav1.LabelSelectorOpNotIn, Values: []string{v}})
		}
	}
	out, err := metav1.LabelSelectorAsSelector(sel)
	if err != nil {
		panic(err)
	}
	return out
}

// means tells whether a term of a pod is about another.
func (s *slow) means(t corev1.PodAffinityTerm, of, other *slowPod) bool {
	if !selector(of.Labels, t.LabelSelector, t.MatchLabelKeys, t.MismatchLabelKeys).Matches(labels.Set(other.Labels)) {
		return false
	}
	if len(t.Namespaces) == 0 && t.NamespaceSelector == nil {
		return of.Namespace == other.Namespace
	}
	if slices.Contains(t.Namespaces, other.Namespace) {
		return true
	}
	chosen, err := metav1.LabelSelectorAsSelector(t.NamespaceSelector)
	if err != nil {
		panic(err)
	}
	return chosen.Matches(labels.Set(s.spaces[other.Namespace]))
}

func (s *slow) affinity(p *slowPod, n *slowNode) bool {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAffinity == nil {
		return true
	}
	terms := p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	all := func(other *slowPod) bool {
		return !slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool { return !s.means(t, p, other) })
	}
	anywhere := false
	met := true
	for _, t := range terms {
		if _, ok := n.labels[t.TopologyKey]; !ok {
			return false
		}
		here := false
		for _, other := range s.pods {
			if other.node == "" || !all(other) {
				continue
			}
			if _, ok := s.on(other.node).labels[t.TopologyKey]; ok {
				anywhere = true
			}
			here = here || together(n, s.on(other.node), t.TopologyKey)
		}
		met = met && here
	}
	return met || !anywhere && all(p)
}

// against tells whether a pod's anti-affinity keeps something from a node: itself,
// because of who is there, or, when it is there itself, the one that comes.
func (s *slow) against(p *slowPod, n *slowNode, of, comes *slowPod) bool {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
		return false
	}
	for _, t := range p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		if comes != nil {
			if s.means(t, of, comes) && together(n, s.on(p.node), t.TopologyKey) {
				return true
			}
			continue
		}
		for _, other := range s.pods {
			if other.node != "" && s.means(t, p, other) && together(n, s.on(other.node), t.TopologyKey) {
				return true
			}
		}
	}
	return false
}

func (s *slow) spread(p *slowPod, n *slowNode) events.Code {
	var hard []corev1.TopologySpreadConstraint
	for _, c := range p.Spec.TopologySpreadConstraints {
		if c.WhenUnsatisfiable == corev1.DoNotSchedule {
			hard = append(hard, c)
		}
	}
	for _, c := range hard {
		domain, ok := n.labels[c.TopologyKey]
		if !ok {
			return CodeNoDomain
		}
		means := selector(p.Labels, c.LabelSelector, c.MatchLabelKeys, nil)
		counts := s.domains(p, c, hard, means)
		least := -1
		for _, x := range counts {
			if least < 0 || x < least {
				least = x
			}
		}
		if c.MinDomains != nil && len(counts) < int(*c.MinDomains) || least < 0 {
			least = 0
		}
		self := 0
		if means.Matches(labels.Set(p.Labels)) {
			self = 1
		}
		if counts[domain]+self-least > int(c.MaxSkew) {
			return CodeSkew
		}
	}
	return ""
}

// domains counts the pods of each domain that a constraint looks at.
func (s *slow) domains(p *slowPod, c corev1.TopologySpreadConstraint, hard []corev1.TopologySpreadConstraint, means labels.Selector) map[string]int {
	counts := map[string]int{}
	for _, m := range s.nodes {
		eligible := true
		for _, other := range hard {
			if _, ok := m.labels[other.TopologyKey]; !ok {
				eligible = false
			}
		}
		if (c.NodeAffinityPolicy == nil || *c.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor) && !s.wants(p, m) {
			eligible = false
		}
		if c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor {
			for _, t := range m.taints {
				eligible = eligible && s.tolerates(p, t)
			}
			eligible = eligible && (!m.cordoned || s.tolerates(p, corev1.Taint{Key: "node.kubernetes.io/unschedulable"}))
		}
		if !eligible {
			continue
		}
		counts[m.labels[c.TopologyKey]] += 0
		for _, other := range s.pods {
			if other.node == m.name && !other.leaving && other.Namespace == p.Namespace && means.Matches(labels.Set(other.Labels)) {
				counts[m.labels[c.TopologyKey]]++
			}
		}
	}
	return counts
}
