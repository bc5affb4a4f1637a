package admit

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// crew are pods of a ReplicaSet on a node, of which some are ready.
func crew(t *testing.T, ready ...bool) (*town, []events.Key) {
	w := newTown(t)
	w.join("n1")
	set := w.must(wire.Create, fmt.Sprintf(`apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web}
spec:
  replicas: %d
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: a, image: "nginx:1"}]}
`, len(ready)), Created)
	var out []events.Key
	for i, yes := range ready {
		r := w.must(wire.Create, fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: p%d, labels: {app: web}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: %q, controller: true, blockOwnerDeletion: true}]}\nspec:\n  containers: [{name: a, image: nginx}]\n", i, set.UID), Created)
		w.assign(r, "n1")
		w.ready(r, yes)
		out = append(out, r.Key)
	}
	return w, out
}

// ready lets a pod's node say that it runs, and whether it is ready.
func (w *town) ready(r wire.Result, yes bool) {
	p, _ := w.v.PodOf(r.Key)
	facts := []events.Fact{{Kind: events.FactStarted, Container: "a", Run: 1}}
	if yes {
		facts = append(facts, events.Fact{Kind: events.FactReady, Container: "a", Run: 1})
	}
	w.event(events.Envelope{Subject: events.SeenSubject("n1"), Type: events.PodsSeen, Body: events.MustBody(events.Seen{Pods: []events.PodSeen{{
		Namespace: r.Key.Namespace, Name: r.Key.Name, UID: r.UID, Assigned: p.Assigned.Seq, Facts: facts}}})})
}

func (w *town) evict(k events.Key) wire.Result {
	return w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Evict}, Item: wire.Item{Key: k}})
}

func TestBudgetsHoldEvictionsUp(t *testing.T) {
	for _, c := range []struct {
		name, spec string
		ready      []bool
		evicted    int // how many of them, one after the other
		cause      string
	}{
		{"at least so many", "minAvailable: 2", []bool{true, true, true}, 1, "The disruption budget b needs 2 healthy pods and has 2 currently"},
		{"at least a part, rounded up", "minAvailable: 50%", []bool{true, true, true}, 1, "The disruption budget b needs 2 healthy pods and has 2 currently"},
		{"at most so many", "maxUnavailable: 2", []bool{true, true, true}, 2, "The disruption budget b needs 1 healthy pods and has 1 currently"},
		{"what does not serve counts as away", "maxUnavailable: 1", []bool{true, true, false}, 0, "The disruption budget b needs 2 healthy pods and has 2 currently"},
		{"none of few", "minAvailable: 3", []bool{true, true}, 0, "The disruption budget b needs 3 healthy pods and has 2 currently"},
		{"no budget of these", "minAvailable: 3, selector: {matchLabels: {app: other}}", []bool{true, true}, 2, ""},
		{"one that selects nothing", "minAvailable: 3", []bool{}, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, pods := crew(t, c.ready...)
			spec := c.spec
			if !strings.Contains(spec, "selector") {
				spec += ", selector: {matchLabels: {app: web}}"
			}
			w.must(wire.Create, "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {"+spec+"}\n", Created)
			for i, k := range pods {
				r := w.evict(k)
				if i < c.evicted {
					if r.Error != nil {
						t.Fatalf("pod %d: %v", i, r.Error)
					}
					continue
				}
				if e := r.Error; e == nil || e.Reason != metav1.StatusReasonTooManyRequests || e.Code != 429 || e.Message != "Cannot evict pod as it would violate the pod's disruption budget." ||
					e.Details.Causes[0].Type != "DisruptionBudget" || e.Details.Causes[0].Message != c.cause {
					t.Fatalf("pod %d: %+v", i, e)
				}
				break
			}
		})
	}
}

func TestWhoIsNotServingMayGo(t *testing.T) {
	w, pods := crew(t, true, true, false)
	budget := func(policy string) string {
		return "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {minAvailable: 3, selector: {matchLabels: {app: web}}" + policy + "}\n"
	}
	w.must(wire.Create, budget(""), Created)
	if r := w.evict(pods[2]); r.Error == nil {
		t.Error("there are too few without it already")
	}
	w.must(wire.Apply, budget(", unhealthyPodEvictionPolicy: AlwaysAllow"), Configured)
	if r := w.evict(pods[2]); r.Error != nil {
		t.Error(r.Error)
	}
	if r := w.evict(pods[2]); r.Error != nil {
		t.Errorf("who goes already goes: %v", r.Error)
	}
	if r := w.evict(pods[0]); r.Error == nil {
		t.Error("one that serves is not let go")
	}
	w.must(wire.Create, strings.Replace(budget(""), "name: b", "name: c", 1), Created)
	w.refused(w.evict(pods[0]), metav1.StatusReasonInternalError, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
	if r := w.delete(pods[0], nil); r.Error != nil {
		t.Errorf("a deletion asks no budget: %v", r.Error)
	}
}
