package admit

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/gateway/wire"
)

const said = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"a":"b"}},"spec":{"containers":[{"name":"a","image":"other"}]},
"status":{"phase":"Pending","qosClass":"BestEffort","message":"mine"}}`

// Of a status the difference from what is derived is kept, once.
func TestStatusIsADifference(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Create, pod, Created)
	w.refused(w.do(wire.Status, "apiVersion: v1\nkind: Pod\nmetadata: {name: q}\n"), metav1.StatusReasonNotFound, `pods "q" not found`)
	say := func() wire.Result {
		return w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Status}, Item: wire.Item{Object: []byte(said)}})
	}
	if r := say(); r.Error != nil || r.Outcome != Replaced {
		t.Fatalf("%+v", r)
	}
	o, _ := w.v.Get(r.Key)
	if string(o.Status) != `{"message":"mine"}` || string(o.Over) != "{}" || o.Generation != 1 || o.PodLabels()["a"] != "b" || o.PodSpec().Containers[0].Image != "nginx" {
		t.Errorf("status %s over %s, generation %d, %s", o.Status, o.Over, o.Generation, o.Raw)
	}
	seq := w.v.Seq
	if say(); w.v.Seq != seq {
		t.Error("the same a second time was appended")
	}
	w.must(wire.Replace, pod, Replaced)
	if o, _ = w.v.Get(r.Key); string(o.Status) != `{"message":"mine"}` {
		t.Errorf("a write of the object wrote its status: %s", o.Status)
	}
}
