package schedule

import (
	"fmt"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// web is a set that wants three pods; made of them are there, and a pod of nobody.
func web(made int) *stage.World {
	w := stage.New()
	w.Node("n1", "2", "4Gi")
	w.Node("n2", "2", "4Gi")
	template := []byte(`{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	w.Do(reconcilers.StoreTemplate(template))
	rs := w.Apply(stage.In(events.ReplicaSets, "web"), `{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"web"}}}}`)
	for i := range made {
		w.Do(reconcilers.Create(stage.PodKey(fmt.Sprint("web-", i)), events.Created{Template: events.HashOf(template),
			Owner: &events.Owner{Resource: events.ReplicaSets, Name: "web", UID: rs.UID}, Object: []byte(`{"metadata":{}}`)}))
	}
	w.Apply(stage.PodKey("other"), asking("other", "1", "1Gi", ""))
	return w
}

// assigned counts the events that give pods to nodes.
func assigned(w *stage.World) (n int) {
	for _, e := range w.Log {
		if e.Type == events.PodsAssigned {
			n++
		}
	}
	return n
}

func TestPodsWaitForTheirLike(t *testing.T) {
	w := web(2)
	d := schedule(t, w)
	if nodeOf(w, "web-0") != "" || nodeOf(w, "web-1") != "" {
		t.Error("they did not wait for the third")
	}
	if nodeOf(w, "other") == "" {
		t.Error("who belongs to nobody waited for them")
	}
	if want := w.Get(stage.PodKey("web-0")).Created.Time.Add(patience); !d.WakeAt.Equal(want) {
		t.Errorf("looks again at %v, want %v", d.WakeAt, want)
	}
	w.Now = d.WakeAt // the third does not come: a quota, say
	if d = schedule(t, w); nodeOf(w, "web-0") == "" || nodeOf(w, "web-1") == "" || !d.WakeAt.IsZero() {
		t.Errorf("they wait for ever; wakes at %v", d.WakeAt)
	}
}

func TestPodsWaitForNobodyOfAWholeSet(t *testing.T) {
	w := web(3)
	if d := schedule(t, w); nodeOf(w, "web-2") == "" || !d.WakeAt.IsZero() {
		t.Errorf("nobody else comes, and they wait until %v", d.WakeAt)
	}
	if n := assigned(w); n > 2 {
		t.Errorf("%d events for two nodes", n)
	}
}

func TestPodsWaitForNobodyWhenTheirSetGoes(t *testing.T) {
	w := web(2)
	w.Delete(stage.In(events.ReplicaSets, "web"))
	if schedule(t, w); nodeOf(w, "web-0") == "" {
		t.Error("it waits for a pod that a set which goes will never make")
	}
}

func TestManyPodsWaitForNobody(t *testing.T) {
	w := web(1)
	c := &class{}
	for range enough {
		c.pods = append(c.pods, w.Get(stage.PodKey("web-0")))
	}
	if at := c.ripe(w.State, w.Now); !at.IsZero() {
		t.Errorf("%d wait until %v", enough, at)
	}
	c.pods = c.pods[:enough-1]
	if at := c.ripe(w.State, w.Now); at.Sub(w.Now) > patience || at.IsZero() {
		t.Errorf("fewer wait until %v, it is %v", at, w.Now.Add(time.Nanosecond))
	}
}

// TestNodesGetPodsInRows makes a set a few at a time: a node gets several at once while many are to come, and in the end
// all have the same.
func TestNodesGetPodsInRows(t *testing.T) {
	const nodes, replicas, batch = 4, 150, 30
	w := stage.New()
	for i := range nodes {
		w.Node(fmt.Sprint("n", i), "64", "256Gi")
	}
	template := []byte(`{"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"100m"}}}]}}`)
	w.Do(reconcilers.StoreTemplate(template))
	rs := w.Apply(stage.In(events.ReplicaSets, "web"), fmt.Sprintf(`{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":%d,"selector":{"matchLabels":{"app":"web"}}}}`, replicas))
	for made := range replicas {
		w.Do(reconcilers.Create(stage.PodKey(fmt.Sprint("web-", made)), events.Created{Template: events.HashOf(template),
			Owner: &events.Owner{Resource: events.ReplicaSets, Name: "web", UID: rs.UID}, Object: []byte(`{"metadata":{}}`)}))
		if made%batch != batch-1 {
			continue
		}
		w.Now = w.Now.Add(patience)
		schedule(t, w)
		if made == batch-1 {
			for i := range nodes {
				if n := on(w, fmt.Sprint("n", i)); n%(110/smallPart) != 0 {
					t.Errorf("n%d got %d of the first %d, want rows of %d", i, n, batch, 110/smallPart)
				}
			}
		}
	}
	for i := range nodes {
		if n := on(w, fmt.Sprint("n", i)); n < replicas/nodes || n > replicas/nodes+1 {
			t.Errorf("n%d has %d of %d, want as many as the others", i, n, replicas)
		}
	}
}

// on counts the pods of a node.
func on(w *stage.World, node string) (n int) {
	for range w.State.PodsOn(node) {
		n++
	}
	return n
}
