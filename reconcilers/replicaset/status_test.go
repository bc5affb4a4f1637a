package replicaset

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// What a client writes of the numbers is not so for long; what else it says stays.
func TestNumbersAreTheControllers(t *testing.T) {
	w := stage.New()
	o := w.Apply(web, replicaSet(2))
	run(t, w)
	w.Do(reconcilers.WriteStatus(o, events.StatusWritten{Status: []byte(`{"replicas":7,"readyReplicas":null,"conditions":[{"type":"Mine","status":"True"}]}`), Over: []byte(`{"replicas":2,"readyReplicas":0}`)}))
	status := func() appsv1.ReplicaSetStatus { return w.State.ObjectOf(w.Get(web), w.Now).(*appsv1.ReplicaSet).Status }
	if st := status(); st.Replicas != 7 {
		t.Fatalf("%+v", st)
	}
	run(t, w)
	if st := status(); st.Replicas != 2 || len(st.Conditions) != 1 {
		t.Errorf("%+v over %s", st, w.Get(web).Over)
	}
	if d := (Reconciler{}).Decide(w.State, web, w.Now); len(d.Events) > 0 {
		t.Errorf("again: %v", d.Events)
	}
}
