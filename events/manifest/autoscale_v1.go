package manifest

import (
	"encoding/json"
	"maps"
	"slices"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/stave-run/stave/events"
)

// Where autoscaling/v1 keeps what it has no fields for, as Kubernetes does.
const (
	otherMetrics    = "autoscaling.alpha.kubernetes.io/metrics"
	currentMetrics  = "autoscaling.alpha.kubernetes.io/current-metrics"
	otherConditions = "autoscaling.alpha.kubernetes.io/conditions"
	otherBehavior   = "autoscaling.alpha.kubernetes.io/behavior"
)

// carried are those annotations: they are fields in autoscaling/v2, and never kept.
var carried = []string{otherMetrics, currentMetrics, otherConditions, otherBehavior,
	"autoscaling.alpha.kubernetes.io/scale-down-tolerance", "autoscaling.alpha.kubernetes.io/scale-up-tolerance"}

func withoutCarried(annotations map[string]string) map[string]string {
	if !slices.ContainsFunc(carried, func(k string) bool { _, ok := annotations[k]; return ok }) {
		return annotations
	}
	out := maps.Clone(annotations)
	for _, k := range carried {
		delete(out, k)
	}
	return out
}

// AutoscalerFromV1 is an autoscaler of autoscaling/v1 in the version that is kept. What its annotations say that cannot be
// read counts for nothing, as in Kubernetes.
func AutoscalerFromV1(in *autoscalingv1.HorizontalPodAutoscaler) *autoscalingv2.HorizontalPodAutoscaler {
	out := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: *in.ObjectMeta.DeepCopy()}
	kind, _ := events.KindOf(events.Autoscalers)
	out.SetGroupVersionKind(kind.GVK())
	out.Spec = autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv2.CrossVersionObjectReference(in.Spec.ScaleTargetRef), MinReplicas: in.Spec.MinReplicas, MaxReplicas: in.Spec.MaxReplicas}
	out.Status = autoscalingv2.HorizontalPodAutoscalerStatus{ObservedGeneration: in.Status.ObservedGeneration, LastScaleTime: in.Status.LastScaleTime,
		CurrentReplicas: in.Status.CurrentReplicas, DesiredReplicas: in.Status.DesiredReplicas}
	var metrics []autoscalingv1.MetricSpec
	if json.Unmarshal([]byte(in.Annotations[otherMetrics]), &metrics) == nil {
		for i := range metrics {
			out.Spec.Metrics = append(out.Spec.Metrics, metricFromV1(&metrics[i]))
		}
	}
	if p := in.Spec.TargetCPUUtilizationPercentage; p != nil {
		out.Spec.Metrics = append(out.Spec.Metrics, cpuAt(*p))
	}
	if len(out.Spec.Metrics) == 0 {
		out.Spec.Metrics = []autoscalingv2.MetricSpec{cpuAt(usualUtilization)}
	}
	var behavior autoscalingv2.HorizontalPodAutoscalerBehavior
	if json.Unmarshal([]byte(in.Annotations[otherBehavior]), &behavior) == nil && (behavior.ScaleUp != nil || behavior.ScaleDown != nil) {
		out.Spec.Behavior = &behavior
	}
	statusFromV1(in, &out.Status)
	out.Annotations = withoutCarried(out.Annotations)
	return out
}

func statusFromV1(in *autoscalingv1.HorizontalPodAutoscaler, out *autoscalingv2.HorizontalPodAutoscalerStatus) {
	var current []autoscalingv1.MetricStatus
	if json.Unmarshal([]byte(in.Annotations[currentMetrics]), &current) == nil {
		for i := range current {
			out.CurrentMetrics = append(out.CurrentMetrics, currentFromV1(&current[i]))
		}
	} else if p := in.Status.CurrentCPUUtilizationPercentage; p != nil {
		out.CurrentMetrics = []autoscalingv2.MetricStatus{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricStatus{Name: corev1.ResourceCPU,
			Current: autoscalingv2.MetricValueStatus{AverageUtilization: p}}}}
	}
	_ = json.Unmarshal([]byte(in.Annotations[otherConditions]), &out.Conditions) // both versions have the same fields
}

