package sim

import (
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
)

// eager lets go of a claim that pods still use, when its deletion is asked for.
func eager(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	claim, ok := v.Get(k)
	if !ok || claim.Deletion == nil || k.Resource != events.Claims {
		return r.Decide(v, k, now)
	}
	for _, pod := range v.ClaimUsers(claim) {
		gone := reconcilers.Remove(pod)
		v = pretend(v, events.Envelope{Subject: gone.Subject, Type: gone.Type, Body: gone.Body})
	}
	return r.Decide(v, k, now)
}

// grasping takes every volume for one that nobody has, when a claim looks for one.
func grasping(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	if k.Resource != events.Claims {
		return r.Decide(v, k, now)
	}
	for o := range v.List(events.Volumes, "") {
		b := reconcilers.Same(o)
		b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) { delete(reconcilers.Field(object, "spec"), "claimRef") })
		c := reconcilers.Change(o, b)
		v = pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body})
	}
	return r.Decide(v, k, now)
}
