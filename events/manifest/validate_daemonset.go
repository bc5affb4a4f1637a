package manifest

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateDaemonSet(d *appsv1.DaemonSet) field.ErrorList {
	s, at := &d.Spec, field.NewPath("spec")
	errs := validateTemplate("DaemonSet", &s.Template, s.Selector, at)
	errs = notNegative(errs, at.Child("minReadySeconds"), int64(s.MinReadySeconds))
	errs = optionalCount(errs, at.Child("revisionHistoryLimit"), s.RevisionHistoryLimit)
	at = at.Child("updateStrategy")
	errs = oneOf(errs, at.Child("type"), s.UpdateStrategy.Type, appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType)
	if r := s.UpdateStrategy.RollingUpdate; r != nil && s.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		errs = append(errs, validateRolling(r, at.Child("rollingUpdate"))...)
	}
	return errs
}

// validateRolling wants just one way to go from pod to pod: one less on some nodes for
// a while, or one more.
func validateRolling(r *appsv1.RollingUpdateDaemonSet, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	has := map[string]bool{}
	for _, f := range []struct {
		name string
		v    *intstr.IntOrString
	}{{"maxUnavailable", r.MaxUnavailable}, {"maxSurge", r.MaxSurge}} {
		if f.v == nil {
			continue
		}
		n, bad := countOrPercent(*f.v, at.Child(f.name))
		errs = append(errs, bad...)
		const all = 100
		if f.v.Type == intstr.String && n > all {
			errs = append(errs, field.Invalid(at.Child(f.name), f.v, "must not be greater than 100%"))
		}
		has[f.name] = n != 0 || len(bad) > 0
	}
	switch {
	case has["maxUnavailable"] && has["maxSurge"]:
		errs = append(errs, field.Invalid(at.Child("maxSurge"), r.MaxSurge, "may not be set when maxUnavailable is non-zero"))
	case !has["maxUnavailable"] && !has["maxSurge"]:
		errs = append(errs, field.Required(at.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0"))
	}
	return errs
}

func validateController(c *corev1.ReplicationController) field.ErrorList {
	s, at := &c.Spec, field.NewPath("spec")
	errs := optionalCount(nil, at.Child("replicas"), s.Replicas)
	errs = notNegative(errs, at.Child("minReadySeconds"), int64(s.MinReadySeconds))
	selector := labels.SelectorFromSet(s.Selector)
	if len(s.Selector) == 0 {
		errs = append(errs, field.Required(at.Child("selector"), ""))
	}
	errs = append(errs, validateLabels(s.Selector, at.Child("selector"))...)
	if s.Template == nil {
		return append(errs, field.Required(at.Child("template"), ""))
	}
	errs = append(errs, found(selector, s.Template, at)...)
	return append(errs, validateLasting("ReplicationController", s.Template, at.Child("template"))...)
}
