package projections_test

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// Pods share what they have of their template, and what is their own changes it for nobody.
func TestPodsShareTheirTemplate(t *testing.T) {
	l := foldtest.New()
	body := []byte(`{"metadata":{"labels":{"app":"web"},"annotations":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"one"}]}}`)
	l.Add(events.Envelope{Subject: events.TemplateSubject(events.HashOf(body)), Type: events.TemplateStored, Body: body})
	pod := func(name, object string) *corev1.Pod {
		k := foldtest.Key(events.Pods, name)
		if _, ok := l.State.Get(k); !ok {
			l.Spec(k, events.VerbCreated, foldtest.Person, 0, events.Created{UID: foldtest.UID(k, 1), Template: events.HashOf(body), Object: []byte(object)})
		}
		o, _ := l.State.Get(k)
		return projections.As[*corev1.Pod](o)
	}
	plain := pod("plain", `{"metadata":{"generateName":"web-"}}`)
	if plain.Name != "plain" || plain.GenerateName != "web-" || plain.Spec.Containers[0].Image != "one" || plain.Labels["app"] != "web" || plain.Annotations["a"] != "b" {
		t.Errorf("not what the template says: %+v", plain)
	}
	if again := pod("plain", ""); &again.Spec.Containers[0] != &plain.Spec.Containers[0] {
		t.Error("two looks have two specs")
	}
	other := pod("other", `{"metadata":{"labels":{"x":"y"},"annotations":{"a":"c"}},"spec":{"nodeName":"n1","containers":[{"name":"c","image":"two"}]}}`)
	if want := map[string]string{"app": "web", "x": "y"}; !maps.Equal(other.Labels, want) || other.Annotations["a"] != "c" || other.Spec.Containers[0].Image != "two" {
		t.Errorf("not what it has of its own: %+v", other)
	}
	if now := pod("plain", ""); now.Labels["x"] != "" || now.Annotations["a"] != "b" || now.Spec.Containers[0].Image != "one" || now.Spec.NodeName != "" {
		t.Errorf("another pod's own shows in it: %+v", now)
	}
}
