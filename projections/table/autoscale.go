package table

import (
	"fmt"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/resource"
)

// unknown is what nobody has measured yet.
const unknown = "<unknown>"

func autoscalerRow(o *autoscalingv2.HorizontalPodAutoscaler, age string, _ time.Time) []string {
	least := unset
	if n := o.Spec.MinReplicas; n != nil {
		least = fmt.Sprint(*n)
	}
	return []string{o.Name, o.Spec.ScaleTargetRef.Kind + "/" + o.Spec.ScaleTargetRef.Name, autoscalerTargets(o), least, fmt.Sprint(o.Spec.MaxReplicas), fmt.Sprint(o.Status.CurrentReplicas), age}
}

// autoscalerTargets are the first two metrics, as kubectl tells them.
func autoscalerTargets(o *autoscalingv2.HorizontalPodAutoscaler) string {
	const shown = 2
	var out []string
	for i := range o.Spec.Metrics {
		m := metricOf(o, i)
		text := m.current() + "/" + m.wanted()
		switch {
		case m.resource != "":
			text = m.resource + ": " + text
		case m.kind != autoscalingv2.PodsMetricSourceType && m.target.AverageValue != nil:
			text += " (avg)"
		}
		out = append(out, text)
	}
	switch {
	case len(out) == 0:
		return none
	case len(out) > shown:
		return fmt.Sprintf("%s + %d more...", strings.Join(out[:shown], ", "), len(out)-shown)
	}
	return strings.Join(out, ", ")
}

// told is one metric and what it is now.
type told struct {
	kind     autoscalingv2.MetricSourceType
	name     string // of the metric, as describe tells it
	resource string
	target   autoscalingv2.MetricTarget
	now      *autoscalingv2.MetricValueStatus // nil: nobody knows
}

func metricOf(o *autoscalingv2.HorizontalPodAutoscaler, i int) told {
	m := &o.Spec.Metrics[i]
	var st autoscalingv2.MetricStatus
	if i < len(o.Status.CurrentMetrics) {
		st = o.Status.CurrentMetrics[i]
	}
	out := told{kind: m.Type}
	switch {
	case m.Resource != nil:
		out.resource, out.target, out.name = string(m.Resource.Name), m.Resource.Target, fmt.Sprintf("resource %s on pods", m.Resource.Name)
		if st.Resource != nil {
			out.now = &st.Resource.Current
		}
	case m.ContainerResource != nil:
		x := m.ContainerResource
		out.resource, out.target, out.name = string(x.Name), x.Target, fmt.Sprintf("resource %s of container %q on pods", x.Name, x.Container)
		if st.ContainerResource != nil {
			out.now = &st.ContainerResource.Current
		}
	case m.Pods != nil:
		out.target, out.name = m.Pods.Target, fmt.Sprintf("%q on pods", m.Pods.Metric.Name)
		if st.Pods != nil {
			out.now = &st.Pods.Current
		}
	case m.Object != nil:
		d := m.Object.DescribedObject
		out.target, out.name = m.Object.Target, fmt.Sprintf("%q on %s/%s %s", m.Object.Metric.Name, d.Kind, d.Name, valueWord(m.Object.Target))
		if st.Object != nil {
			out.now = &st.Object.Current
		}
	case m.External != nil:
		out.target, out.name = m.External.Target, fmt.Sprintf("%q %s", m.External.Metric.Name, valueWord(m.External.Target))
		if st.External != nil {
			out.now = &st.External.Current
		}
	}
	return out
}

func valueWord(t autoscalingv2.MetricTarget) string {
	if t.AverageValue != nil {
		return "(target average value)"
	}
	return "(target value)"
}

func (m told) wanted() string {
	switch {
	case m.target.AverageValue != nil:
		return m.target.AverageValue.String()
	case m.target.Value != nil:
		return m.target.Value.String()
	case m.target.AverageUtilization != nil:
		return fmt.Sprintf("%d%%", *m.target.AverageUtilization)
	}
	return "<auto>"
}

func (m told) current() string {
	var q *resource.Quantity
	switch {
	case m.now == nil:
		return unknown
	case m.target.AverageValue != nil:
		q = m.now.AverageValue
	case m.target.Value != nil:
		q = m.now.Value
	case m.now.AverageUtilization != nil:
		return fmt.Sprintf("%d%%", *m.now.AverageUtilization)
	}
	if q == nil {
		return unknown
	}
	return q.String()
}

func (p page) autoscaler(o *autoscalingv2.HorizontalPodAutoscaler) {
	p.meta(o)
	p.line(0, "CreationTimestamp:\t%s", o.CreationTimestamp.UTC().Format(time.RFC1123Z))
	p.line(0, "Reference:\t%s/%s", o.Spec.ScaleTargetRef.Kind, o.Spec.ScaleTargetRef.Name)
	p.line(0, "Metrics:\t( current / target )")
	for i := range o.Spec.Metrics {
		m := metricOf(o, i)
		now := m.current()
		if m.resource != "" && m.target.AverageValue == nil {
			if m.now != nil && m.now.AverageUtilization != nil && m.now.AverageValue != nil {
				now += " (" + m.now.AverageValue.String() + ")"
			}
			p.line(1, "%s  (as a percentage of request):\t%s / %s", m.name, now, m.wanted())
			continue
		}
		p.line(1, "%s:\t%s / %s", m.name, now, m.wanted())
	}
	least := unset
	if n := o.Spec.MinReplicas; n != nil {
		least = fmt.Sprint(*n)
	}
	p.line(0, "Min replicas:\t%s", least)
	p.line(0, "Max replicas:\t%d", o.Spec.MaxReplicas)
	if b := o.Spec.Behavior; b != nil {
		p.line(0, "Behavior:")
		p.scaling("Scale Up", b.ScaleUp)
		p.scaling("Scale Down", b.ScaleDown)
	}
	p.line(0, "%s pods:\t%d current / %d desired", o.Spec.ScaleTargetRef.Kind, o.Status.CurrentReplicas, o.Status.DesiredReplicas)
	if len(o.Status.Conditions) == 0 {
		return
	}
	p.line(0, "Conditions:")
	p.line(1, "Type\tStatus\tReason\tMessage")
	p.line(1, "----\t------\t------\t-------")
	for _, c := range o.Status.Conditions {
		p.line(1, "%s\t%s\t%s\t%s", c.Type, c.Status, c.Reason, c.Message)
	}
}

func (p page) scaling(direction string, r *autoscalingv2.HPAScalingRules) {
	if r == nil {
		return
	}
	p.line(1, "%s:", direction)
	if w := r.StabilizationWindowSeconds; w != nil {
		p.line(2, "Stabilization Window: %d seconds", *w)
	}
	if len(r.Policies) == 0 {
		return
	}
	chosen := autoscalingv2.MaxChangePolicySelect
	if r.SelectPolicy != nil {
		chosen = *r.SelectPolicy
	}
	p.line(2, "Select Policy: %s", chosen)
	p.line(2, "Policies:")
	for _, x := range r.Policies {
		p.line(3, "- Type: %s\tValue: %d\tPeriod: %d seconds", x.Type, x.Value, x.PeriodSeconds)
	}
}
