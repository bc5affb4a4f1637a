package sim

import (
	"encoding/json"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// misread decides about a CronJob that says something else.
func misread(edit func(spec map[string]any, c *batchv1.CronJob)) decide {
	return func(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
		o, ok := v.Get(k)
		if !ok || o.Deletion != nil {
			return r.Decide(v, k, now)
		}
		b := reconcilers.Same(o)
		b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) {
			edit(reconcilers.Field(object, "spec"), projections.As[*batchv1.CronJob](o))
		})
		c := reconcilers.Change(o, b)
		return r.Decide(pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body}), k, now)
	}
}

func unpaused(spec map[string]any, _ *batchv1.CronJob) { spec["suspend"] = false }

func sociable(spec map[string]any, _ *batchv1.CronJob) { spec["concurrencyPolicy"] = "Allow" }

func oblivious(spec map[string]any, c *batchv1.CronJob) {
	spec["successfulJobsHistoryLimit"] = json.Number(itoa(max(0, int(*c.Spec.SuccessfulJobsHistoryLimit)-1)))
}

// twice makes a second Job for each time.
func twice(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	for _, x := range d.Events {
		if x.Child != nil && !strings.HasSuffix(x.Child.Key.Name, "-again") {
			d.Events = append(d.Events, renamed(x.Child.Key, x.Child.Body, "-again"))
		}
	}
	return d
}
