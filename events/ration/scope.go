package ration

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// takes tells whether a quota's scopes are about a thing: all of them have to be.
// Only pods are in any.
func (q Quota) takes(t Thing) bool {
	for _, scope := range q.Spec.Scopes {
		if t.Pod == nil || !in(t.Pod, corev1.ScopedResourceSelectorRequirement{ScopeName: scope, Operator: corev1.ScopeSelectorOpExists}) {
			return false
		}
	}
	if q.Spec.ScopeSelector == nil {
		return true
	}
	for _, want := range q.Spec.ScopeSelector.MatchExpressions {
		if t.Pod == nil || !in(t.Pod, want) {
			return false
		}
	}
	return true
}

func in(spec *corev1.PodSpec, want corev1.ScopedResourceSelectorRequirement) bool {
	switch want.ScopeName {
	case corev1.ResourceQuotaScopeTerminating:
		return terminating(spec)
	case corev1.ResourceQuotaScopeNotTerminating:
		return !terminating(spec)
	case corev1.ResourceQuotaScopeBestEffort:
		return bestEffort(spec)
	case corev1.ResourceQuotaScopeNotBestEffort:
		return !bestEffort(spec)
	case corev1.ResourceQuotaScopePriorityClass:
		return ofClass(spec.PriorityClassName, want)
	case corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		return abroad(spec.Affinity)
	}
	return false
}

// terminating tells whether a pod has a deadline.
func terminating(spec *corev1.PodSpec) bool {
	return spec.ActiveDeadlineSeconds != nil && *spec.ActiveDeadlineSeconds >= 0
}

// bestEffort tells whether no container asks for cpu or memory, or is limited in them.
func bestEffort(spec *corev1.PodSpec) bool {
	for _, c := range slices.Concat(spec.Containers, spec.InitContainers) {
		for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
			for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
				if n, ok := list[name]; ok && !n.IsZero() {
					return false
				}
			}
		}
	}
	return true
}

// ofClass reads the name of a class as labels are read: a pod without one is in no
// list of names, and not in every other.
func ofClass(class string, want corev1.ScopedResourceSelectorRequirement) bool {
	switch want.Operator {
	case corev1.ScopeSelectorOpExists:
		return class != ""
	case corev1.ScopeSelectorOpDoesNotExist:
		return class == ""
	case corev1.ScopeSelectorOpIn:
		return class != "" && slices.Contains(want.Values, class)
	case corev1.ScopeSelectorOpNotIn:
		return class == "" || !slices.Contains(want.Values, class)
	}
	return false
}

// abroad tells whether a pod has a term about pods of other namespaces.
func abroad(a *corev1.Affinity) bool {
	if a == nil {
		return false
	}
	var terms []corev1.PodAffinityTerm
	if p := a.PodAffinity; p != nil {
		terms = append(terms, p.RequiredDuringSchedulingIgnoredDuringExecution...)
		for _, w := range p.PreferredDuringSchedulingIgnoredDuringExecution {
			terms = append(terms, w.PodAffinityTerm)
		}
	}
	if p := a.PodAntiAffinity; p != nil {
		terms = append(terms, p.RequiredDuringSchedulingIgnoredDuringExecution...)
		for _, w := range p.PreferredDuringSchedulingIgnoredDuringExecution {
			terms = append(terms, w.PodAffinityTerm)
		}
	}
	return slices.ContainsFunc(terms, func(t corev1.PodAffinityTerm) bool { return len(t.Namespaces) > 0 || t.NamespaceSelector != nil })
}
