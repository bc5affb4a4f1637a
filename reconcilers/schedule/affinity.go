package schedule

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
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
	return !a.asked || slices.ContainsFunc(a.required, func(t corev1.NodeSelectorTerm) bool { return matches(&t, n) })
}

// likes is the sum of the weights of the preferences that a node meets.
func (a affinity) likes(n *node) int64 {
	var sum int64
	for i := range a.liked {
		if matches(&a.liked[i].Preference, n) {
			sum += int64(a.liked[i].Weight)
		}
	}
	return sum
}

// matches wants all of a term; an empty term matches nothing, as in Kubernetes.
func matches(t *corev1.NodeSelectorTerm, n *node) bool {
	return len(t.MatchExpressions)+len(t.MatchFields) > 0 && len(unmet(t, n)) == 0
}

// unmet are the requirements of a term that a node does not meet.
func unmet(t *corev1.NodeSelectorTerm, n *node) []corev1.NodeSelectorRequirement {
	var out []corev1.NodeSelectorRequirement
	for _, r := range t.MatchFields {
		if !meets(r, n.name, r.Key == nameField) {
			out = append(out, r)
		}
	}
	for _, r := range t.MatchExpressions {
		if value, ok := n.labels[r.Key]; !meets(r, value, ok) {
			out = append(out, r)
		}
	}
	return out
}

// nameField is the one field of a node that terms can name.
const nameField = "metadata.name"

// meets is Kubernetes' reading of an operator; what is not there is not in any set, and is no number.
func meets(r corev1.NodeSelectorRequirement, value string, there bool) bool {
	switch r.Operator {
	case corev1.NodeSelectorOpIn:
		return there && slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !there || !slices.Contains(r.Values, value)
	case corev1.NodeSelectorOpExists:
		return there
	case corev1.NodeSelectorOpDoesNotExist:
		return !there
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		have, err := strconv.ParseInt(value, 10, 64)
		if err != nil || len(r.Values) != 1 {
			return false
		}
		bound, err := strconv.ParseInt(r.Values[0], 10, 64)
		return err == nil && (r.Operator == corev1.NodeSelectorOpGt && have > bound || r.Operator == corev1.NodeSelectorOpLt && have < bound)
	}
	return false
}

// nearest is the first requirement that a node misses of the term that it comes nearest to; false when no term could ever match.
func (a affinity) nearest(n *node) (corev1.NodeSelectorRequirement, bool) {
	var best []corev1.NodeSelectorRequirement
	for i := range a.required {
		if miss := unmet(&a.required[i], n); len(miss) > 0 && (best == nil || len(miss) < len(best)) {
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
	if r.Key == nameField {
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
