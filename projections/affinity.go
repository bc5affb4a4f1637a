package projections

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// Suits tells whether a node's name and labels are what a pod says that its node must have: its selector and its
// required affinity.
func Suits(spec *corev1.PodSpec, node string, labels map[string]string) bool {
	for k, want := range spec.NodeSelector { //stave:sorted: one answer for all
		if have, ok := labels[k]; !ok || have != want {
			return false
		}
	}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return true
	}
	r := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	return r == nil || slices.ContainsFunc(r.NodeSelectorTerms, func(t corev1.NodeSelectorTerm) bool { return TermMatches(&t, node, labels) })
}

// Tolerates is Kubernetes' rule: an empty key with Exists tolerates all, an empty
// effect every effect.
func Tolerates(o *corev1.Toleration, t *corev1.Taint) bool {
	if o.Effect != "" && o.Effect != t.Effect || o.Key != "" && o.Key != t.Key {
		return false
	}
	return o.Operator == corev1.TolerationOpExists || o.Key != "" && o.Value == t.Value
}

// Ours tells whether our scheduler is the one that a pod asks for; another one binds what asks for it.
func Ours(spec *corev1.PodSpec) bool {
	return spec.SchedulerName == "" || spec.SchedulerName == corev1.DefaultSchedulerName
}

// HeldBack tells whether somebody holds a pod back: it has gates, and no scheduler may look at it until the last one is taken off.
func HeldBack(spec *corev1.PodSpec) bool { return len(spec.SchedulingGates) > 0 }

// TermMatches wants all of a term of a node; an empty term matches nothing, as in Kubernetes.
func TermMatches(t *corev1.NodeSelectorTerm, node string, labels map[string]string) bool {
	return len(t.MatchExpressions)+len(t.MatchFields) > 0 && len(Unmet(t, node, labels)) == 0
}

// Unmet are the requirements of a term that a node does not meet.
func Unmet(t *corev1.NodeSelectorTerm, node string, labels map[string]string) []corev1.NodeSelectorRequirement {
	var out []corev1.NodeSelectorRequirement
	for _, r := range t.MatchFields {
		if !Meets(r, node, r.Key == NameField) {
			out = append(out, r)
		}
	}
	for _, r := range t.MatchExpressions {
		if value, ok := labels[r.Key]; !Meets(r, value, ok) {
			out = append(out, r)
		}
	}
	return out
}

// NameField is the one field of a node that terms can name.
const NameField = "metadata.name"

// Meets is Kubernetes' reading of an operator; what is not there is not in any set, and is no number.
func Meets(r corev1.NodeSelectorRequirement, value string, there bool) bool {
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
