package sim

import (
	"encoding/json"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
)

// hurried sees one more than a DaemonSet's maxUnavailable, where it has any.
func hurried(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	x, known := watchOf(k)
	if !ok || !known || o.Deletion != nil || x.away == 0 {
		return r.Decide(v, k, now)
	}
	b := reconcilers.Same(o)
	b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) {
		strategy := reconcilers.Field(reconcilers.Field(object, "spec"), "updateStrategy")
		reconcilers.Field(strategy, "rollingUpdate")["maxUnavailable"] = json.Number(itoa(x.away + 1))
	})
	c := reconcilers.Change(o, b)
	return r.Decide(pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body}), k, now)
}

// forgetting does not see the pods that leave: their nodes get the next ones at once.
func forgetting(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok {
		return r.Decide(v, k, now)
	}
	for pod := range v.Children(o.UID) {
		if pod.Key.Resource == events.Pods && pod.Deletion != nil {
			d := reconcilers.Remove(pod)
			v = pretend(v, events.Envelope{Subject: d.Subject, Type: d.Type, Body: d.Body})
		}
	}
	return r.Decide(v, k, now)
}
