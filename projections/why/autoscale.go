package why

import (
	"encoding/json"
	"fmt"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// fromAutoscaler is who tells of autoscalers in Kubernetes.
const fromAutoscaler = "horizontal-pod-autoscaler"

// scaler says how an autoscaler's target stands, or what keeps it from being scaled.
func (q Question) scaler(a *Answer, o *projections.Object) {
	h, ok := q.State.ObjectOf(o, q.Now).(*autoscalingv2.HorizontalPodAutoscaler)
	if !ok {
		return
	}
	ref := h.Spec.ScaleTargetRef
	target, least := strings.ToLower(ref.Kind)+"/"+ref.Name, int32(1)
	if h.Spec.MinReplicas != nil {
		least = *h.Spec.MinReplicas
	}
	a.Verdict = fmt.Sprintf("gives %s from %d to %d replicas: it has %d, and shall have %d", target, least, h.Spec.MaxReplicas, h.Status.CurrentReplicas, h.Status.DesiredReplicas)
	for _, c := range h.Status.Conditions {
		switch {
		case c.Type == autoscalingv2.ScalingLimited && c.Status == corev1.ConditionTrue:
			a.Details = append(a.Details, c.Message)
		case c.Type != autoscalingv2.ScalingLimited && c.Status == corev1.ConditionFalse:
			a.Verdict = fmt.Sprintf("does not scale %s: %s", target, c.Message)
			a.WaitsFor, a.Fix = q.scalable(o, c, target)
		}
	}
	if o.Scaler == nil && a.WaitsFor == "" {
		a.WaitsFor = "the first figures of its pods"
	}
}

// scalable is what an autoscaler waits for that cannot scale, and what would help.
func (q Question) scalable(o *projections.Object, c autoscalingv2.HorizontalPodAutoscalerCondition, target string) (waits, fix string) {
	switch {
	case c.Reason == "FailedGetScale":
		return target, fmt.Sprintf("make %s, or name another target: %s", target, q.command("edit", o.Key))
	case c.Reason == "ScalingDisabled":
		return "somebody to start " + target, fmt.Sprintf("stave scale %s%s --replicas=1", target, q.dashN())
	case strings.Contains(c.Message, "missing request for"):
		return "requests of its containers", fmt.Sprintf("stave set resources %s%s --requests=cpu=100m, or what it needs", target, q.dashN())
	}
	return "figures of its pods", "stave top pods" + q.dashN()
}

// scaled is what was reported of an autoscaler in a few words.
func (q Question) scaled(k events.Key, e events.Envelope) string {
	r, err := events.Decode[events.ScalerReported](e)
	switch {
	case err == nil && r.Scaled != nil && r.Scaled.Told != "":
		return fmt.Sprintf("%s scaled from %d to %d: %s", q.spelled(k), r.Scaled.From, r.Scaled.To, r.Scaled.Told)
	case err == nil && r.Scaled != nil:
		return fmt.Sprintf("%s scaled from %d to %d: %s", q.spelled(k), r.Scaled.From, r.Scaled.To, r.Scaled.Why)
	case err == nil && r.Measured != nil && r.Measured.Replicas >= 0:
		return fmt.Sprintf("measured for %s: %s, which asks for %d", q.spelled(k), measures(r.Measured), r.Measured.Replicas)
	case err == nil && r.Measured != nil:
		return fmt.Sprintf("measured for %s: %s", q.spelled(k), measures(r.Measured))
	}
	return "reported of " + q.spelled(k)
}

// scaledTo is how many replicas an autoscaler gave its target by a change.
func scaledTo(e events.Envelope) (int64, bool) {
	if e.Actor != events.Controller("autoscale") {
		return 0, false
	}
	var to struct {
		Spec struct {
			Replicas *int64 `json:"replicas"`
		} `json:"spec"`
	}
	b, err := events.Decode[events.Changed](e)
	if err != nil || json.Unmarshal(b.Object, &to) != nil || to.Spec.Replicas == nil {
		return 0, false
	}
	return *to.Spec.Replicas, true
}

// measures are the figures of all metrics.
func measures(m *events.ScalerMeasured) string {
	text := ""
	for _, x := range m.Metrics {
		if text != "" {
			text += ", "
		}
		switch {
		case x.Reason != "":
			text += x.Said
		case x.Utilization != nil:
			text += fmt.Sprintf("%d %% of what is requested", *x.Utilization)
		default:
			const thousand = 1000
			text += fmt.Sprintf("%g each", float64(x.Average)/thousand)
		}
	}
	return text
}

// autoscaled tells how an autoscaler scaled, and of figures that could not be had.
func (t *telling) autoscaled(e events.Envelope) {
	r, err := events.Decode[events.ScalerReported](e)
	if err != nil {
		return
	}
	if c := r.Scaled; c != nil {
		t.add(e.Time, normal, "SuccessfulRescale", fromAutoscaler, "New size: %d; reason: %s", c.To, c.Why)
	}
	if r.Measured == nil {
		return
	}
	failed, first := 0, ""
	for _, m := range r.Measured.Metrics {
		if m.Reason == "" {
			continue
		}
		if failed++; first == "" {
			first = m.Said
		}
		t.add(e.Time, warning, m.Reason, fromAutoscaler, "%s", m.Said)
	}
	if failed > 0 && r.Measured.Replicas < 0 {
		t.add(e.Time, warning, "FailedComputeMetricsReplicas", fromAutoscaler, "invalid metrics (%d invalid out of %d), first error is: %s", failed, len(r.Measured.Metrics), first)
	}
}
