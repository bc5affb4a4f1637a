package why

import (
	"encoding/json"
	"fmt"

	"github.com/stave-run/stave/events"
)

// fromAutoscaler is who tells of autoscalers in Kubernetes.
const fromAutoscaler = "horizontal-pod-autoscaler"

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
