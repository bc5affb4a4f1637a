package why

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
)

// What an autoscaler did, and what it saw, in a few words.
func TestWordsOfAutoscalers(t *testing.T) {
	k := events.Key{Resource: events.Autoscalers, Namespace: "default", Name: "web"}
	percent := int32(180)
	status := func(b events.ScalerReported) events.Envelope {
		return events.Envelope{Subject: events.StatusSubject(k), Type: events.TypeOf(k.Resource, events.VerbStatus), Body: events.MustBody(b)}
	}
	web := events.Key{Resource: events.Deployments, Namespace: "default", Name: "web"}
	scaled := events.Envelope{Subject: events.SpecSubject(web), Type: events.TypeOf(web.Resource, events.VerbChanged), Actor: events.Controller("autoscale"), Body: events.MustBody(events.Changed{Object: []byte(`{"spec":{"replicas":5}}`)})}
	for _, c := range []struct {
		e    events.Envelope
		want string
	}{
		{scaled, "scaled deployment/web to 5"},
		{status(events.ScalerReported{Scaled: &events.ScalerScaled{From: 2, To: 5, Why: "w", Told: "cpu 180 % of 50 %"}}), "web scaled from 2 to 5: cpu 180 % of 50 %"},
		{status(events.ScalerReported{Scaled: &events.ScalerScaled{From: 9, To: 5, Why: "too many"}}), "web scaled from 9 to 5: too many"},
		{status(events.ScalerReported{Measured: &events.ScalerMeasured{Replicas: 5, Metrics: []events.ScalerMetric{{Utilization: &percent}, {Average: 1500}}}}), "web: 180 % of what is requested, 1.5 each, which asks for 5"},
		{status(events.ScalerReported{Measured: &events.ScalerMeasured{Replicas: -1, Metrics: []events.ScalerMetric{{Reason: "FailedGetPodsMetric", Said: "nobody knows"}}}}), "web: nobody knows"},
	} {
		if got := (Question{}).what(c.e); !strings.HasSuffix(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
