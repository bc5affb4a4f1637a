package manifest

import (
	"fmt"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateGates(gates []corev1.PodSchedulingGate, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, g := range gates {
		errs = invalid(errs, at.Index(i), g.Name, validation.IsQualifiedName(g.Name))
		if seen[g.Name] {
			errs = append(errs, field.Duplicate(at.Index(i), g.Name))
		}
		seen[g.Name] = true
	}
	return errs
}

// validateGatedPod: who names its node goes past the scheduler, whom gates hold back.
func validateGatedPod(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	if s.NodeName == "" || len(s.SchedulingGates) == 0 {
		return nil
	}
	return field.ErrorList{field.Forbidden(at.Child("nodeName"), "cannot be set until all schedulingGates have been cleared")}
}

// updateGated says what of a pod's place must not change, and sets back in next what may: gates are only taken off, and while
// there are some, the nodes that it may go to become fewer.
func updateGated(old, next *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, g := range next.SchedulingGates {
		if !slices.Contains(old.SchedulingGates, g) {
			errs = append(errs, field.Forbidden(at.Child("schedulingGates").Index(i).Child("name"), fmt.Sprintf("only deletion is allowed, but found new scheduling gate '%s'", g.Name)))
		}
	}
	next.SchedulingGates = old.SchedulingGates
	if len(old.SchedulingGates) == 0 {
		return errs
	}
	if slices.ContainsFunc(keysOf(old.NodeSelector), func(k string) bool {
		has, ok := next.NodeSelector[k]
		return !ok || has != old.NodeSelector[k]
	}) {
		errs = append(errs, field.Invalid(at.Child("nodeSelector"), next.NodeSelector, "only additions to spec.nodeSelector are allowed (no mutations or deletions)"))
	}
	next.NodeSelector = old.NodeSelector
	was, is := nodeAffinity(old), nodeAffinity(next)
	if reflect.DeepEqual(was, is) {
		return errs
	}
	errs = append(errs, fewerNodes(requiredTerms(was), requiredTerms(is), at.Child("affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"))...)
	setNodeAffinity(next, was)
	if old.Affinity == nil && reflect.DeepEqual(next.Affinity, &corev1.Affinity{}) {
		next.Affinity = nil
	}
	return errs
}

func nodeAffinity(s *corev1.PodSpec) *corev1.NodeAffinity {
	if s.Affinity == nil {
		return nil
	}
	return s.Affinity.NodeAffinity
}

func setNodeAffinity(s *corev1.PodSpec, a *corev1.NodeAffinity) {
	if s.Affinity == nil {
		s.Affinity = &corev1.Affinity{}
	}
	s.Affinity.NodeAffinity = a
}

func requiredTerms(a *corev1.NodeAffinity) []corev1.NodeSelectorTerm {
	if a == nil || a.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

// fewerNodes: terms where there were none are free; each of those that are there may only ask for more.
func fewerNodes(old, next []corev1.NodeSelectorTerm, at *field.Path) field.ErrorList {
	if len(old) == 0 {
		return nil
	}
	if len(old) != len(next) {
		return field.ErrorList{field.Invalid(at, next, "no additions/deletions to non-empty NodeSelectorTerms list are allowed")}
	}
	var errs field.ErrorList
	for i := range old {
		o, n := &old[i], &next[i]
		empty := len(o.MatchExpressions)+len(o.MatchFields) == 0 && len(n.MatchExpressions)+len(n.MatchFields) > 0 // it matches nothing
		if empty || !begins(n.MatchExpressions, o.MatchExpressions) || !begins(n.MatchFields, o.MatchFields) {
			errs = append(errs, field.Invalid(at.Index(i), next[i], "only additions are allowed (no mutations or deletions)"))
		}
	}
	return errs
}

func begins(all, with []corev1.NodeSelectorRequirement) bool {
	return slices.EqualFunc(all[:min(len(all), len(with))], with, func(a, b corev1.NodeSelectorRequirement) bool { return reflect.DeepEqual(a, b) })
}
