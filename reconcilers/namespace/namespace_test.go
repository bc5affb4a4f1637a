package namespace

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

var (
	shop    = events.Key{Resource: events.Namespaces, Name: "shop"}
	holding = []events.Resource{events.Deployments, events.ReplicaSets, events.Pods, events.ConfigMaps, events.Services}
)

func fill(w *stage.World, namespace string, each int) {
	for _, r := range holding {
		for i := range each {
			name := fmt.Sprintf("x%d", i)
			w.Apply(events.Key{Resource: r, Namespace: namespace, Name: name}, `{"metadata":{"name":"`+name+`"},"spec":{"containers":[{"name":"c"}],"terminationGracePeriodSeconds":9}}`)
		}
	}
}

func count(w *stage.World, namespace string) (all, doomed int) {
	for o := range w.State.All() {
		if o.Key.Namespace == namespace {
			all++
			if o.Deletion != nil {
				doomed++
			}
		}
	}
	return all, doomed
}

func TestNothingHappensToALivingNamespace(t *testing.T) {
	w := stage.New()
	w.Apply(shop, `{"metadata":{"name":"shop"}}`)
	fill(w, "shop", 2)
	for _, k := range []events.Key{shop, {Resource: events.Namespaces, Name: "nobody"}} {
		if d := (Reconciler{}).Decide(w.State, k, w.Now); len(d.Events) != 0 {
			t.Errorf("%s: %v", k, d.Events)
		}
	}
}

// Pods go first: what they may need to end well waits for the last of them.
func TestPodsGoFirstAndOthersAreLeftAlone(t *testing.T) {
	w := stage.New()
	w.Apply(shop, `{"metadata":{"name":"shop"}}`)
	fill(w, "shop", 1)
	fill(w, "shopper", 1) // a name that begins the same
	w.Delete(shop)
	d := Reconciler{}.Decide(w.State, shop, w.Now)
	var types []events.Type
	for _, e := range d.Events {
		types = append(types, e.Type)
	}
	want := []events.Type{"deployments.apps.deletion-requested", "replicasets.apps.deletion-requested", "pods.deletion-requested"}
	if !slices.Equal(types, want) {
		t.Errorf("drafted %v", types)
	}
	for _, got := range types {
		if !slices.Contains(Reconciler{}.Writes(), got) {
			t.Errorf("%s is not declared", got)
		}
	}
	w.Do(d.Events...)
	if all, doomed := count(w, "shop"); all != 5 || doomed != 3 {
		t.Errorf("%d left, %d of them asked to go", all, doomed)
	}
	pod := w.Get(events.Key{Resource: events.Pods, Namespace: "shop", Name: "x0"})
	if pod.Deletion.Grace != 9 {
		t.Errorf("grace %d", pod.Deletion.Grace)
	}
	for _, r := range []events.Resource{events.Deployments, events.ReplicaSets} {
		w.Do(reconcilers.Remove(w.Get(events.Key{Resource: r, Namespace: "shop", Name: "x0"})))
	}
	if d := (Reconciler{}).Decide(w.State, shop, w.Now); len(d.Events) > 0 || len(d.Because) != 1 || d.Because[0].About != pod.Key {
		t.Errorf("while a pod is there: %+v", d)
	}
	w.Do(reconcilers.Remove(pod))
	w.Do(Reconciler{}.Decide(w.State, shop, w.Now).Events...)
	if all, _ := count(w, "shop"); all != 0 {
		t.Errorf("%d are left without pods", all)
	}
	if all, doomed := count(w, "shopper"); all != 5 || doomed != 0 {
		t.Errorf("the neighbour has %d, %d doomed", all, doomed)
	}
}

func TestWhatHoldsItIsNamed(t *testing.T) {
	w := stage.New()
	w.Node("n1", "4", "8Gi")
	w.Apply(shop, `{"metadata":{"name":"shop"}}`)
	k := events.Key{Resource: events.Pods, Namespace: "shop", Name: "slow"}
	w.Assign(w.Apply(k, `{"metadata":{"name":"slow"},"spec":{"containers":[{"name":"c"}]}}`), "n1")
	w.Delete(shop)
	d, err := w.Run(Reconciler{}, shop)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Because) != 1 || d.Because[0].About != k || d.Because[0].Need != "node n1 to say that it stopped" {
		t.Errorf("because %v", d.Because)
	}
}

