package admit

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

const colours = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"colours","namespace":"default"},"data":{"a":"blue","b":"red"}}`

// What a client says in kubectl's annotation that it applied is what the next
// apply of ours merges with: one truth for both.
func TestAppliedElsewhereIsKnownHere(t *testing.T) {
	w := newTown(t)
	written := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "colours", "namespace": "default",
		"annotations": map[string]any{corev1.LastAppliedConfigAnnotation: colours + "\n"}}, "data": map[string]any{"a": "blue", "b": "red"}}
	r := w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Create}, Item: wire.Item{Object: events.MustBody(written)}})
	if r.Error != nil {
		t.Fatal(r.Error)
	}
	o, _ := w.v.Get(r.Key)
	if string(o.Applied) != colours || strings.Contains(string(o.Raw), "last-applied") {
		t.Fatalf("applied %s, stored %s", o.Applied, o.Raw)
	}
	w.must(wire.Apply, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: colours}\ndata: {a: blue}\n", Configured)
	if o, _ = w.v.Get(r.Key); strings.Contains(string(o.Raw), "red") {
		t.Errorf("b was applied elsewhere and is not any more, and stayed: %s", o.Raw)
	}
}

// A replacement that changes nothing but who manages what is one, and a door
// that keeps no managers leaves them alone.
func TestManagersAreKept(t *testing.T) {
	w := newTown(t)
	managed := json.RawMessage(`[{"manager":"kubectl"}]`)
	change := func(op wire.Operation, object string, m json.RawMessage) wire.Result {
		r := w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: op}, Item: wire.Item{Object: json.RawMessage(object)}, Managed: m})
		if r.Error != nil {
			t.Fatal(r.Error)
		}
		return r
	}
	k := change(wire.Create, colours, managed).Key
	before, _ := w.v.Get(k)
	change(wire.Replace, colours, managed)
	change(wire.Replace, strings.Replace(colours, "red", "green", 1), nil)
	if o, _ := w.v.Get(k); string(o.Managed) != string(managed) {
		t.Errorf("managed became %s", o.Managed)
	}
	change(wire.Replace, strings.Replace(colours, "red", "green", 1), json.RawMessage(`[{"manager":"helm"}]`))
	o, _ := w.v.Get(k)
	if !strings.Contains(string(o.Managed), "helm") || o.Changed.Seq != before.Changed.Seq+2 {
		t.Errorf("managed %s, changed at %d and then at %d", o.Managed, before.Changed.Seq, o.Changed.Seq)
	}
}

// Clients read a pod, edit it and send it back: the node in it is not theirs.
func TestAssignedPodIsSentBack(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Create, "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: busybox}]}\n", Created)
	w.event(events.Envelope{Subject: events.AssignSubject("n1"), Type: events.PodsAssigned,
		Body: events.MustBody(events.Assigned{Pods: []events.Ref{{Key: r.Key, UID: r.UID}}})})
	live, _ := w.v.Object(r.Key, w.v.Time)
	if live.(*corev1.Pod).Spec.NodeName != "n1" {
		t.Fatalf("not assigned: %+v", live)
	}
	live.SetLabels(map[string]string{"app": "a"})
	if out := w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Replace}, Item: wire.Item{Object: events.MustBody(live)}}); out.Error != nil {
		t.Fatal(out.Error)
	}
	o, _ := w.v.Get(r.Key)
	if strings.Contains(string(o.Raw), "n1") || o.Typed().GetLabels()["app"] != "a" {
		t.Errorf("stored %s", o.Raw)
	}
	live.(*corev1.Pod).Spec.NodeName, live.(*corev1.Pod).ResourceVersion = "n2", ""
	if out := w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Replace}, Item: wire.Item{Object: events.MustBody(live)}}); out.Error == nil {
		t.Error("an assigned pod was moved by a client")
	}
}
