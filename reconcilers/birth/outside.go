package birth

import (
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/reconcilers"
)

// Bear makes a pod of a template, or wishes for it when others are asked about it first;
// false when the decision holds no more. pod is its template with the set's metadata (Pod), body what is appended.
func (d *Desk) Bear(out *reconcilers.Decision, k events.Key, body events.Created, pod func() *corev1.Pod, now time.Time) bool {
	if d.guard.Asks == nil {
		return out.Emit(reconcilers.Create(k, body))
	}
	whole := pod()
	if err := json.Unmarshal(body.Object, whole); err != nil {
		panic(fmt.Sprintf("wish for %s: %v", k, err)) // a controller made these bytes
	}
	if !d.asks(whole) {
		return out.Emit(reconcilers.Create(k, body))
	}
	if body.Owner.Resource != events.StatefulSets {
		whole.Name = ""
	}
	if len(out.Wishes) == 0 {
		out.Because = append(out.Because, events.Reason{Code: "AdmissionWebhook", About: k, What: "pods", Need: "an answer of those who are asked about them first"})
		out.Wake(now.Add(Again))
	}
	return out.Wish(reconcilers.Wish{Child: reconcilers.Child{Key: k, Body: body}, Object: whole})
}

// asks tells whether others are asked about a pod first.
func (d *Desk) asks(pod *corev1.Pod) bool { return d.guard.Asks != nil && d.guard.Asks(pod) }

// Answer is what those who were asked make of a wish.
type Answer struct {
	About events.Hash // SumOf the wish
	Pod   *corev1.Pod // as they want it; nil: as it was wished for
	Said  string      // why it must not be made; "" when it may
}

// SumOf tells wishes apart by all that those who are asked see of them: one answer is as
// good for any other with the same sum.
func SumOf(w reconcilers.Wish) events.Hash { return events.HashOf(events.MustBody(w.Object)) }

// Answered is what follows from an answer: the object's controller is asked again, on this view, whether it still wants
// such a pod, and if it does the pod is made, or it is written down why not. Quotas and limits count what is made.
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
			said = misfit(v, w, a.Pod)
		}
		if said != "" {
			var d reconcilers.Decision
			Refuse(&d, v, o, w.Key, said, now)
			return d.Events
		}
		draft := reconcilers.Create(w.Key, made(w, a.Pod))
		draft.Cause = o.Changed.Seq
		return []reconcilers.Draft{draft}
	}
	return nil
}

// misfit says why a pod must not be made as those who were asked want it, "" when it may.
func misfit(v reconcilers.View, w reconcilers.Wish, changed *corev1.Pod) string {
	desk := In(v, w.Key.Namespace)
	if changed == nil {
		return desk.Bars(named(w.Object.(*corev1.Pod), w.Key))
	}
	pod := named(changed, w.Key)
	if errs := manifest.Validate(pod); len(errs) > 0 {
		return fmt.Sprintf("Pod %q is invalid: %v", w.Key.Name, errs.ToAggregate())
	}
	return desk.Bars(pod)
}

// made is what is appended: what others changed stands as a whole for itself.
func made(w reconcilers.Wish, changed *corev1.Pod) events.Created {
	if changed == nil {
		return w.Body
	}
	pod := named(changed, w.Key)
	pod.OwnerReferences, pod.Status, pod.CreationTimestamp = nil, corev1.PodStatus{}, metav1.Time{}
	b := w.Body
	b.Template = ""
	b.Object = reconcilers.Edit(events.MustBody(pod), func(object map[string]any) { delete(object, "status") })
	return b
}

// named is a copy under the name that the pod gets.
func named(pod *corev1.Pod, k events.Key) *corev1.Pod {
	out := pod.DeepCopy()
	out.Name, out.Namespace = k.Name, k.Namespace
	return out
}