func TestKeysWakeOnlyATerminatingNamespace(t *testing.T) {
	w := stage.New()
	var asked []events.Key
	w.OnFold = func(_ events.Envelope, changes []projections.Change) {
		asked = nil
		for _, c := range changes {
			asked = append(asked, Reconciler{}.Keys(w.State, c)...)
		}
	}
	conf := events.Key{Resource: events.ConfigMaps, Namespace: "shop", Name: "c"}
	for _, step := range []struct {
		name string
		do   func()
		want bool
	}{
		{"made", func() { w.Apply(shop, `{}`) }, false},
		{"filled", func() { w.Apply(conf, `{}`) }, false},
		{"asked to go", func() { w.Delete(shop) }, true},
		{"something changes", func() { w.Apply(conf, `{"data":{"a":"b"}}`) }, false},
		{"something goes", func() { w.Do(reconcilers.Remove(w.Get(conf))) }, true},
		{"something comes", func() { w.Apply(conf, `{}`) }, true},
		{"elsewhere", func() { w.Apply(stage.In(events.ConfigMaps, "c"), `{}`) }, false},
	} {
		if step.do(); slices.Contains(asked, shop) != step.want {
			t.Errorf("%s: woke %v", step.name, asked)
		}
	}
}

// A namespace of any size is emptied in passes of the limit and removed last.
func TestEmptiesWhatever(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := stage.New()
		w.Apply(shop, `{"metadata":{"name":"shop"}}`)
		fill(w, "shop", rapid.IntRange(0, 60).Draw(t, "each"))
		w.Delete(shop)
		for range 20 {
			d := Reconciler{}.Decide(w.State, shop, w.Now)
			if len(d.Events) > reconcilers.MaxSteps {
				t.Fatalf("%d events", len(d.Events))
			}
			w.Do(d.Events...)
			for o := range w.State.All() { // the collector's part
				if o.Deletion != nil && o.Key != shop && rapid.Bool().Draw(t, "goes") {
					w.Do(reconcilers.Remove(o))
				}
			}
			if all, _ := count(w, "shop"); w.Get(shop) == nil && all > 0 {
				t.Fatalf("removed before %d others", all)
			}
		}
		for o := range w.State.All() {
			if o.Deletion != nil && o.Key != shop {
				w.Do(reconcilers.Remove(o))
			}
		}
		w.Do(Reconciler{}.Decide(w.State, shop, w.Now).Events...)
		if w.Get(shop) != nil {
			t.Fatal("still there")
		}
	})
}

func TestWhatHasFinalizersHoldsItUp(t *testing.T) {
	w := stage.New()
	w.Apply(shop, `{"metadata":{"name":"shop","finalizers":["x.io/own"]},"spec":{"finalizers":["kubernetes"]}}`)
	k := events.Key{Resource: events.ConfigMaps, Namespace: "shop", Name: "kept"}
	w.Apply(k, `{"metadata":{"name":"kept","finalizers":["x.io/one"]}}`)
	w.Delete(shop)
	w.Do(Reconciler{}.Decide(w.State, shop, w.Now).Events...)
	o := w.Get(k)
	if o == nil || o.Deletion == nil {
		t.Fatalf("it is to be asked to go: %+v", o)
	}
	d := Reconciler{}.Decide(w.State, shop, w.Now)
	if len(d.Events) > 0 || len(d.Because) != 1 || d.Because[0].Code != "FinalizersRemaining" || d.Because[0].About != k {
		t.Errorf("%+v", d)
	}
	w.Do(reconcilers.Remove(o))
	d = Reconciler{}.Decide(w.State, shop, w.Now)
	if len(d.Events) > 0 || len(d.Because) != 1 || d.Because[0].About != shop || d.Because[0].What != "x.io/own" {
		t.Errorf("its own: %+v", d)
	}
}
