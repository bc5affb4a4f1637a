package schedule

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// affinity is what a pod says of the nodes that it must and would like to be on.
type affinity struct {
	required []corev1.NodeSelectorTerm // one of them must match; nil asks for nothing
	asked    bool                      // something is required, and be it nothing that could match
	liked    []corev1.PreferredSchedulingTerm
}

func affinityOf(spec *corev1.PodSpec) affinity {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return affinity{}
	}
	n := spec.Affinity.NodeAffinity
	a := affinity{liked: n.PreferredDuringSchedulingIgnoredDuringExecution}
	if r := n.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		a.required, a.asked = r.NodeSelectorTerms, true
	}
	return a
}

// allows tells whether a node is one of those that the pod must be on.
func (a affinity) allows(n *node) bool {
	return !a.asked || slices.ContainsFunc(a.required, func(t corev1.NodeSelectorTerm) bool { return projections.TermMatches(&t, n.name, n.labels) })
}

// likes is the sum of the weights of the preferences that a node meets.
func (a affinity) likes(n *node) int64 {
	var sum int64
	for i := range a.liked {
		if projections.TermMatches(&a.liked[i].Preference, n.name, n.labels) {
			sum += int64(a.liked[i].Weight)
		}
	}
	return sum
}

// nearest is the first requirement that a node misses of the term that it comes nearest to; false when no term could ever match.
func (a affinity) nearest(n *node) (corev1.NodeSelectorRequirement, bool) {
	var best []corev1.NodeSelectorRequirement
	for i := range a.required {
		if miss := projections.Unmet(&a.required[i], n.name, n.labels); len(miss) > 0 && (best == nil || len(miss) < len(best)) {
			best = miss
		}
	}
	if best == nil {
		return corev1.NodeSelectorRequirement{}, false
	}
	return best[0], true
}

// needs is a requirement as people read it: "in (a, b)", "there", "above 3".
func needs(r corev1.NodeSelectorRequirement) string {
	values := "(" + strings.Join(r.Values, ", ") + ")"
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		return "in " + values
	case corev1.NodeSelectorOpNotIn:
		return "not in " + values
	case corev1.NodeSelectorOpExists:
		return "any value"
	case corev1.NodeSelectorOpDoesNotExist:
		return "none"
	case corev1.NodeSelectorOpGt:
		return "above " + strings.Join(r.Values, ", ")
	case corev1.NodeSelectorOpLt:
		return "below " + strings.Join(r.Values, ", ")
	}
	return string(r.Operator)
}

// helps is the nearest change of a node that would meet a requirement; a node cannot change its name.
func helps(r corev1.NodeSelectorRequirement, n *node) string {
	if r.Key == projections.NameField {
		return "correct the pod's node affinity"
	}
	label := "label node " + n.name + " " + r.Key
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpExists:
		if len(r.Values) == 0 {
			return label + "="
		}
		return label + "=" + r.Values[0]
	case corev1.NodeSelectorOpNotIn, corev1.NodeSelectorOpDoesNotExist:
		return label + "-"
	}
	return label + "=NUMBER"
}
