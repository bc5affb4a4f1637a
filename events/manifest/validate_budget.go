package manifest

import (
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateBudget(s *policyv1.PodDisruptionBudgetSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		errs = append(errs, field.Invalid(at, s, "minAvailable and maxUnavailable cannot be both set"))
	}
	const all = 100
	for _, f := range []struct {
		name  string
		value *intstr.IntOrString
	}{{"minAvailable", s.MinAvailable}, {"maxUnavailable", s.MaxUnavailable}} {
		if f.value == nil {
			continue
		}
		n, bad := countOrPercent(*f.value, at.Child(f.name))
		if errs = append(errs, bad...); f.value.Type == intstr.String && n > all {
			errs = append(errs, field.Invalid(at.Child(f.name), f.value, "must not be greater than 100%"))
		}
	}
	if p := s.UnhealthyPodEvictionPolicy; p != nil {
		errs = oneOf(errs, at.Child("unhealthyPodEvictionPolicy"), *p, policyv1.AlwaysAllow, policyv1.IfHealthyBudget)
	}
	return append(errs, validatePicks(s.Selector, at.Child("selector"))...)
}
