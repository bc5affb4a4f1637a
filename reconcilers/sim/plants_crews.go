package sim

import (
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
)

// otherwise decides for a set as if another spec stood there.
func otherwise(edit func(spec map[string]any)) decide {
	return func(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
		o, ok := v.Get(k)
		if !ok || o.Deletion != nil {
			return r.Decide(v, k, now)
		}
		b := reconcilers.Same(o)
		b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) { edit(reconcilers.Field(object, "spec")) })
		c := reconcilers.Change(o, b)
		return r.Decide(pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body}), k, now)
	}
}

func inParallel(spec map[string]any) { spec["podManagementPolicy"] = "Parallel" }

// boundless lets all pods of a set be away at once.
func boundless(spec map[string]any) {
	reconcilers.Field(reconcilers.Field(spec, "updateStrategy"), "rollingUpdate")["maxUnavailable"] = "100%"
}
