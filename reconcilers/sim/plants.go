package sim

import (
	"encoding/json"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Plants are the bugs that are put in to see that the judges find them: each is
// one that a control plane of this kind can really have.
func Plants() []Plant {
	return []Plant{
		{Name: "void rule left out", Judge: "void", apply: lawless},
		{Name: "a late fact counts for the next run", Judge: "fold", apply: credulous},
		{Name: "capacity counted twice", Judge: "capacity", swap: bend("schedule", doubled)},
		{Name: "a wish for resources is granted without room", Judge: "capacity", swap: bend("resize", doubled)},
		{Name: "maxUnavailable off by one", Judge: "budget", swap: bend("deployment", rolled("maxUnavailable"))},
		{Name: "an eviction asks no budget", Judge: "budget", heedless: true},
		{Name: "maxSurge off by one", Judge: "surge", swap: bend("deployment", rolled("maxSurge"))},
		{Name: "a gap in a node's feed is not seen", Judge: "settle", deafNodes: true},
		{Name: "a silent node is taken for dead", Judge: "forward", apply: hasty},
		{Name: "a restarted agent does not know what runs", Judge: "instance", forget: true},
		{Name: "a node that hears nobody begins what others may have", Judge: "instance", lonely: true},
		{Name: "a replica misses an event", Judge: "refold", miss: missed},
		{Name: "decisions on a stale view", Judge: "again", stale: true},
		{Name: "children's names collide", Judge: "names", swap: bend("replicaset", namesakes)},
		{Name: "garbage collection by name, not uid", Judge: "orphans", swap: bend("gc", byName)},
		{Name: "a pod is buried at its deadline", Judge: "buried", swap: bend("gc", impatient)},
		{Name: "one owner that is gone is enough", Judge: "buried", swap: bend("gc", strict)},
		{Name: "a finalizer is not waited for", Judge: "kept", swap: bend("gc", careless)},
		{Name: "pods that leave are taken for gone", Judge: "place", swap: bend("schedule", early)},
		{Name: "a Job runs one pod too many", Judge: "jobs", swap: bend("job", otherwise(crowded))},
		{Name: "an index gets two pods", Judge: "jobs", swap: bend("job", twins)},
		{Name: "a Job that is over makes pods", Judge: "jobs", swap: bend("job", restless)},
		{Name: "a DaemonSet leaves one node too many", Judge: "budget", swap: bend("daemonset", hurried)},
		{Name: "a node gets its next daemon too soon", Judge: "daemons", swap: bend("daemonset", forgetting)},
		{Name: "an ordered set is made all at once", Judge: "crews", swap: bend("statefulset", otherwise(inParallel))},
		{Name: "a set rolls all its pods at once", Judge: "crews", swap: bend("statefulset", otherwise(boundless))},
		{Name: "pods go for their equals", Judge: "preempt", swap: bend("schedule", conceited)},
		{Name: "pods go for one that has room", Judge: "preempt", swap: bend("schedule", greedy)},
		{Name: "a claim goes while pods use it", Judge: "claims", swap: bend("volume", eager), script: Storing},
		{Name: "a claim takes a volume that another has", Judge: "claims", swap: bend("volume", grasping), script: Storing},
		{Name: "a time has two Jobs", Judge: "timers", swap: bend("cronjob", twice), script: Timing},
		{Name: "a Job begins beside one that goes on", Judge: "timers", swap: bend("cronjob", otherwise(sociable)), script: Timing},
		{Name: "a CronJob that waits makes Jobs", Judge: "timers", swap: bend("cronjob", otherwise(unpaused)), script: Timing},
		{Name: "a CronJob keeps one Job too few", Judge: "timers", swap: bend("cronjob", otherwise(oblivious)), script: Timing},
		{Name: "wishes that land together do not see each other", Judge: "together", blind: true, script: Sharing},
		{Name: "a group that is lost is answered", Judge: "together", trusting: true, script: Sharing},
		{Name: "an answer from outside is taken for a wish", Judge: "quota", rash: true, script: Sharing},
		{Name: "a set makes pods beyond a quota", Judge: "quota", swap: bend("replicaset", unlimited), script: Sharing},
		{Name: "a quota tells what somebody wrote", Judge: "quota", swap: bend("quota", idle), script: Sharing},
		{Name: "an autoscaler goes beyond its bounds", Judge: "scaler", swap: bend("autoscale", otherwise(boundlessly)), script: Growing},
		{Name: "an autoscaler follows every dip", Judge: "scaler", swap: bend("autoscale", otherwise(nervous)), script: Growing},
		{Name: "a number that is too large ends the process", Judge: "panic", swap: bend("replicaset", brittle), script: Straining},
		{Name: "a large number takes as much memory", Judge: "cost", swap: bend("replicaset", lavish), script: Straining},
		{Name: "pods that nobody can make room for are looked at again at once", Judge: "spin", swap: bend("schedule", restive), script: Straining},
		{Name: "a CronJob forgets all that is too much at once", Judge: "contract", swap: bend("cronjob", thorough), script: Straining},
		{Name: "the times of @every slip", Judge: "timers", swap: bend("cronjob", otherwise(slipping)), script: Straining},
		{Name: "pods that are held back are placed", Judge: "place", swap: bend("schedule", ungated), script: Straining},
		{Name: "an eviction goes by what its budget said once", Judge: "budget", outdated: true, script: Straining},
		{Name: "nodes are where they were when they joined", Judge: "place", swap: bend("schedule", homesick), script: Straining},
		{Name: "a set makes pods larger than they may be", Judge: "limits", swap: bend("replicaset", unranged), script: Straining},
		{Name: "a set keeps pods that bear its labels no more", Judge: "settle", swap: bend("replicaset", clinging), script: Straining},
		{Name: "a verdict every time", Judge: "verdict", swap: bend("schedule", talkative)},
		{Name: "a large change is left half by a crash", Judge: "whole", half: true},
		{Name: "a cut forgets more than was cut", Judge: "expects", apply: forgetful},
		{Name: "events without a cause", Judge: "cause", record: func(e *events.Envelope) { e.Cause = 0 }},
		{Name: "decisions by what was decided before", Judge: "recheck", swap: func(r reconcilers.Reconciler) reconcilers.Reconciler { return bend("replicaset", moody())(r) }},
	}
}

// lawless is a fold that does not know that a lease can be over.
func lawless(s projections.State, e events.Envelope) (projections.State, []projections.Change) {
	e.Epoch = 0
	return projections.Apply(s, e)
}

// credulous is a fold that reads an end that is told late as that of the run
// that began meanwhile.
func credulous(s projections.State, e events.Envelope) (projections.State, []projections.Change) {
	if e.Subject.Class() != "seen" {
		return projections.Apply(s, e)
	}
	var b events.Seen
	read(e.Body, &b)
	for _, p := range b.Pods {
		row, ok := s.Pod(p.Namespace, p.Name)
		for i, f := range p.Facts {
			if ok && f.Kind == events.FactReady {
				c, _ := row.Container(f.Container)
				p.Facts[i].Run = max(c.Run, f.Run)
			}
			if ok && f.Kind == events.FactExited {
				c, _ := row.Container(f.Container)
				p.Facts[i].Run = max(c.Run, f.Run)
			}
		}
	}
	e.Body = events.MustBody(b)
	return projections.Apply(s, e)
}

// hasty is a fold that takes the pods from a node that fell silent, so that
// they are given to others.
func hasty(s projections.State, e events.Envelope) (projections.State, []projections.Change) {
	s, changes := projections.Apply(s, e)
	if e.Type != events.TypeOf(events.Nodes, events.VerbStatus) {
		return s, changes
	}
	var b events.NodeReported
	read(e.Body, &b)
	node := nodeOf(e)
	var taken events.Assigned
	for p := range s.PodsOn(node) {
		taken.Withdrawn = append(taken.Withdrawn, events.Ref{Key: p.Key, UID: p.UID})
	}
	if b.Ready || len(taken.Withdrawn) == 0 {
		return s, changes
	}
	e.Subject, e.Type, e.Body = events.AssignSubject(node), events.PodsAssigned, events.MustBody(taken)
	s, more := projections.Apply(s, e)
	return s, append(changes, more...)
}

// forgetful is a fold that takes all that happened for cut off.
func forgetful(s projections.State, e events.Envelope) (projections.State, []projections.Change) {
	if e.Type == events.HistoryCut {
		e.Body = events.MustBody(events.Cut{First: e.Seq})
	}
	return projections.Apply(s, e)
}

// missed is a replica whose fold skips a pod's facts now and then.
func missed(r *replica, e events.Envelope) bool {
	return e.Subject.Class() == "seen" && r.name == "cp0" && e.Seq%7 == 0
}

// decide is a reconciler's Decide with something wrong about it.
type decide func(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision

// bent is a reconciler that decides wrongly.
type bent struct {
	reconcilers.Reconciler
	decide decide
}

// Decide implements reconcilers.Reconciler.
func (b bent) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	return b.decide(b.Reconciler, v, k, now)
}

func bend(name string, d decide) func(reconcilers.Reconciler) reconcilers.Reconciler {
	return func(r reconcilers.Reconciler) reconcilers.Reconciler {
		if r.Name() != name {
			return r
		}
		return bent{r, d}
	}
}

// otherwise decides as if another spec stood there.
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

// pretend is a view in which an event happened that did not.
func pretend(v reconcilers.View, e events.Envelope) reconcilers.View {
	e.Seq, e.Time, e.Version, e.Epoch = v.Seq, v.Time, 1, v.Epoch
	v, _ = projections.Apply(v, e)
	return v
}

// doubled sees twice what every node has.
func doubled(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	for o := range v.List(events.Nodes, "") {
		n, ok := v.Node(o.Key.Name)
		if !ok {
			continue
		}
		facts := n.Facts
		facts.Allocatable = map[string]string{"cpu": "4", "memory": "2Gi", "pods": "12"}
		v = pretend(v, events.Envelope{Subject: events.SeenSubject(n.Name), Type: events.PodsSeen, Actor: events.NodeActor(n.Name),
			Body: events.MustBody(events.Seen{Node: &facts})})
	}
	return r.Decide(v, k, now)
}

// conceited takes pods that wait for more important than they are.
func conceited(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	for p := range v.PodsOn("") {
		o, ok := v.Get(p.Key)
		if !ok || projections.PriorityOf(o.PodSpec()) == 0 {
			continue
		}
		b := reconcilers.Same(o)
		b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) {
			reconcilers.Field(object, "spec")["priority"] = json.Number("99")
		})
		c := reconcilers.Change(o, b)
		v = pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body})
	}
	return r.Decide(v, k, now)
}

