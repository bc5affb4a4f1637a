package birth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/reconcilers"
)

// Bear makes an object, or wishes for it when others are asked about it first; false when the decision holds no more. whole is
// what body leaves out: the template with the set's metadata (Pod), the defaults.
func (d *Desk) Bear(out *reconcilers.Decision, k events.Key, body events.Created, whole func() events.Object, now time.Time) bool {
	if d.guard.Asks == nil {
		return out.Emit(reconcilers.Create(k, body))
	}
	object := whole()
	if err := json.Unmarshal(body.Object, object); err != nil {
		panic(fmt.Sprintf("wish for %s: %v", k, err)) // a controller made these bytes
	}
	if !d.asks(object) {
		return out.Emit(reconcilers.Create(k, body))
	}
	if k.Resource == events.Pods && body.Owner.Resource != events.StatefulSets {
		object.SetName("")
	}
	if len(out.Wishes) == 0 {
		out.Because = append(out.Because, events.Reason{Code: "AdmissionWebhook", About: k, What: string(k.Resource), Need: "an answer of those who are asked about them first"})
		out.Wake(now.Add(Again))
	}
	return out.Wish(reconcilers.Wish{Child: reconcilers.Child{Key: k, Body: body}, Object: object})
}

// asks tells whether others are asked about an object first.
func (d *Desk) asks(o events.Object) bool { return d.guard.Asks != nil && d.guard.Asks(o) }

// Answer is what those who were asked make of a wish.
type Answer struct {
	About  events.Hash   // SumOf the wish
	Object events.Object // as they want it; nil: as it was wished for
	Said   string        // why it must not be made; "" when it may
}

// SumOf tells wishes apart by all that those who are asked see of them: one answer is as
// good for any other with the same sum.
func SumOf(w reconcilers.Wish) events.Hash { return events.HashOf(events.MustBody(w.Object)) }

// Answered is what follows from an answer: the object's controller is asked again, on this view, whether it still wants
// such an object, and if it does that is made, or it is written down why not. Quotas and limits count what is made.
func Answered(r reconcilers.Reconciler, v reconcilers.View, of events.Key, a Answer, now time.Time) []reconcilers.Draft {
	o, ok := v.Get(of)
	if !ok {
		return nil
	}
	for _, w := range r.Decide(v, of, now).Wishes {
		if SumOf(w) != a.About {
			continue
		}
		said := a.Said
		if said == "" {
			said = misfit(v, w, a.Object)
		}
		if said != "" {
			var d reconcilers.Decision
			Refuse(&d, v, o, w.Key, said, now)
			return d.Events
		}
		draft := reconcilers.Create(w.Key, made(w, a.Object))
		draft.Cause = o.Changed.Seq
		return []reconcilers.Draft{draft}
	}
	return nil
}

// misfit says why an object must not be made as those who were asked want it, "" when it may.
func misfit(v reconcilers.View, w reconcilers.Wish, changed events.Object) string {
	o := named(w.Object, w.Key)
	if changed != nil {
		o = named(changed, w.Key)
		if errs := manifest.Validate(o); len(errs) > 0 {
			kind, _ := events.KindOf(w.Key.Resource)
			return fmt.Sprintf("%s %q is invalid: %v", kind.Name, w.Key.Name, errs.ToAggregate())
		}
	}
	desk := In(v, w.Key.Namespace)
	switch o := o.(type) {
	case *corev1.Pod:
		return desk.Bars(o)
	case *corev1.PersistentVolumeClaim:
		return desk.Claim(o)
	}
	return desk.Object(w.Key, nil) // nobody guards this desk
}

// made is what is appended: what others changed stands as a whole for itself, but for the template of a set that they left alone: it
// is the Deployment's, which knows its set by it.
func made(w reconcilers.Wish, changed events.Object) events.Created {
	if changed == nil {
		return w.Body
	}
	o := named(changed, w.Key)
	o.SetOwnerReferences(nil)
	o.SetCreationTimestamp(metav1.Time{})
	b, shared := w.Body, sameTemplate(w.Object, o)
	if !shared {
		b.Template = ""
	}
	b.Object = reconcilers.Edit(events.MustBody(o), func(object map[string]any) {
		delete(object, "status")
		if shared {
			delete(reconcilers.Field(object, "spec"), "template")
		}
	})
	return b
}

// sameTemplate tells whether these are sets of one template.
func sameTemplate(a, b events.Object) bool {
	one, set := a.(*appsv1.ReplicaSet)
	other, also := b.(*appsv1.ReplicaSet)
	return set && also && bytes.Equal(events.MustBody(one.Spec.Template), events.MustBody(other.Spec.Template))
}

// named is a copy under the name that the object gets.
func named(o events.Object, k events.Key) events.Object {
	out := o.DeepCopyObject().(events.Object)
	out.SetName(k.Name)
	out.SetNamespace(k.Namespace)
	return out
}
