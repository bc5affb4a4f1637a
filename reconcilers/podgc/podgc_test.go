package podgc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// few is the controller that keeps three.
var few = Reconciler{Threshold: 3}

func pod(w *stage.World, name, node string) *projections.Object {
	o := w.Apply(stage.PodKey(name), `{"metadata":{"name":"`+name+`","namespace":"default"},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}`)
	w.Assign(o, node)
	w.Ready(w.Get(o.Key))
	return w.Get(o.Key)
}

func ends(w *stage.World, o *projections.Object) {
	w.See(o, events.Fact{Kind: events.FactExited, Container: "c", Run: 1})
}

// kept are the names of the pods that nobody asked to go.
func kept(w *stage.World) string {
	var out []string
	for _, o := range w.Pods() {
		if o.Deletion == nil {
			out = append(out, o.Key.Name)
		}
	}
	return strings.Join(out, " ")
}

func run(t *testing.T, w *stage.World, r Reconciler, k events.Key) {
	t.Helper()
	if _, err := w.Run(r, k); err != nil {
		t.Fatal(err)
	}
}

// Of the pods that have ended so many stay, the newest; those that run are nobody's concern, and those that were evicted go first.
func TestTooManyEnded(t *testing.T) {
	w := stage.New()
	w.Node("n1", "64", "64Gi")
	asked := 0
	w.OnFold = func(e events.Envelope, changes []projections.Change) {
		for _, c := range changes {
			if slices.Contains(few.Keys(w.State, c), Ended) {
				asked++
			}
		}
	}
	pod(w, "runs", "n1")
	for i := range 3 {
		w.Now = w.Now.Add(time.Second)
		ends(w, pod(w, fmt.Sprintf("p%d", i), "n1"))
	}
	if run(t, w, few, Ended); asked > 0 || kept(w) != "p0 p1 p2 runs" {
		t.Errorf("asked %d times where there are few enough, and keeps %s", asked, kept(w))
	}
	w.See(pod(w, "thrown", "n1"), events.Fact{Kind: events.FactFailed, Reason: projections.Evicted})
	if run(t, w, few, Ended); asked == 0 || kept(w) != "p0 p1 p2 runs" {
		t.Errorf("asked %d times, and keeps %s", asked, kept(w))
	}
	ends(w, pod(w, "q", "n1"))
	if run(t, w, few, Ended); kept(w) != "p1 p2 q runs" {
		t.Errorf("keeps %s", kept(w))
	}
	w.Do(reconcilers.Remove(w.Get(stage.PodKey("q"))))
	if n := w.State.EndedPods(); n != 2 {
		t.Errorf("%d pods have ended", n)
	}
}

// Many are taken away in passes, as each decision has its bound.
func TestVeryManyEnded(t *testing.T) {
	w := stage.New()
	w.Node("n1", "64", "64Gi")
	for i := range 250 {
		ends(w, pod(w, fmt.Sprintf("p%03d", i), "n1"))
	}
	if run(t, w, few, Ended); kept(w) != "p247 p248 p249" {
		t.Errorf("keeps %s", kept(w))
	}
	if run(t, w, Reconciler{}, Ended); w.State.EndedPods() != 3 {
		t.Errorf("%d have ended", w.State.EndedPods())
	}
}

// A person who says that a silent node is out of service says that nobody is to wait for its pods.
func TestOutOfService(t *testing.T) {
	w := stage.New()
	w.Node("n1", "64", "64Gi")
	goes, stays := pod(w, "goes", "n1"), pod(w, "stays", "n1")
	w.Delete(goes.Key)
	taint := `{"metadata":{"name":"n1"},"spec":{"taints":[{"key":"node.kubernetes.io/out-of-service","effect":"NoExecute"}]}}`
	forced := func(o *projections.Object) bool { d := w.Get(o.Key).Deletion; return d != nil && d.Force }
	for _, step := range []struct {
		what string
		do   func()
		want bool
	}{
		{"the node answers", func() {}, false},
		{"it is tainted and answers", func() { w.Apply(stage.NodeKey("n1"), taint) }, false},
		{"it is tainted and silent", func() { w.Report("n1", false) }, true},
	} {
		if step.do(); step.what != "" {
			run(t, w, few, stage.NodeKey("n1"))
		}
		if forced(goes) != step.want || forced(stays) || w.Get(stays.Key).Deletion != nil {
			t.Errorf("%s: forced %v, and the other %v", step.what, forced(goes), w.Get(stays.Key).Deletion)
		}
	}
	if o := w.Get(goes.Key); reconcilers.Lingers(w.State, o) || len(few.Keys(w.State, projections.Change{Key: o.Key, After: o, PodAfter: w.Row(o)})) != 1 {
		t.Error("somebody waits for it still, or its node is not looked at when another shall go")
	}
	if keys := few.Keys(w.State, projections.Change{Key: stage.NodeKey("n1"), After: w.Get(stage.NodeKey("n1"))}); len(keys) != 1 {
		t.Errorf("the node's change concerns %v", keys)
	}
}
