package schedule

import (
	"iter"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// aim is whose pods a term or a constraint means.
type aim struct {
	names    []string              // namespaces, by name
	spaces   *metav1.LabelSelector // and by label; nil adds none, an empty one all
	selector *metav1.LabelSelector // nil means nobody
	same     map[string]string     // labels that must be the pod's own: matchLabelKeys
	other    map[string]string     // labels that must not be: mismatchLabelKeys
}

// aimOf is what a term means that a pod with this namespace and these labels has.
func aimOf(t *corev1.PodAffinityTerm, namespace string, labels map[string]string) aim {
	a := aim{names: t.Namespaces, spaces: t.NamespaceSelector, selector: t.LabelSelector,
		same: picked(labels, t.MatchLabelKeys), other: picked(labels, t.MismatchLabelKeys)}
	if len(a.names) == 0 && a.spaces == nil {
		a.names = []string{namespace}
	}
	return a
}

// picked are the labels of these keys; what the pod does not have is not asked for.
func picked(labels map[string]string, keys []string) map[string]string {
	var out map[string]string
	for _, k := range keys {
		if v, ok := labels[k]; ok {
			if out == nil {
				out = map[string]string{}
			}
			out[k] = v
		}
	}
	return out
}

// means tells whether a pod is one of those.
func (a aim) means(v reconcilers.View, namespace string, labels map[string]string) bool {
	return a.selects(labels) && a.within(v, namespace)
}

func (a aim) within(v reconcilers.View, namespace string) bool {
	if slices.Contains(a.names, namespace) {
		return true
	}
	if a.spaces == nil || everything(a.spaces) {
		return a.spaces != nil
	}
	o, ok := v.Get(events.Key{Resource: events.Namespaces, Name: namespace})
	return ok && matches(a.spaces, projections.As[*corev1.Namespace](o).Labels)
}

func (a aim) selects(labels map[string]string) bool {
	if a.selector == nil || !matches(a.selector, labels) {
		return false
	}
	for k, own := range a.same { //stave:sorted one answer for all
		if has, ok := labels[k]; !ok || has != own {
			return false
		}
	}
	for k, own := range a.other { //stave:sorted one answer for all
		if has, ok := labels[k]; ok && has == own {
			return false
		}
	}
	return true
}

// crowds walks those that are meant.
func (a aim) crowds(v reconcilers.View) iter.Seq[*projections.Crowd] {
	return func(yield func(*projections.Crowd) bool) {
		if a.selector == nil {
			return
		}
		for _, namespace := range a.namespaces(v) {
			for c := range a.candidates(v, namespace) {
				if a.selects(c.Labels) && !yield(c) {
					return
				}
			}
		}
	}
}

// namespaces are those where the pods may be; one empty name stands for all.
func (a aim) namespaces(v reconcilers.View) []string {
	switch {
	case a.spaces == nil:
		return slices.Compact(slices.Sorted(slices.Values(a.names)))
	case everything(a.spaces):
		return []string{""}
	}
	out := slices.Clone(a.names)
	for o := range v.List(events.Namespaces, "") {
		if matches(a.spaces, projections.As[*corev1.Namespace](o).Labels) {
			out = append(out, o.Key.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// candidates are the crowds of a namespace that have one label which all must
// have, where there is such a label.
func (a aim) candidates(v reconcilers.View, namespace string) iter.Seq[*projections.Crowd] {
	for _, pairs := range []map[string]string{a.same, a.selector.MatchLabels} {
		if namespace != "" && len(pairs) > 0 {
			first := slices.Sorted(maps.Keys(pairs))[0]
			return v.CrowdsWith(namespace, first, pairs[first])
		}
	}
	return v.Crowds(namespace)
}

func everything(s *metav1.LabelSelector) bool {
	return len(s.MatchLabels)+len(s.MatchExpressions) == 0
}

// matches is Kubernetes' reading of a selector; an empty one takes all.
func matches(s *metav1.LabelSelector, has map[string]string) bool {
	for k, want := range s.MatchLabels { //stave:sorted one answer for all
		if v, ok := has[k]; !ok || v != want {
			return false
		}
	}
	for i := range s.MatchExpressions {
		r := &s.MatchExpressions[i]
		v, ok := has[r.Key]
		if !met(r, v, ok) {
			return false
		}
	}
	return true
}

func met(r *metav1.LabelSelectorRequirement, value string, there bool) bool {
	switch r.Operator {
	case metav1.LabelSelectorOpIn:
		return there && slices.Contains(r.Values, value)
	case metav1.LabelSelectorOpNotIn:
		return !there || !slices.Contains(r.Values, value)
	case metav1.LabelSelectorOpExists:
		return there
	case metav1.LabelSelectorOpDoesNotExist:
		return !there
	}
	return false
}