// greedy sees half of what every node has, and so has pods go that are in nobody's way.
func greedy(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	for o := range v.List(events.Nodes, "") {
		if n, ok := v.Node(o.Key.Name); ok && len(n.Facts.Allocatable) > 0 {
			facts := n.Facts
			facts.Allocatable = map[string]string{"cpu": "1300m", "memory": "1Gi", "pods": "8"}
			v = pretend(v, events.Envelope{Subject: events.SeenSubject(n.Name), Type: events.PodsSeen, Actor: events.NodeActor(n.Name),
				Body: events.MustBody(events.Seen{Node: &facts})})
		}
	}
	return r.Decide(v, k, now)
}

// rolled sees one more than a field of the strategy says.
func rolled(field string) decide {
	return func(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
		o, ok := v.Get(k)
		if !ok || o.Deletion != nil || !strings.Contains(string(o.Raw), "rollingUpdate") {
			return r.Decide(v, k, now)
		}
		var w workload
		read(o.Raw, &w)
		said := w.version(0)
		more := map[string]int{"maxSurge": said.surge + 1, "maxUnavailable": said.away + 1}[field]
		b := reconcilers.Same(o)
		b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) {
			strategy := reconcilers.Field(reconcilers.Field(object, "spec"), "strategy")
			reconcilers.Field(strategy, "rollingUpdate")[field] = json.Number(itoa(more))
		})
		c := reconcilers.Change(o, b)
		d := r.Decide(pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body}), k, now)
		for i, x := range d.Events {
			if x.Subject == c.Subject {
				d.Events[i].Body = honest(x.Body, w)
			}
		}
		return d
	}
}

