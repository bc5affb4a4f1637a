package sim

import (
	"encoding/json"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// crowded sees one more than a Job's parallelism.
func crowded(spec map[string]any) { add(spec, "parallelism", 1) }

// add changes a number of a spec, which never goes below nothing.
func add(spec map[string]any, name string, n int64) {
	have, err := spec[name].(json.Number).Int64()
	if err != nil {
		panic(err) // it was decoded from the log
	}
	spec[name] = json.Number(itoa(int(max(0, have+n))))
}

// twins makes each pod with an index twice.
func twins(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	for _, x := range d.Events {
		if x.Child != nil && projections.Indexed(projections.As[*batchv1.Job](must(v.Get(k)))) {
			d.Events = append(d.Events, renamed(x.Child.Key, x.Child.Body, "-twin"))
		}
	}
	return d
}

// restless makes one more pod of a Job that is over, like one that it has.
func restless(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil {
		return d
	}
	if _, over := o.Job.Finished(); !over {
		return d
	}
	for pod := range v.Children(o.UID) {
		if pod.Key.Resource == events.Pods && pod.Template != nil {
			d.Events = append(d.Events, renamed(pod.Key, events.Created{Owner: pod.Owner, Template: pod.Template.Hash, Object: pod.Raw}, "-more"))
			break
		}
	}
	return d
}

func must(o *projections.Object, _ bool) *projections.Object { return o }

// renamed is a child under another name.
func renamed(k events.Key, body events.Created, more string) reconcilers.Draft {
	k.Name += more
	body.Object = reconcilers.Edit(body.Object, func(object map[string]any) { reconcilers.Field(object, "metadata")["name"] = k.Name })
	return reconcilers.Create(k, body)
}
