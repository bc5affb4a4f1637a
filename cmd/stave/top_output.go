package main

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// metricsAPI is the group and version whose documents top prints for programs: what a metrics server answers.
const metricsAPI = "metrics.k8s.io/v1beta1"

// measuredObject is an item of NodeMetricsList or PodMetricsList, by their field names.
type measuredObject struct {
	Metadata   metav1.ObjectMeta   `json:"metadata"`
	Timestamp  time.Time           `json:"timestamp"`
	Window     string              `json:"window"`
	Usage      *usage              `json:"usage,omitempty"`
	Containers []measuredContainer `json:"containers,omitempty"`
}

type measuredContainer struct {
	Name  string `json:"name"`
	Usage usage  `json:"usage"`
}

type usage struct {
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
}

func usageOf(u wire.Use) usage { return usage{cpuCell(u), memoryCell(u)} }

func metricsList(kind string, items []measuredObject) json.RawMessage {
	return events.MustBody(map[string]any{"apiVersion": metricsAPI, "kind": kind, "items": items})
}

// nodeMetrics are the nodes that answered, in the order of their names as given.
func nodeMetrics(names []string, got map[string]wire.Metrics) json.RawMessage {
	items := []measuredObject{}
	for _, n := range names {
		if m, ok := got[n]; ok {
			u := usageOf(m.Use)
			items = append(items, measuredObject{Metadata: metav1.ObjectMeta{Name: n}, Timestamp: m.At, Window: m.Use.Window.String(), Usage: &u})
		}
	}
	return metricsList("NodeMetricsList", items)
}

// podMetrics are the pods that were measured, in their order.
func podMetrics(pods []*corev1.Pod, got map[string]wire.Metrics) json.RawMessage {
	has, items := byPod(got), []measuredObject{}
	for _, p := range pods {
		m, ok := has[events.UID(p.UID)]
		if !ok {
			continue
		}
		o := measuredObject{Metadata: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, Labels: p.Labels}, Timestamp: got[p.Spec.NodeName].At}
		for _, c := range m.Containers {
			o.Containers, o.Window = append(o.Containers, measuredContainer{c.Name, usageOf(c.Use)}), c.Use.Window.String()
		}
		items = append(items, o)
	}
	return metricsList("PodMetricsList", items)
}