// honest is a deployment's new whole with the strategy that people wrote.
func honest(body json.RawMessage, w workload) json.RawMessage {
	var b events.Changed
	read(body, &b)
	b.Object = reconcilers.Edit(b.Object, func(object map[string]any) {
		strategy := reconcilers.Field(reconcilers.Field(object, "spec"), "strategy")
		ru := reconcilers.Field(strategy, "rollingUpdate")
		ru["maxSurge"], ru["maxUnavailable"] = w.Spec.Strategy.RollingUpdate.MaxSurge, w.Spec.Strategy.RollingUpdate.MaxUnavailable
	})
	return events.MustBody(b)
}

// namesakes names children by a counter that is cut off too soon.
func namesakes(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	var out []reconcilers.Draft
	for _, x := range d.Events {
		if x.Child != nil {
			c := *x.Child
			c.Key.Name = c.Key.Name[:len(c.Key.Name)-5] + "aaaa" + string(rune('a'+len(out)))
			x = reconcilers.Create(c.Key, c.Body)
		}
		out = append(out, x)
	}
	d.Events = out
	return d
}

// byName leaves a child alone whose owner's name is there, whoever bears it.
func byName(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if ok && o.Owner != nil && o.Deletion == nil {
		if _, there := v.Get(events.Key{Resource: o.Owner.Resource, Namespace: k.Namespace, Name: o.Owner.Name}); there {
			return reconcilers.Decision{}
		}
	}
	return r.Decide(v, k, now)
}

