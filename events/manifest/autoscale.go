package manifest

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// What Kubernetes gives an autoscaler that does not say.
const (
	usualUtilization = 80 // percent
	longestPeriod    = 1800
	longestWindow    = 3600
)

func defaultAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) {
	pointTo(&h.Spec.MinReplicas, 1)
	if len(h.Spec.Metrics) == 0 {
		h.Spec.Metrics = []autoscalingv2.MetricSpec{cpuAt(usualUtilization)}
	}
	b := h.Spec.Behavior
	if b == nil {
		return
	}
	const period, pods, percent = 15, 4, 100
	pointTo(&b.ScaleUp, autoscalingv2.HPAScalingRules{})
	pointTo(&b.ScaleUp.StabilizationWindowSeconds, 0)
	pointTo(&b.ScaleDown, autoscalingv2.HPAScalingRules{})
	for _, r := range []*autoscalingv2.HPAScalingRules{b.ScaleUp, b.ScaleDown} {
		pointTo(&r.SelectPolicy, autoscalingv2.MaxChangePolicySelect)
		if r.Policies != nil {
			continue
		}
		if r == b.ScaleUp {
			r.Policies = append(r.Policies, autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: pods, PeriodSeconds: period})
		}
		r.Policies = append(r.Policies, autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: percent, PeriodSeconds: period})
	}
}

// cpuAt is the metric that wants CPU at a part of what is requested.
func cpuAt(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU,
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}}}
}

func validateAutoscaler(h *autoscalingv2.HorizontalPodAutoscaler) field.ErrorList {
	s, at := &h.Spec, field.NewPath("spec")
	var errs field.ErrorList
	least, most := at.Child("minReplicas"), at.Child("maxReplicas")
	if s.MinReplicas != nil && *s.MinReplicas < 1 {
		errs = append(errs, field.Invalid(least, *s.MinReplicas, "must be greater than or equal to 1"))
	}
	switch {
	case s.MaxReplicas == 0:
		errs = append(errs, field.Required(most, "must be set and greater than 0"))
	case s.MaxReplicas < 0:
		errs = append(errs, field.Invalid(most, s.MaxReplicas, "must be greater than or equal to 1"))
	}
	if s.MinReplicas != nil && s.MaxReplicas < *s.MinReplicas {
		errs = append(errs, field.Invalid(most, s.MaxReplicas, "must be greater than or equal to `minReplicas`"))
	}
	errs = append(errs, validateReference(s.ScaleTargetRef, at.Child("scaleTargetRef"))...)
	for i := range s.Metrics {
		errs = append(errs, validateMetric(&s.Metrics[i], at.Child("metrics").Index(i))...)
	}
	if b := s.Behavior; b != nil {
		errs = append(errs, validateScaling(b.ScaleUp, at.Child("behavior", "scaleUp"))...)
		errs = append(errs, validateScaling(b.ScaleDown, at.Child("behavior", "scaleDown"))...)
	}
	return errs
}

func validateReference(r autoscalingv2.CrossVersionObjectReference, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range [][2]string{{"kind", r.Kind}, {"name", r.Name}} {
		if f[1] == "" {
			errs = append(errs, field.Required(at.Child(f[0]), ""))
		} else {
			errs = invalid(errs, at.Child(f[0]), f[1], pathSegment(f[1]))
		}
	}
	if _, err := schema.ParseGroupVersion(r.APIVersion); err != nil {
		errs = append(errs, field.Invalid(at.Child("apiVersion"), r.APIVersion, err.Error()))
	}
	return errs
}

func validateScaling(r *autoscalingv2.HPAScalingRules, at *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	if w, here := r.StabilizationWindowSeconds, at.Child("stabilizationWindowSeconds"); w != nil && *w < 0 {
		errs = append(errs, field.Invalid(here, *w, "must be greater than or equal to zero"))
	} else if w != nil && *w > longestWindow {
		errs = append(errs, field.Invalid(here, *w, fmt.Sprintf("must be less than or equal to %d", longestWindow)))
	}
	errs = oneOfPointed(errs, at.Child("selectPolicy"), r.SelectPolicy, autoscalingv2.DisabledPolicySelect, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect)
	if len(r.Policies) == 0 {
		errs = append(errs, field.Required(at.Child("policies"), "must specify at least one Policy"))
	}
	for i, p := range r.Policies {
		here := at.Child("policies").Index(i)
		errs = oneOf(errs, here.Child("type"), p.Type, autoscalingv2.PercentScalingPolicy, autoscalingv2.PodsScalingPolicy)
		if p.Value <= 0 {
			errs = append(errs, field.Invalid(here.Child("value"), p.Value, notPositive))
		}
		if p.PeriodSeconds <= 0 {
			errs = append(errs, field.Invalid(here.Child("periodSeconds"), p.PeriodSeconds, notPositive))
		} else if p.PeriodSeconds > longestPeriod {
			errs = append(errs, field.Invalid(here.Child("periodSeconds"), p.PeriodSeconds, fmt.Sprintf("must be less than or equal to %d", longestPeriod)))
		}
	}
	if r.Tolerance != nil && r.Tolerance.Sign() < 0 {
		errs = append(errs, field.Invalid(at.Child("tolerance"), r.Tolerance.String(), "must be greater than or equal to 0"))
	}
	return errs
}

// source is one kind of metric in a spec.
type source struct {
	kind     autoscalingv2.MetricSourceType
	name     string // of its field
	there    bool
	validate func(*field.Path) field.ErrorList
}