// AutoscalerToV1 is an autoscaler as autoscaling/v1 shows it: CPU in a field, all else in annotations.
func AutoscalerToV1(in *autoscalingv2.HorizontalPodAutoscaler) *autoscalingv1.HorizontalPodAutoscaler {
	out := &autoscalingv1.HorizontalPodAutoscaler{ObjectMeta: *in.ObjectMeta.DeepCopy()}
	out.APIVersion, out.Kind = "autoscaling/v1", "HorizontalPodAutoscaler"
	out.Spec = autoscalingv1.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv1.CrossVersionObjectReference(in.Spec.ScaleTargetRef), MinReplicas: in.Spec.MinReplicas, MaxReplicas: in.Spec.MaxReplicas}
	out.Status = autoscalingv1.HorizontalPodAutoscalerStatus{ObservedGeneration: in.Status.ObservedGeneration, LastScaleTime: in.Status.LastScaleTime,
		CurrentReplicas: in.Status.CurrentReplicas, DesiredReplicas: in.Status.DesiredReplicas}
	a := maps.Clone(withoutCarried(in.Annotations))
	carry := func(key string, value any) {
		if a == nil {
			a = map[string]string{}
		}
		a[key] = string(events.MustBody(value))
	}
	var others []autoscalingv1.MetricSpec
	for i := range in.Spec.Metrics {
		m := &in.Spec.Metrics[i]
		if m.Type != autoscalingv2.ResourceMetricSourceType || m.Resource == nil || m.Resource.Name != corev1.ResourceCPU || m.Resource.Target.AverageUtilization == nil {
			others = append(others, metricToV1(m))
		} else if out.Spec.TargetCPUUtilizationPercentage == nil {
			out.Spec.TargetCPUUtilizationPercentage = m.Resource.Target.AverageUtilization
		}
	}
	if len(others) > 0 {
		carry(otherMetrics, others)
	}
	var current []autoscalingv1.MetricStatus
	for i := range in.Status.CurrentMetrics {
		m := &in.Status.CurrentMetrics[i]
		if current = append(current, currentToV1(m)); m.Resource != nil && m.Resource.Name == corev1.ResourceCPU && m.Resource.Current.AverageUtilization != nil {
			out.Status.CurrentCPUUtilizationPercentage = m.Resource.Current.AverageUtilization
		}
	}
	if len(current) > 0 {
		carry(currentMetrics, current)
	}
	if in.Spec.Behavior != nil {
		carry(otherBehavior, in.Spec.Behavior)
	}
	if len(in.Status.Conditions) > 0 {
		carry(otherConditions, in.Status.Conditions)
	}
	out.Annotations = a
	return out
}

func metricToV1(m *autoscalingv2.MetricSpec) autoscalingv1.MetricSpec {
	out := autoscalingv1.MetricSpec{Type: autoscalingv1.MetricSourceType(m.Type)}
	if x := m.Object; x != nil {
		out.Object = &autoscalingv1.ObjectMetricSource{Target: autoscalingv1.CrossVersionObjectReference(x.DescribedObject), MetricName: x.Metric.Name, Selector: x.Metric.Selector, AverageValue: x.Target.AverageValue}
		if x.Target.Value != nil {
			out.Object.TargetValue = *x.Target.Value
		}
	}
	if x := m.Pods; x != nil {
		out.Pods = &autoscalingv1.PodsMetricSource{MetricName: x.Metric.Name, Selector: x.Metric.Selector}
		if x.Target.AverageValue != nil {
			out.Pods.TargetAverageValue = *x.Target.AverageValue
		}
	}
	if x := m.Resource; x != nil {
		out.Resource = &autoscalingv1.ResourceMetricSource{Name: x.Name, TargetAverageUtilization: x.Target.AverageUtilization, TargetAverageValue: x.Target.AverageValue}
	}
	if x := m.ContainerResource; x != nil {
		out.ContainerResource = &autoscalingv1.ContainerResourceMetricSource{Name: x.Name, Container: x.Container, TargetAverageUtilization: x.Target.AverageUtilization, TargetAverageValue: x.Target.AverageValue}
	}
	if x := m.External; x != nil {
		out.External = &autoscalingv1.ExternalMetricSource{MetricName: x.Metric.Name, MetricSelector: x.Metric.Selector, TargetValue: x.Target.Value, TargetAverageValue: x.Target.AverageValue}
	}
	return out
}

// targetFromV1 says what a target is of, which autoscaling/v1 leaves to be seen.
func targetFromV1(utilization *int32, average, value *resource.Quantity) autoscalingv2.MetricTarget {
	t := autoscalingv2.MetricTarget{Type: autoscalingv2.ValueMetricType, AverageUtilization: utilization, AverageValue: average, Value: value}
	switch {
	case utilization != nil:
		t.Type = autoscalingv2.UtilizationMetricType
	case average != nil:
		t.Type = autoscalingv2.AverageValueMetricType
	}
	return t
}