// impatient takes a deadline that passed for a proof.
func impatient(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || k.Resource != events.Pods || o.Deletion == nil {
		return r.Decide(v, k, now)
	}
	if at := o.Deletion.Deadline(); now.Before(at) {
		d := r.Decide(v, k, now)
		d.WakeAt = reconcilers.Sooner(d.WakeAt, at)
		return d
	}
	return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Remove(o)}}
}

// strict asks what has two owners to go when one of them is gone.
func strict(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	if o, ok := v.Get(k); ok && o.Deletion == nil && len(o.Owners) > 1 && len(d.Events) == 1 {
		return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Remove(o)}}
	}
	return d
}

// careless removes what only its finalizers keep.
func careless(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	if o, ok := v.Get(k); ok && o.Deletion != nil && len(d.Because) > 0 && d.Because[0].Code == "FinalizersRemaining" {
		return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Remove(o)}}
	}
	return d
}

// early does not see who a pod is, and what it wants, once it is to go.
func early(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	for o := range v.List(events.Pods, "") {
		if o.Deletion == nil {
			continue
		}
		pod := projections.As[*corev1.Pod](o).DeepCopy()
		pod.Labels, pod.Spec.Affinity = nil, nil
		b := reconcilers.Same(o)
		b.Object, b.Template = events.MustBody(pod), ""
		c := reconcilers.Change(o, b)
		v = pretend(v, events.Envelope{Subject: c.Subject, Type: c.Type, Body: c.Body})
	}
	return r.Decide(v, k, now)
}

// talkative says why pods wait whenever it is asked.
func talkative(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := r.Decide(v, k, now)
	for p := range v.PodsOn("") {
		o, ok := v.Get(p.Key)
		was, said := v.Verdict(p.Key)
		if ok && said && len(d.Events) == 0 && was.UID == o.UID {
			d.Events = append(d.Events, reconcilers.Conclude(o, was.Reasons))
		}
	}
	return d
}

// moody does nothing every fifth time.
func moody() decide {
	asked := 0
	return func(r reconcilers.Reconciler, v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
		if asked++; asked%5 == 0 {
			return reconcilers.Decision{WakeAt: now.Add(time.Second)}
		}
		return r.Decide(v, k, now)
	}
}
