package admit

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/ration"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// checkNew is check for an object that is not there yet. Limit ranges have their say
// on both sides of it: what they give is validated, and they judge what is valid.
func (w *writing) checkNew() *refusal {
	for _, give := range []func() *refusal{w.prioritise, w.suit, w.ask, w.network, w.device, w.delegate} {
		if err := give(); err != nil {
			return err
		}
	}
	w.store()
	ranges := w.limit()
	for _, check := range []func() *refusal{
		func() *refusal { return w.check(nil) }, w.accountThere, func() *refusal { return w.within(ranges) },
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// limit gives a new pod what the limit ranges of its namespace want, and is those.
func (w *writing) limit() []*corev1.LimitRange {
	pod, ok := w.next.(*corev1.Pod)
	if !ok {
		return nil
	}
	ranges := w.v.LimitRanges(w.key.Namespace)
	if said := ration.Defaults(&pod.Spec, ranges); said != "" {
		if pod.Annotations == nil {
			pod.Annotations = map[string]string{}
		}
		pod.Annotations[ration.Annotation] = said
	}
	return ranges
}

// within refuses a pod that is new, or gets other resources, and breaks a limit of its namespace.
func (w *writing) within(ranges []*corev1.LimitRange) *refusal {
	if claim, ok := w.next.(*corev1.PersistentVolumeClaim); ok {
		if said := ration.ClaimBreach(claim.Spec.Resources.Requests, w.v.LimitRanges(w.key.Namespace)); said != "" {
			return forbidden(w.key, said)
		}
		return nil
	}
	pod, ok := w.next.(*corev1.Pod)
	if !ok {
		return nil
	}
	if said := ration.Breach(&pod.Spec, ranges); said != "" {
		return forbidden(w.key, said)
	}
	return nil
}

// rationed refuses what a quota of the namespace has no room for. It looks at what
// the drafts make of the object, whatever request they come from.
func rationed(v projections.State, r Request, out Outcome, now time.Time) *refusal {
	k := out.Result.Key
	if len(out.Drafts) == 0 {
		return nil
	}
	quotas := v.Quotas(k.Namespace)
	if len(quotas) == 0 {
		return nil
	}
	if said := overdrawn(v, Imagine(v, r.Op, out.Drafts, now), k, quotas); said != "" {
		return forbidden(k, said)
	}
	return nil
}

func overdrawn(v, next projections.State, k events.Key, quotas []ration.Quota) string {
	was, _ := v.Get(k)
	is, _ := next.Get(k)
	for i := range quotas {
		if said := quotas[i].Take(v.Thing(was), next.Thing(is)); said != "" {
			return said
		}
	}
	return ""
}

// Overdrawn says which quota has no room for drafts that were not admitted one by
// one, as those of an undo; "" when all have.
func Overdrawn(v projections.State, op events.OpID, drafts []reconcilers.Draft, now time.Time) string {
	for _, d := range drafts {
		next := Imagine(v, op, []reconcilers.Draft{d}, now)
		if k, err := d.Subject.Key(); err == nil {
			if quotas := v.Quotas(k.Namespace); len(quotas) > 0 {
				if said := overdrawn(v, next, k, quotas); said != "" {
					return forbidden(k, said).message
				}
			}
		}
		v = next
	}
	return ""
}
