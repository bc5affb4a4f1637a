// Package autoscale decides how many replicas HorizontalPodAutoscalers give their
// targets, by Kubernetes' algorithm.
//
// What nodes measure is no state of the log. Measure reduces it to what the metrics
// of an autoscaler ask for, and that is appended when it changes (Moved). So the log
// holds what was asked for at any time: Decide is a function of it, and whoever folds
// it again decides the same.
package autoscale

import (
	"bytes"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "autoscale" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 2 }

// targets are Stave's own kinds that have replicas.
var targets = []events.Resource{events.Deployments, events.ReplicaSets, events.StatefulSets, events.Controllers}

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return append([]events.Resource{events.Autoscalers, events.Pods, events.CustomResources}, targets...)
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	out := []events.Type{events.TypeOf(events.Autoscalers, events.VerbStatus), events.TypeOf(events.Autoscalers, events.VerbStatusWritten),
		events.TypeOf(events.CustomResources, events.VerbChanged)}
	for _, r := range targets {
		out = append(out, events.TypeOf(r, events.VerbChanged))
	}
	return out
}

// Keys implements reconcilers.Reconciler: an autoscaler, also when its target is another one. One that comes or goes concerns all of
// its namespace: two may be after the same pods.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	if c.Key.Resource == events.Autoscalers {
		if c.Before == nil || c.After == nil || c.Before.Generation != c.After.Generation {
			return all(v, c.Key.Namespace)
		}
		return []events.Key{c.Key}
	}
	if _, ours := events.KindOf(c.Key.Resource); ours && !isTarget(c.Key.Resource) {
		return nil
	}
	var out []events.Key
	for o := range v.List(events.Autoscalers, c.Key.Namespace) {
		if targetOf(v, o) == c.Key {
			out = append(out, o.Key)
		}
	}
	return out
}

// all are the autoscalers of a namespace.
func all(v reconcilers.View, namespace string) []events.Key {
	var out []events.Key
	for o := range v.List(events.Autoscalers, namespace) {
		out = append(out, o.Key)
	}
	return out
}

func isTarget(r events.Resource) bool {
	for _, t := range targets {
		if t == r {
			return true
		}
	}
	return false
}

func targetOf(v reconcilers.View, o *projections.Object) events.Key {
	k, err := v.ScaleTarget(o.Key.Namespace, &projections.As[*autoscalingv2.HorizontalPodAutoscaler](o).Spec.ScaleTargetRef)
	if err != nil {
		return events.Key{}
	}
	return k
}

