package sim

import (
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// ungated does not see that pods are held back.
func ungated(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	for row := range v.PodsOn("") {
		o, ok := v.Get(row.Key)
		if !ok || !projections.HeldBack(o.PodSpec()) {
			continue
		}
		b := reconcilers.Same(o)
		b.Object, b.Template = reconcilers.Edit(events.MustBody(o.Typed()), func(object map[string]any) { delete(reconcilers.Field(object, "spec"), "schedulingGates") }), ""
		c := reconcilers.Change(o, b)
		v = pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body})
	}
	return r.Decide(v, k, now)
}

// unranged makes pods as if there were no limit range.
func unranged(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	if o, ok := v.Get(events.Key{Resource: events.LimitRanges, Namespace: wild, Name: "l"}); ok {
		gone := reconcilers.Remove(o)
		v = pretend(v, events.Envelope{Subject: gone.Subject, Type: gone.Type, Body: gone.Body})
	}
	return r.Decide(v, k, now)
}

// wants is how many replicas an object says that it wants.
func wants(v reconcilers.View, k events.Key) int32 {
	o, ok := v.Get(k)
	if !ok {
		return 0
	}
	return int32(wanted(o))
}

// brittle makes a list two longer than a set is, which is less than nothing for the largest that there can be.
func brittle(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	_ = make([]events.Key, min(wants(v, k)+2, 8))
	return r.Decide(v, k, now)
}

// lavish makes room for all the pods that a set shall have before it makes any; as much as the test's machine may lose.
func lavish(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	room := make([]byte, min(wants(v, k), 4*maxBytes))
	defer runtime.KeepAlive(room)
	return r.Decide(v, k, now)
}

// restive asks for another turn at once when nobody that waits could be helped.
func restive(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	waiting := 0
	for range v.PodsOn("") {
		waiting++
	}
	d.More = d.More || len(d.Events) == 0 && waiting >= throngOf
	return d
}

// thorough takes all Jobs of a CronJob away at once that are too many.
func thorough(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	if !d.More {
		return d
	}
	for o := range v.Children(must(v.Get(k)).UID) {
		already := func(x reconcilers.Draft) bool { return x.Subject == events.SpecSubject(o.Key) }
		if o.Deletion == nil && !slices.ContainsFunc(d.Events, already) {
			d.Events = append(d.Events, reconcilers.RequestDeletion(o, events.DeletionRequested{}))
		}
	}
	return d
}

// slipping lets a second more lie between the times of a CronJob.
func slipping(spec map[string]any) {
	if s, ok := spec["schedule"].(string); ok && strings.HasPrefix(s, "@every") {
		spec["schedule"] = "@every 91s"
	}
}

// lenient is a view in which the budget that people change says still what it said before anything was in it.
func lenient(v reconcilers.View) reconcilers.View {
	o, ok := v.Get(fickleKey)
	if !ok {
		return v
	}
	b := reconcilers.Same(o)
	b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) {
		spec := reconcilers.Field(object, "spec")
		delete(spec, "maxUnavailable")
		spec["minAvailable"] = 0
	})
	c := reconcilers.Change(o, b)
	return pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body})
}

// homesick sees nodes where they were when they joined.
func homesick(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	for o := range v.List(events.Nodes, "") {
		b := reconcilers.Same(o)
		b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) {
			reconcilers.Field(reconcilers.Field(object, "metadata"), "labels")["topology.kubernetes.io/zone"] = (&node{name: o.Key.Name}).zone()
		})
		c := reconcilers.Change(o, b)
		v = pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body})
	}
	return r.Decide(v, k, now)
}

// clinging keeps the pods of a set that bear its labels no more.
func clinging(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	d.Events = slices.DeleteFunc(d.Events, func(x reconcilers.Draft) bool { return x.Type == events.TypeOf(events.Pods, events.VerbChanged) })
	d.More = d.More && len(d.Events) > 0
	return d
}
