package autoscale

import (
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// Two autoscalers whose targets select the same pods are told so, and neither scales; when one of them goes, the other is asked again.
func TestTargetsThatShareTheirPods(t *testing.T) {
	w := newWorld(2, `"maxReplicas":9,`+cpuHalf)
	w.load(100)
	w.Apply(stage.In(events.Deployments, "all"), `{"metadata":{"name":"all","namespace":"default"},"spec":{"replicas":2,"selector":{"matchExpressions":[{"key":"app","operator":"Exists"}]},"template":{"metadata":{"labels":{"app":"web"}}}}}`)
	w.Apply(stage.In(events.Deployments, "apart"), `{"metadata":{"name":"apart","namespace":"default"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"apart"}},"template":{"metadata":{"labels":{"app":"apart"}}}}}`)
	of := func(name string) string {
		return `{"metadata":{"name":"` + name + `","namespace":"default"},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"` + name + `"},"maxReplicas":9,` + cpuHalf + `}}`
	}
	w.Apply(stage.In(events.Autoscalers, "apart"), of("apart"))
	ambiguous := func() bool {
		return strings.Contains(string(events.MustBody(w.status().Conditions)), `"reason":"AmbiguousSelector","message":"pods by selector app=web are controlled by more than one HPA (e.g. [default/web default/all])"`)
	}
	all := stage.In(events.Autoscalers, "all")
	second := w.Apply(all, of("all"))
	woken := (Reconciler{}).Keys(w.State, projections.Change{Key: all, After: second})
	if len(woken) != 3 {
		t.Errorf("a new one wakes %v", woken)
	}
	w.tick(t)
	if !ambiguous() || w.replicas() != 2 {
		t.Fatalf("%d, %+v", w.replicas(), w.status())
	}
	w.Do(reconcilers.Remove(w.Get(all)))
	if woken = (Reconciler{}).Keys(w.State, projections.Change{Key: all, Before: second}); len(woken) != 2 {
		t.Errorf("one that is gone wakes %v", woken)
	}
	w.tick(t)
	if ambiguous() || w.replicas() != 4 {
		t.Errorf("alone: %d, %+v", w.replicas(), w.status())
	}
}
