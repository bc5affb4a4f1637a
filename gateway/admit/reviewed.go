package admit

import (
	"encoding/json"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// Proposal is what a request would change, for those who are asked about it
// before it is admitted: webhooks and policies. They may be outside, so they are
// asked before the writer is, and what they answered goes along as Reviewed.
type Proposal struct {
	User   string // who wants it
	Key    events.Key
	Old    events.Object // nil: it is not there yet
	Next   events.Object // nil: it shall go
	DryRun bool
	// Fixed says that nobody may change the object on the way: the request is about one field.
	Fixed bool
	// Of is the object's last change that the proposal was made from.
	Of events.Seq
}

// Reviewed is what they answered.
type Reviewed struct {
	Of       events.Seq      // as in the Proposal; when the object has changed since, they have to be asked again
	Object   json.RawMessage // as they want it to be; nil leaves it as it was proposed
	Refused  *metav1.Status  // nil: they let it pass
	Warnings []string
}

// Propose is what an outcome of Admit would change; the drafts must not be empty.
func Propose(v projections.State, r Request, out Outcome, now time.Time) Proposal {
	p := Proposal{Key: out.Result.Key, DryRun: r.DryRun, Fixed: r.Operation == wire.Scale, Of: changeOf(v, out.Result.Key)}
	if old, ok := v.Get(p.Key); ok {
		p.Old = old.Typed()
	}
	if r.Operation == wire.Delete || r.Operation == wire.Evict {
		return p
	}
	if next, ok := Imagine(v, r.Op, out.Drafts, now).Get(p.Key); ok {
		p.Next = next.Typed()
	}
	return p
}

// changeOf is an object's last change; 0 when it is not there.
func changeOf(v projections.State, k events.Key) events.Seq {
	o, ok := v.Get(k)
	if !ok {
		return 0
	}
	return o.Changed.Seq
}

// answered is what follows already from what webhooks and policies said: a
// refusal, or that they have to be asked again.
func answered(v projections.State, r Request) (Outcome, bool) {
	if r.Reviewed == nil {
		return Outcome{}, false
	}
	k := KeyOf(v, r.Item)
	if k.Name == "" {
		k.Name = generated(prefixOf(v.Kinds(), r.Item), r.Op)
	}
	out := Outcome{Result: wire.Result{Key: k, Warnings: slices.Clone(r.Reviewed.Warnings), Error: r.Reviewed.Refused}}
	out.Moved = changeOf(v, k) != r.Reviewed.Of
	return out, out.Moved || r.Reviewed.Refused != nil
}

// revise puts what webhooks made of the object in its place. It is validated as
// what a person wrote.
func (w *writing) revise() *refusal {
	if w.r.Reviewed == nil || w.r.Reviewed.Object == nil {
		return nil
	}
	next := w.kind.New()
	if err := json.Unmarshal(w.r.Reviewed.Object, next); err != nil {
		return badRequest("read %s as webhooks want it: %v", w.key, err)
	}
	if next.GetName() != w.key.Name || next.GetNamespace() != w.key.Namespace {
		return badRequest("a webhook renamed %s", w.key)
	}
	w.next = next
	if u, ok := next.(*unstructured.Unstructured); ok { // it was shown as it is kept
		if err := w.rules.In(u, w.kind.Version); err != nil {
			return badRequest("read %s as webhooks want it: %v", w.key, err)
		}
		if _, err := w.rules.Shape(u); err != nil { // what they added beyond its schema goes
			return badRequest("%s: %v", w.key, err)
		}
	}
	return nil
}