// pass is one decision under way.
type pass struct {
	v      reconcilers.View
	o      *projections.Object
	spec   *autoscalingv2.HorizontalPodAutoscalerSpec
	status autoscalingv2.HorizontalPodAutoscalerStatus // as it will be
	was    autoscalingv2.HorizontalPodAutoscalerStatus
	scale  projections.Scale
	now    time.Time
	d      reconcilers.Decision
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil {
		return reconcilers.Decision{}
	}
	h, ok := v.ObjectOf(o, now).(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok {
		return reconcilers.Decision{}
	}
	p := &pass{v: v, o: o, spec: &h.Spec, was: *h.Status.DeepCopy(), status: h.Status, now: now}
	p.decide()
	p.tell()
	return p.d
}

func (p *pass) decide() {
	var err error
	if p.scale, err = p.v.ScaleOf(p.o.Key.Namespace, &p.spec.ScaleTargetRef); err != nil {
		p.condition(autoscalingv2.AbleToScale, corev1.ConditionFalse, "FailedGetScale", "the HPA controller was unable to get the target's current scale: "+err.Error())
		p.because("NoTarget", err.Error(), "")
		return
	}
	current, least, most := p.scale.Wanted, p.least(), p.spec.MaxReplicas
	p.status.CurrentReplicas = current
	switch {
	case p.scale.Object.Deletion != nil:
		return
	case current == 0:
		p.able("SucceededGetScale", "the HPA controller was able to get the target's current scale")
		p.status.DesiredReplicas, p.status.CurrentMetrics = 0, nil
		p.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
	case current > most:
		p.status.CurrentMetrics = nil
		p.rescale(most, "Current number of replicas above Spec.MaxReplicas", "")
	case current < least:
		p.status.CurrentMetrics = nil
		p.rescale(least, "Current number of replicas below Spec.MinReplicas", "")
	case p.obscure():
	default:
		p.follow()
	}
}

func (p *pass) least() int32 {
	if p.spec.MinReplicas == nil {
		return 1
	}
	return *p.spec.MinReplicas
}

// follow does what was measured last, unless that was for another spec, or before the last change took effect.
func (p *pass) follow() {
	s := p.o.Scaler
	if s == nil || s.Measured == nil || s.Measured.Generation != p.o.Generation || len(s.Measured.Metrics) != len(p.spec.Metrics) {
		p.able("SucceededGetScale", "the HPA controller was able to get the target's current scale")
		p.because("NotMeasured", "its pods have not been measured yet", "")
		return
	}
	if n := len(s.Scales); n > 0 && !s.Mark.Time.After(s.Scales[n-1].At) {
		p.because("Settling", "it is measured again since the last change", "")
		return
	}
	m := s.Measured
	p.status.CurrentMetrics = currentMetrics(p.spec.Metrics, m.Metrics)
	if m.Replicas < 0 || m.Replicas < p.scale.Wanted && anyFailed(m.Metrics) {
		p.able("SucceededGetScale", "the HPA controller was able to get the target's current scale")
		f := firstFailed(m.Metrics)
		said := "the HPA was unable to compute the replica count: " + f.Said
		p.condition(autoscalingv2.ScalingActive, corev1.ConditionFalse, f.Reason, said)
		p.because(events.Code(f.Reason), f.Said, fixOf(f))
		return
	}
	name, told := p.leading(m.Metrics)
	p.condition(autoscalingv2.ScalingActive, corev1.ConditionTrue, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from "+name)
	reason := ""
	switch {
	case m.Replicas > p.scale.Wanted:
		reason = name + " above target"
	case m.Replicas < p.scale.Wanted:
		reason = "All metrics below target"
	}
	n := p.normalized(m.Replicas)
	if n != p.scale.Wanted {
		p.rescale(n, reason, told)
		return
	}
	p.status.DesiredReplicas = n
	p.because("Measured", told, "")
}

// leading is the metric that asks for the most, and what it says.
func (p *pass) leading(all []events.ScalerMetric) (name, told string) {
	best := -1
	for i, m := range all {
		if m.Reason == "" && (best < 0 || m.Replicas > all[best].Replicas) {
			best = i
		}
	}
	if best < 0 {
		return "", ""
	}
	return metricName(&p.spec.Metrics[best]), toldOf(&p.spec.Metrics[best], all[best])
}

// rescale gives the target another number of replicas.
func (p *pass) rescale(n int32, reason, told string) {
	from := p.scale.Wanted
	if n == from {
		return
	}
	at := metav1.NewTime(p.now.UTC().Truncate(time.Second))
	p.able("SucceededRescale", fmt.Sprintf("the HPA controller was able to update the target scale to %d", n))
	p.status.DesiredReplicas, p.status.LastScaleTime = n, &at
	p.d.Emit(p.scaled(n))
	p.d.Emit(reconcilers.Report(p.o.Key, events.ScalerReported{UID: p.o.UID, Scaled: &events.ScalerScaled{From: from, To: n, Why: reason, Told: told}}))
	p.because("Rescaled", reason, "")
}

// scaled drafts the target with other replicas.
func (p *pass) scaled(n int32) reconcilers.Draft {
	t := p.scale.Object
	body := reconcilers.Same(t)
	body.Generation++
	if u, ok := t.Typed().(*unstructured.Unstructured); ok {
		next := u.DeepCopy()
		if unstructured.SetNestedField(next.Object, int64(n), p.scale.Path()...) == nil {
			body.Object = reconcilers.Sized(t.Raw, p.scale.Path(), n)
		}
		return reconcilers.Change(t, body)
	}
	body.Object = reconcilers.Sized(t.Raw, p.scale.Path(), n)
	return reconcilers.Change(t, body)
}

func (p *pass) able(reason, message string) {
	p.condition(autoscalingv2.AbleToScale, corev1.ConditionTrue, reason, message)
}

// condition sets a condition; its time is that of its last other status.
func (p *pass) condition(t autoscalingv2.HorizontalPodAutoscalerConditionType, s corev1.ConditionStatus, reason, message string) {
	next := autoscalingv2.HorizontalPodAutoscalerCondition{Type: t, Status: s, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(p.now.UTC().Truncate(time.Second))}
	for i, c := range p.status.Conditions {
		if c.Type != t {
			continue
		}
		if c.Status == s {
			next.LastTransitionTime = c.LastTransitionTime
		}
		p.status.Conditions[i] = next
		return
	}
	p.status.Conditions = append(p.status.Conditions, next)
}

func (p *pass) because(code events.Code, said, fix string) {
	p.d.Because = append(p.d.Because, events.Reason{Code: code, Said: said, Fix: fix})
}

// tell writes the status down, if it is another one.
func (p *pass) tell() {
	generation := p.o.Generation
	p.status.ObservedGeneration = &generation
	was, is := events.MustBody(p.was), events.MustBody(p.status)
	if !bytes.Equal(was, is) {
		p.d.Emit(reconcilers.WriteStatus(p.o, events.StatusWritten{Status: is, Over: p.o.Over}))
	}
}

// currentMetrics are the figures as a status tells them; Kubernetes leaves those that failed empty.
func currentMetrics(specs []autoscalingv2.MetricSpec, all []events.ScalerMetric) []autoscalingv2.MetricStatus {
	out := make([]autoscalingv2.MetricStatus, len(specs))
	for i, m := range all {
		if m.Reason != "" {
			continue
		}
		switch s := &specs[i]; s.Type {
		case autoscalingv2.ResourceMetricSourceType:
			out[i] = autoscalingv2.MetricStatus{Type: s.Type, Resource: &autoscalingv2.ResourceMetricStatus{Name: s.Resource.Name, Current: valueOf(s.Resource.Name, m)}}
		case autoscalingv2.ContainerResourceMetricSourceType:
			out[i] = autoscalingv2.MetricStatus{Type: s.Type, ContainerResource: &autoscalingv2.ContainerResourceMetricStatus{Name: s.ContainerResource.Name,
				Container: s.ContainerResource.Container, Current: valueOf(s.ContainerResource.Name, m)}}
		}
	}
	return out
}

func valueOf(name corev1.ResourceName, m events.ScalerMetric) autoscalingv2.MetricValueStatus {
	format := resource.DecimalSI
	if name == corev1.ResourceMemory {
		format = resource.BinarySI
	}
	return autoscalingv2.MetricValueStatus{AverageValue: resource.NewMilliQuantity(m.Average, format), AverageUtilization: m.Utilization}
}

func firstFailed(all []events.ScalerMetric) events.ScalerMetric {
	for _, m := range all {
		if m.Reason != "" {
			return m
		}
	}
	return events.ScalerMetric{}
}

func anyFailed(all []events.ScalerMetric) bool { return firstFailed(all).Reason != "" }

// fixOf is what helps against the failures that people meet.
func fixOf(m events.ScalerMetric) string {
	switch {
	case bytes.Contains([]byte(m.Said), []byte("missing request")):
		return "set resources.requests of every container: utilization is a part of what is requested"
	case m.Reason == "FailedGetPodsMetric", m.Reason == "FailedGetObjectMetric", m.Reason == "FailedGetExternalMetric":
		return "Stave measures CPU and memory: use a metric of type Resource or ContainerResource"
	}
	return ""
}

// metricName is a metric in Kubernetes' words.
func metricName(m *autoscalingv2.MetricSpec) string {
	switch m.Type {
	case autoscalingv2.ResourceMetricSourceType:
		if m.Resource.Target.AverageValue != nil {
			return string(m.Resource.Name) + " resource"
		}
		return string(m.Resource.Name) + " resource utilization (percentage of request)"
	case autoscalingv2.ContainerResourceMetricSourceType:
		if m.ContainerResource.Target.AverageValue != nil {
			return string(m.ContainerResource.Name) + " resource"
		}
		return string(m.ContainerResource.Name) + " container resource utilization (percentage of request)"
	}
	return string(m.Type)
}

// toldOf is what a metric says beside its target, in short.
func toldOf(m *autoscalingv2.MetricSpec, is events.ScalerMetric) string {
	name, target := corev1.ResourceName(""), autoscalingv2.MetricTarget{}
	switch m.Type {
	case autoscalingv2.ResourceMetricSourceType:
		name, target = m.Resource.Name, m.Resource.Target
	case autoscalingv2.ContainerResourceMetricSourceType:
		name, target = m.ContainerResource.Name, m.ContainerResource.Target
	}
	if is.Utilization != nil && target.AverageUtilization != nil {
		return fmt.Sprintf("%s %d %% of %d %%", name, *is.Utilization, *target.AverageUtilization)
	}
	if target.AverageValue != nil {
		return fmt.Sprintf("%s %s of %s", name, valueOf(name, is).AverageValue, target.AverageValue)
	}
	return string(name)
}
