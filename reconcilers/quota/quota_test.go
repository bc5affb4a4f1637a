package quota

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// What a client writes of a quota's numbers is seen, and taken back; a quota of which nobody wrote is left alone.
func TestNumbersAreTakenBack(t *testing.T) {
	w := stage.New()
	k := stage.In(events.Quotas, "q")
	o := w.Apply(k, `{"metadata":{"name":"q","namespace":"default"},"spec":{"hard":{"cpu":"1"}}}`)
	hard := func() string {
		v, _ := w.State.Object(k, w.Now)
		return v.(*corev1.ResourceQuota).Status.Hard.Cpu().String()
	}
	run := func() int {
		t.Helper()
		before := w.State.Seq
		if _, err := w.Run(Reconciler{}, k); err != nil {
			t.Fatal(err)
		}
		return int(w.State.Seq - before)
	}
	if n := run(); n != 0 || hard() != "1" {
		t.Fatalf("%d events, hard is %s", n, hard())
	}
	w.Do(reconcilers.WriteStatus(o, events.StatusWritten{Status: json.RawMessage(`{"hard":{"cpu":"2"}}`), Over: json.RawMessage(`{"hard":{"cpu":"1"}}`)}))
	if hard() != "2" {
		t.Fatalf("written, and hard is %s", hard())
	}
	if n := run(); n != 1 || hard() != "1" {
		t.Errorf("%d events, hard is %s", n, hard())
	}
}
