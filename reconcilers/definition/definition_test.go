package definition

import (
	"fmt"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

const crd = `{"metadata":{"name":"%[1]s.x.org"},"spec":{"group":"x.org","scope":"Namespaced","names":{"plural":"%[1]s","singular":"%[1]s1","kind":"K%[1]s"},
"versions":[{"name":"v1","served":true,"storage":true}]}}`

func defined(w *stage.World, plural string, objects int, finalizers string) events.Key {
	k := events.DefinitionKey(events.Resource(plural + ".x.org"))
	w.Apply(k, fmt.Sprintf(crd, plural))
	for i := range objects {
		name := fmt.Sprintf("o%d", i)
		w.Apply(stage.In(events.Resource(k.Name), name), `{"apiVersion":"x.org/v1","kind":"K","metadata":{"name":"`+name+`"`+finalizers+`}}`)
	}
	return k
}

func TestObjectsGoBeforeTheirDefinition(t *testing.T) {
	w := stage.New()
	k, other := defined(w, "as", 250, ""), defined(w, "bs", 3, "")
	if d := (Reconciler{}).Decide(w.State, k, w.Now); len(d.Events) != 0 {
		t.Fatalf("nobody wants it gone, and %v", d.Events)
	}
	w.Delete(k)
	first := Reconciler{}.Decide(w.State, k, w.Now)
	if len(first.Events) != reconcilers.MaxSteps || !first.More {
		t.Fatalf("%d events, more: %v", len(first.Events), first.More)
	}
	if _, err := w.Run(Reconciler{}, k); err != nil {
		t.Fatal(err)
	}
	if w.Get(k) != nil || w.Get(other) == nil || w.State.Void != 0 || w.State.Unknown != 0 {
		t.Fatalf("definition %v, the other %v, %d void, %d unknown", w.Get(k), w.Get(other), w.State.Void, w.State.Unknown)
	}
	left := 0
	for o := range w.State.All() {
		if o.Key.Resource != events.Definitions {
			left++
		}
	}
	if left != 3 {
		t.Errorf("%d objects are left, want the other definition's 3", left)
	}
}

func TestAFinalizerHoldsTheDefinition(t *testing.T) {
	w := stage.New()
	k := defined(w, "as", 1, `,"finalizers":["x.org/f"]`)
	w.Delete(k)
	d, err := w.Run(Reconciler{}, k)
	if err != nil || len(d.Because) != 1 || d.Because[0].Code != "InstanceLeft" || w.Get(k) == nil {
		t.Fatalf("because %v, %v; definition %v", d.Because, err, w.Get(k))
	}
	o := stage.In("as.x.org", "o0")
	if w.Get(o).Deletion == nil {
		t.Fatal("nobody asked the object to go")
	}
	keys := Reconciler{}.Keys(w.State, projections.Change{Key: o, Before: w.Get(o)})
	if len(keys) != 1 || keys[0] != k {
		t.Errorf("its end concerns %v", keys)
	}
	w.Do(reconcilers.Remove(w.Get(o)))
	if _, err := w.Run(Reconciler{}, k); err != nil || w.Get(k) != nil {
		t.Errorf("definition %v, %v", w.Get(k), err)
	}
}