func validateMetric(m *autoscalingv2.MetricSpec, at *field.Path) field.ErrorList {
	all := []source{
		{autoscalingv2.ObjectMetricSourceType, "object", m.Object != nil, func(at *field.Path) field.ErrorList {
			errs := append(validateReference(m.Object.DescribedObject, at.Child("describedObject")), validateMetricName(m.Object.Metric.Name, at.Child("metric", "name"))...)
			return append(errs, validateValue(&m.Object.Target, at.Child("target"), "must set either a target value or averageValue")...)
		}},
		{autoscalingv2.ExternalMetricSourceType, "external", m.External != nil, func(at *field.Path) field.ErrorList {
			errs := append(validateMetricName(m.External.Metric.Name, at.Child("metric", "name")), validateValue(&m.External.Target, at.Child("target"), "must set either a target value for metric or a per-pod target")...)
			if m.External.Target.Value != nil && m.External.Target.AverageValue != nil {
				errs = append(errs, field.Forbidden(at.Child("target", "value"), "may not set both a target value for metric and a per-pod target"))
			}
			return errs
		}},
		{autoscalingv2.PodsMetricSourceType, "pods", m.Pods != nil, func(at *field.Path) field.ErrorList {
			errs := append(validateMetricName(m.Pods.Metric.Name, at.Child("metric", "name")), validateTarget(&m.Pods.Target, at.Child("target"))...)
			if m.Pods.Target.AverageValue == nil {
				errs = append(errs, field.Required(at.Child("target", "averageValue"), "must specify a positive target averageValue"))
			}
			return errs
		}},
		{autoscalingv2.ResourceMetricSourceType, "resource", m.Resource != nil, func(at *field.Path) field.ErrorList {
			return validateResourceMetric(m.Resource.Name, &m.Resource.Target, at)
		}},
		{autoscalingv2.ContainerResourceMetricSourceType, "containerResource", m.ContainerResource != nil, func(at *field.Path) field.ErrorList {
			errs := validateResourceMetric(m.ContainerResource.Name, &m.ContainerResource.Target, at)
			if m.ContainerResource.Container == "" {
				return append(errs, field.Required(at.Child("container"), "must specify a container"))
			}
			return invalid(errs, at.Child("container"), m.ContainerResource.Container, validation.IsDNS1123Label(m.ContainerResource.Container))
		}},
	}
	var known []autoscalingv2.MetricSourceType
	var errs field.ErrorList
	for _, s := range all {
		known = append(known, s.kind)
		switch here := at.Child(s.name); {
		case s.there && s.kind != m.Type:
			errs = append(errs, field.Forbidden(here, "must populate the given metric source only"))
		case s.there:
			errs = append(errs, s.validate(here)...)
		case s.kind == m.Type:
			errs = append(errs, field.Required(here, "must populate information for the given metric source"))
		}
	}
	if m.Type == "" {
		return append(errs, field.Required(at.Child("type"), "must specify a metric source type"))
	}
	return oneOf(errs, at.Child("type"), m.Type, known...)
}

func validateMetricName(name string, at *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "must specify a metric name")}
	}
	return invalid(nil, at, name, pathSegment(name))
}

func validateResourceMetric(name corev1.ResourceName, t *autoscalingv2.MetricTarget, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if name == "" {
		errs = append(errs, field.Required(at.Child("name"), "must specify a resource name"))
	}
	errs = append(errs, validateTarget(t, at.Child("target"))...)
	switch {
	case t.AverageUtilization == nil && t.AverageValue == nil:
		errs = append(errs, field.Required(at.Child("target", "averageUtilization"), "must set either a target raw value or a target utilization"))
	case t.AverageUtilization != nil && t.AverageValue != nil:
		errs = append(errs, field.Forbidden(at.Child("target", "averageValue"), "may not set both a target raw value and a target utilization"))
	}
	return errs
}

func validateValue(t *autoscalingv2.MetricTarget, at *field.Path, none string) field.ErrorList {
	errs := validateTarget(t, at)
	if t.Value == nil && t.AverageValue == nil {
		errs = append(errs, field.Required(at.Child("averageValue"), none))
	}
	return errs
}

func validateTarget(t *autoscalingv2.MetricTarget, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch t.Type {
	case autoscalingv2.UtilizationMetricType, autoscalingv2.ValueMetricType, autoscalingv2.AverageValueMetricType:
	case "":
		errs = append(errs, field.Required(at.Child("type"), "must specify a metric target type"))
	default:
		errs = append(errs, field.Invalid(at.Child("type"), t.Type, "must be either Utilization, Value, or AverageValue"))
	}
	if t.Value != nil && t.Value.Sign() != 1 {
		errs = append(errs, field.Invalid(at.Child("value"), t.Value.String(), "must be positive"))
	}
	if t.AverageValue != nil && t.AverageValue.Sign() != 1 {
		errs = append(errs, field.Invalid(at.Child("averageValue"), t.AverageValue.String(), "must be positive"))
	}
	if t.AverageUtilization != nil && *t.AverageUtilization < 1 {
		errs = append(errs, field.Invalid(at.Child("averageUtilization"), *t.AverageUtilization, "must be greater than 0"))
	}
	return errs
}

// AutoscalerStatus says what is wrong with a status of an autoscaler that somebody writes.
func AutoscalerStatus(s *autoscalingv2.HorizontalPodAutoscalerStatus) field.ErrorList {
	at := field.NewPath("status")
	errs := notNegative(nil, at.Child("currentReplicas"), int64(s.CurrentReplicas))
	return notNegative(errs, at.Child("desiredReplicas"), int64(s.DesiredReplicas))
}
