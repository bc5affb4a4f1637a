package manifest

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// validateWorkload checks the kinds of apps/v1.
func validateWorkload(o events.Object) field.ErrorList {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return validateDeployment(o)
	case *appsv1.ReplicaSet:
		return validateReplicaSet(o)
	case *appsv1.StatefulSet:
		return validateStatefulSet(&o.Spec, field.NewPath("spec"))
	case *appsv1.DaemonSet:
		return validateDaemonSet(o)
	case *corev1.ReplicationController:
		return validateController(o)
	case *appsv1.ControllerRevision:
		return validateRevision(o)
	}
	return nil
}

func validateDeployment(d *appsv1.Deployment) field.ErrorList {
	s, at := &d.Spec, field.NewPath("spec")
	errs := validateTemplate("ReplicaSet", &s.Template, s.Selector, at)
	errs = optionalCount(errs, at.Child("replicas"), s.Replicas)
	errs = optionalCount(errs, at.Child("revisionHistoryLimit"), s.RevisionHistoryLimit)
	errs = notNegative(errs, at.Child("minReadySeconds"), int64(s.MinReadySeconds))
	if p := s.ProgressDeadlineSeconds; p != nil {
		errs = notNegative(errs, at.Child("progressDeadlineSeconds"), int64(*p))
		if *p <= s.MinReadySeconds {
			errs = append(errs, field.Invalid(at.Child("progressDeadlineSeconds"), *p, "must be greater than minReadySeconds"))
		}
	}
	return append(errs, validateStrategy(&s.Strategy, at.Child("strategy"))...)
}

func optionalCount(errs field.ErrorList, at *field.Path, n *int32) field.ErrorList {
	if n == nil {
		return errs
	}
	return notNegative(errs, at, int64(*n))
}

func validateStrategy(s *appsv1.DeploymentStrategy, at *field.Path) field.ErrorList {
	errs := oneOf(nil, at.Child("type"), s.Type, appsv1.RecreateDeploymentStrategyType, appsv1.RollingUpdateDeploymentStrategyType)
	r := s.RollingUpdate
	if s.Type == appsv1.RecreateDeploymentStrategyType && r != nil {
		return append(errs, field.Forbidden(at.Child("rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'"))
	}
	if s.Type != appsv1.RollingUpdateDeploymentStrategyType || r == nil || r.MaxSurge == nil || r.MaxUnavailable == nil {
		return errs
	}
	at = at.Child("rollingUpdate")
	unavailable, bad := countOrPercent(*r.MaxUnavailable, at.Child("maxUnavailable"))
	errs = append(errs, bad...)
	surge, bad := countOrPercent(*r.MaxSurge, at.Child("maxSurge"))
	errs = append(errs, bad...)
	if unavailable == 0 && surge == 0 && len(errs) == 0 {
		errs = append(errs, field.Invalid(at.Child("maxUnavailable"), r.MaxUnavailable, "may not be 0 when `maxSurge` is 0"))
	}
	const all = 100
	if r.MaxUnavailable.Type == intstr.String && unavailable > all {
		errs = append(errs, field.Invalid(at.Child("maxUnavailable"), r.MaxUnavailable, "must not be greater than 100%"))
	}
	return errs
}

// countOrPercent reads 3 or "25%" and gives the number in it.
func countOrPercent(v intstr.IntOrString, at *field.Path) (int, field.ErrorList) {
	if v.Type == intstr.Int {
		return int(v.IntVal), notNegative(nil, at, int64(v.IntVal))
	}
	digits, percent := strings.CutSuffix(v.StrVal, "%")
	n, err := strconv.ParseUint(digits, 10, 31)
	if !percent || err != nil {
		return 0, field.ErrorList{field.Invalid(at, v, `must be an integer or percentage (e.g '5%')`)}
	}
	return int(n), nil
}

func validateReplicaSet(r *appsv1.ReplicaSet) field.ErrorList {
	at := field.NewPath("spec")
	errs := validateTemplate("ReplicaSet", &r.Spec.Template, r.Spec.Selector, at)
	errs = optionalCount(errs, at.Child("replicas"), r.Spec.Replicas)
	return notNegative(errs, at.Child("minReadySeconds"), int64(r.Spec.MinReadySeconds))
}

// validateTemplate checks a workload's pods and that its selector finds them.
func validateTemplate(kind string, t *corev1.PodTemplateSpec, s *metav1.LabelSelector, at *field.Path) field.ErrorList {
	errs := validateSelector(s, at.Child("selector"))
	if sel, err := metav1.LabelSelectorAsSelector(s); s != nil && err == nil && !sel.Empty() {
		errs = append(errs, found(sel, t, at)...)
	}
	return append(errs, validateLasting(kind, t, at.Child("template"))...)
}

// found wants a workload's selector to find its own pods.
func found(s labels.Selector, t *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	if s.Matches(labels.Set(t.Labels)) {
		return nil
	}
	return field.ErrorList{field.Invalid(at.Child("template", "metadata", "labels"), t.Labels, "`selector` does not match template `labels`")}
}

// validateLasting checks a template of pods that are to run for good.
func validateLasting(kind string, t *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	errs, spec := validateTemplateOf(t, at), at.Child("spec")
	if p := t.Spec.RestartPolicy; p == corev1.RestartPolicyNever || p == corev1.RestartPolicyOnFailure {
		errs = append(errs, field.NotSupported(spec.Child("restartPolicy"), p, []corev1.RestartPolicy{corev1.RestartPolicyAlways}))
	}
	if t.Spec.ActiveDeadlineSeconds != nil {
		errs = append(errs, field.Forbidden(spec.Child("activeDeadlineSeconds"), "activeDeadlineSeconds in "+kind+" is not Supported"))
	}
	return errs
}

// validateTemplateOf checks what any template of pods has to be.
func validateTemplateOf(t *corev1.PodTemplateSpec, at *field.Path) field.ErrorList {
	errs := validateLabels(t.Labels, at.Child("metadata", "labels"))
	errs = append(errs, validateAnnotations(t.Annotations, at.Child("metadata", "annotations"))...)
	errs = append(errs, validatePod(&t.Spec, at.Child("spec"))...)
	if len(t.Spec.EphemeralContainers) > 0 {
		errs = append(errs, field.Forbidden(at.Child("spec", "ephemeralContainers"), "ephemeral containers not allowed in pod template"))
	}
	return errs
}
