package admit

import (
	"bytes"
	"encoding/json"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// writeStatus takes the status of what is written, and its labels and annotations
// as Kubernetes does; all else of it is ignored. What is derived all the same is
// not kept.
func writeStatus(v projections.State, r Request, now time.Time) (Outcome, *refusal) {
	w, err := read(v, r)
	if err != nil {
		return Outcome{}, err
	}
	w.warnings = nil // nobody sets a spec here
	old, ok := v.Get(w.key)
	if !ok {
		return Outcome{}, notFound(w.key)
	}
	out := Outcome{Result: wire.Result{Key: w.key, UID: old.UID, Outcome: Replaced}}
	if err := unmoved(v, old, w.precondition(), firstUID(r.Item.UID, events.UID(w.next.GetUID()))); err != nil {
		return out, err
	}
	var sent struct {
		Status json.RawMessage `json:"status"`
	}
	if bad := json.Unmarshal(r.Item.Object, &sent); bad != nil { // a manifest is read without it
		return out, badRequest("read status of %s: %v", w.key, bad)
	}
	if len(r.Item.Object) > MaxObject {
		return out, tooLarge(w.key, len(r.Item.Object))
	}
	if sent.Status, err = w.certified(old, sent.Status, now); err != nil {
		return out, err
	}
	if sent.Status, err = w.reported(old, sent.Status, now); err != nil {
		return out, err
	}
	if err = w.reached(sent.Status); err != nil {
		return out, err
	}
	var body events.StatusWritten
	if w.rules != nil {
		body.Status, err = w.customStatus(old, sent.Status)
	} else {
		if err := w.nodeStatus(sent.Status); err != nil {
			return out, err
		}
		out.Drafts, err = w.metadata(old)
		body.Status, body.Over = projections.Difference(v.DerivedStatus(old, now), sent.Status)
	}
	if err != nil {
		return out, err
	}
	if r.Managed != nil && !bytes.Equal(r.Managed, old.Managed) {
		body.Managed = r.Managed
	}
	if body.Managed != nil || !bytes.Equal(body.Status, old.Status) || !bytes.Equal(body.Over, old.Over) {
		out.Drafts = append(out.Drafts, reconcilers.WriteStatus(old, body))
	}
	return out, nil
}

// nodeStatus checks what is written of what a node has: the scheduler counts on it.
func (w *writing) nodeStatus(sent json.RawMessage) *refusal {
	if w.key.Resource != events.Nodes || len(sent) == 0 {
		return nil
	}
	var st corev1.NodeStatus
	if bad := json.Unmarshal(sent, &st); bad != nil {
		return badRequest("read status of %s: %v", w.key, bad)
	}
	if errs := manifest.ValidateNodeStatus(&st); len(errs) > 0 {
		return invalid(w.key, errs)
	}
	return nil
}

// metadata drafts the labels and annotations that come with a status; a
// Deployment's labels do not.
func (w *writing) metadata(old *projections.Object) ([]reconcilers.Draft, *refusal) {
	next := stored(old).DeepCopyObject().(events.Object)
	if _, ok := next.(*appsv1.Deployment); !ok {
		next.SetLabels(w.next.GetLabels())
	}
	next.SetAnnotations(w.next.GetAnnotations())
	Carry(old.Typed(), next)
	if errs := manifest.Validate(next); len(errs) > 0 {
		return nil, invalid(w.key, errs)
	}
	live, bad := manifest.Canonical(stored(old))
	if bad != nil {
		return nil, badRequest("read %s: %v", w.key, bad)
	}
	raw, bad := manifest.Canonical(next)
	if bad != nil {
		return nil, badRequest("%v", bad)
	}
	if bytes.Equal(live, raw) {
		return nil, nil
	}
	body := reconcilers.Same(old)
	body.Object, body.Template = raw, ""
	return []reconcilers.Draft{reconcilers.Change(old, body)}, nil
}
