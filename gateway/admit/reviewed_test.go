package admit

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

const reviewedMap = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"colours"},"data":{"a":"red"}}`

// What webhooks said counts for the object that they were shown: when it has
// changed meanwhile, nothing is admitted and they are asked again.
func TestReviewed(t *testing.T) {
	w := newTown(t)
	r := Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Apply}, Item: wire.Item{Object: []byte(reviewedMap)}, Op: w.op("x")}
	out := Admit(w.v, r, w.v.Time)
	p := Propose(w.v, r, out, w.v.Time)
	if p.Old != nil || p.Next.(*corev1.ConfigMap).Data["a"] != "red" || p.Of != 0 {
		t.Fatalf("proposed %+v", p)
	}
	next := p.Next.DeepCopyObject().(*corev1.ConfigMap)
	next.Data["b"] = "seen"
	r.Reviewed = &Reviewed{Object: events.MustBody(next), Warnings: []string{"looked"}}
	if out = Admit(w.v, r, w.v.Time); out.Moved || out.Result.Error != nil || out.Result.Outcome != Created || out.Result.Warnings[0] != "looked" {
		t.Fatalf("%+v", out)
	}
	w.must(wire.Create, reviewedMap, Created) // somebody else is faster
	if out = Admit(w.v, r, w.v.Time); !out.Moved || len(out.Drafts) > 0 {
		t.Errorf("it is another object now: %+v", out)
	}
	made, _ := w.v.Get(out.Result.Key)
	r.Reviewed.Of = made.Changed.Seq
	out = Admit(w.v, r, w.v.Time)
	w.fold("x", out.Drafts)
	made, _ = w.v.Get(out.Result.Key)
	if cm := projections.As[*corev1.ConfigMap](made); out.Result.Outcome != Configured || cm.Data["b"] != "seen" || strings.Contains(string(made.Applied), "seen") {
		t.Errorf("%+v, applied %s", cm.Data, made.Applied)
	}
	next.Name = "other"
	r.Reviewed = &Reviewed{Of: made.Changed.Seq, Object: events.MustBody(next)}
	r.Op = w.op("y")
	w.refused(Admit(w.v, r, w.v.Time).Result, metav1.StatusReasonBadRequest, "a webhook renamed configmaps/default/colours")
	no := &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonForbidden, Message: "no"}
	r.Reviewed = &Reviewed{Of: made.Changed.Seq, Refused: no}
	w.refused(Admit(w.v, r, w.v.Time).Result, metav1.StatusReasonForbidden, "no")
}
