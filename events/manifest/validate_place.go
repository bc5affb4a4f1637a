package manifest

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// notPositive is Kubernetes' word for a number that has to be above 0.
const notPositive = "must be greater than zero"

// validatePodAffinity checks what a pod says of being beside others, and apart from them.
func validatePodAffinity(a *corev1.Affinity, at *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	var errs field.ErrorList
	if p := a.PodAffinity; p != nil {
		errs = append(errs, validateTerms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, at.Child("podAffinity"))...)
	}
	if p := a.PodAntiAffinity; p != nil {
		errs = append(errs, validateTerms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, at.Child("podAntiAffinity"))...)
	}
	return errs
}

func validateTerms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range required {
		errs = append(errs, validatePodTerm(&required[i], at.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i))...)
	}
	for i := range preferred {
		p, here := &preferred[i], at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i)
		const most = 100
		if p.Weight < 1 || p.Weight > most {
			errs = append(errs, field.Invalid(here.Child("weight"), p.Weight, "must be in the range 1-100"))
		}
		errs = append(errs, validatePodTerm(&p.PodAffinityTerm, here.Child("podAffinityTerm"))...)
	}
	return errs
}

func validatePodTerm(t *corev1.PodAffinityTerm, at *field.Path) field.ErrorList {
	errs := validatePicks(t.LabelSelector, at.Child("labelSelector"))
	errs = append(errs, validatePicks(t.NamespaceSelector, at.Child("namespaceSelector"))...)
	for i, name := range t.Namespaces {
		errs = invalid(errs, at.Child("namespaces").Index(i), name, validation.IsDNS1123Label(name))
	}
	key := at.Child("topologyKey")
	if t.TopologyKey == "" {
		errs = append(errs, field.Required(key, "can not be empty"))
	} else {
		errs = invalid(errs, key, t.TopologyKey, validation.IsQualifiedName(t.TopologyKey))
	}
	errs = append(errs, validateOwnKeys(t.MatchLabelKeys, t.LabelSelector, true, at.Child("matchLabelKeys"))...)
	errs = append(errs, validateOwnKeys(t.MismatchLabelKeys, t.LabelSelector, false, at.Child("mismatchLabelKeys"))...)
	for i, k := range t.MatchLabelKeys {
		if slices.Contains(t.MismatchLabelKeys, k) {
			errs = append(errs, field.Invalid(at.Child("matchLabelKeys").Index(i), k, "exists in both matchLabelKeys and mismatchLabelKeys"))
		}
	}
	return errs
}

// validateOwnKeys checks the keys of labels whose values are the pod's own; alone says that the selector must not name them too.
func validateOwnKeys(keys []string, s *metav1.LabelSelector, alone bool, at *field.Path) field.ErrorList {
	if len(keys) > 0 && s == nil {
		return field.ErrorList{field.Forbidden(at, "must not be specified when labelSelector is not set")}
	}
	var errs field.ErrorList
	for i, k := range keys {
		errs = invalid(errs, at.Index(i), k, validation.IsQualifiedName(k))
		if alone && names(s, k) {
			errs = append(errs, field.Invalid(at.Index(i), k, "exists in both matchLabelKeys and labelSelector"))
		}
	}
	return errs
}

func names(s *metav1.LabelSelector, key string) bool {
	_, ok := s.MatchLabels[key]
	return ok || slices.ContainsFunc(s.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool { return r.Key == key })
}

// validateSpread checks how a pod's like are to be spread.
func validateSpread(all []corev1.TopologySpreadConstraint, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range all {
		c, here := &all[i], at.Index(i)
		errs = append(errs, validateConstraint(c, here)...)
		same := func(o corev1.TopologySpreadConstraint) bool {
			return o.TopologyKey == c.TopologyKey && o.WhenUnsatisfiable == c.WhenUnsatisfiable
		}
		if slices.ContainsFunc(all[i+1:], same) {
			errs = append(errs, field.Duplicate(here.Child("{topologyKey, whenUnsatisfiable}"), fmt.Sprintf("{%s, %s}", c.TopologyKey, c.WhenUnsatisfiable)))
		}
	}
	return errs
}

func validateConstraint(c *corev1.TopologySpreadConstraint, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if c.MaxSkew <= 0 {
		errs = append(errs, field.Invalid(at.Child("maxSkew"), c.MaxSkew, notPositive))
	}
	if c.TopologyKey == "" {
		errs = append(errs, field.Required(at.Child("topologyKey"), "can not be empty"))
	}
	errs = oneOf(errs, at.Child("whenUnsatisfiable"), c.WhenUnsatisfiable, corev1.DoNotSchedule, corev1.ScheduleAnyway)
	if m := c.MinDomains; m != nil {
		if *m <= 0 {
			errs = append(errs, field.Invalid(at.Child("minDomains"), *m, notPositive))
		}
		if c.WhenUnsatisfiable != corev1.DoNotSchedule {
			errs = append(errs, field.Invalid(at.Child("minDomains"), *m, fmt.Sprintf("can only use minDomains if whenUnsatisfiable=%s, not %s", corev1.DoNotSchedule, c.WhenUnsatisfiable)))
		}
	}
	if p := c.NodeAffinityPolicy; p != nil {
		errs = oneOf(errs, at.Child("nodeAffinityPolicy"), *p, corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)
	}
	if p := c.NodeTaintsPolicy; p != nil {
		errs = oneOf(errs, at.Child("nodeTaintsPolicy"), *p, corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore)
	}
	errs = append(errs, validateOwnKeys(c.MatchLabelKeys, c.LabelSelector, true, at.Child("matchLabelKeys"))...)
	return append(errs, validatePicks(c.LabelSelector, at.Child("labelSelector"))...)
}