func metricFromV1(m *autoscalingv1.MetricSpec) autoscalingv2.MetricSpec {
	out := autoscalingv2.MetricSpec{Type: autoscalingv2.MetricSourceType(m.Type)}
	if x := m.Object; x != nil {
		value := &x.TargetValue
		if x.AverageValue != nil && value.IsZero() {
			value = nil
		}
		out.Object = &autoscalingv2.ObjectMetricSource{DescribedObject: autoscalingv2.CrossVersionObjectReference(x.Target), Metric: autoscalingv2.MetricIdentifier{Name: x.MetricName, Selector: x.Selector},
			Target: targetFromV1(nil, x.AverageValue, value)}
	}
	if x := m.Pods; x != nil {
		out.Pods = &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: x.MetricName, Selector: x.Selector}, Target: targetFromV1(nil, &x.TargetAverageValue, nil)}
	}
	if x := m.Resource; x != nil {
		out.Resource = &autoscalingv2.ResourceMetricSource{Name: x.Name, Target: targetFromV1(x.TargetAverageUtilization, x.TargetAverageValue, nil)}
	}
	if x := m.ContainerResource; x != nil {
		out.ContainerResource = &autoscalingv2.ContainerResourceMetricSource{Name: x.Name, Container: x.Container, Target: targetFromV1(x.TargetAverageUtilization, x.TargetAverageValue, nil)}
	}
	if x := m.External; x != nil {
		out.External = &autoscalingv2.ExternalMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: x.MetricName, Selector: x.MetricSelector}, Target: targetFromV1(nil, x.TargetAverageValue, x.TargetValue)}
	}
	return out
}

// currentToV1 keeps the figures that Stave has: of resources.
func currentToV1(m *autoscalingv2.MetricStatus) autoscalingv1.MetricStatus {
	out := autoscalingv1.MetricStatus{Type: autoscalingv1.MetricSourceType(m.Type)}
	value := func(c autoscalingv2.MetricValueStatus) resource.Quantity {
		if c.AverageValue == nil {
			return resource.Quantity{}
		}
		return *c.AverageValue
	}
	if x := m.Resource; x != nil {
		out.Resource = &autoscalingv1.ResourceMetricStatus{Name: x.Name, CurrentAverageUtilization: x.Current.AverageUtilization, CurrentAverageValue: value(x.Current)}
	}
	if x := m.ContainerResource; x != nil {
		out.ContainerResource = &autoscalingv1.ContainerResourceMetricStatus{Name: x.Name, Container: x.Container, CurrentAverageUtilization: x.Current.AverageUtilization, CurrentAverageValue: value(x.Current)}
	}
	return out
}

func currentFromV1(m *autoscalingv1.MetricStatus) autoscalingv2.MetricStatus {
	out := autoscalingv2.MetricStatus{Type: autoscalingv2.MetricSourceType(m.Type)}
	if x := m.Resource; x != nil {
		out.Resource = &autoscalingv2.ResourceMetricStatus{Name: x.Name, Current: autoscalingv2.MetricValueStatus{AverageUtilization: x.CurrentAverageUtilization, AverageValue: &x.CurrentAverageValue}}
	}
	if x := m.ContainerResource; x != nil {
		out.ContainerResource = &autoscalingv2.ContainerResourceMetricStatus{Name: x.Name, Container: x.Container, Current: autoscalingv2.MetricValueStatus{AverageUtilization: x.CurrentAverageUtilization, AverageValue: &x.CurrentAverageValue}}
	}
	return out
}

// InVersion is an object in another version of its kind; the same when it is in that already, or its kind has no other.
func InVersion(o runtime.Object, version string) runtime.Object {
	switch o := o.(type) {
	case *autoscalingv2.HorizontalPodAutoscaler:
		if version == autoscalingv1.SchemeGroupVersion.Version {
			return AutoscalerToV1(o)
		}
		if said := autoscalingv2.SchemeGroupVersion.String(); o.APIVersion != said { // decoders leave it as it was asked for
			o = o.DeepCopy()
			o.APIVersion = said
			return o
		}
	case *autoscalingv1.HorizontalPodAutoscaler:
		if version == autoscalingv2.SchemeGroupVersion.Version {
			return AutoscalerFromV1(o)
		}
	}
	return o
}
