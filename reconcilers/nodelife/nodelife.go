// Package nodelife turns what is known of a node into taints, and evicts the
// pods that do not tolerate them: at once, or after their tolerationSeconds.
//
// Pods that say nothing about a silent or unready node are given five minutes,
// which is what Kubernetes' admission writes into every pod; here the template
// stays as it was written and the rule is applied.
package nodelife

import (
	"encoding/json"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// DefaultToleration is how long a pod that says nothing stays on a node that is
// silent or not ready.
const DefaultToleration = 300 * time.Second

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "nodelife" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 5 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource { return []events.Resource{events.Nodes, events.Pods} }

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{
		events.TypeOf(events.Nodes, events.VerbChanged),
		events.TypeOf(events.Pods, events.VerbDeletionRequested),
	}
}

// Keys implements reconcilers.Reconciler: a node itself, and the node that a pod
// was just given to, which may have a taint by now.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	switch {
	case c.Key.Resource == events.Nodes && c.After != nil:
		return []events.Key{c.Key}
	case c.PodAfter == nil || c.PodAfter.Node == "" || c.PodBefore != nil && c.PodBefore.Node == c.PodAfter.Node:
		return nil
	}
	k := events.Key{Resource: events.Nodes, Name: c.PodAfter.Node}
	if n, ok := v.Get(k); !ok || !slices.ContainsFunc(taintsOf(n), expels) {
		return nil
	}
	return []events.Key{k}
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil {
		return reconcilers.Decision{}
	}
	row, _ := v.Node(k.Name) // nil: nobody has heard of it yet
	have := taintsOf(o)
	want := wanted(o, row, have)
	if !slices.EqualFunc(have, want, func(a, b corev1.Taint) bool { return sameTaint(a, b) && (a.TimeAdded == nil) == (b.TimeAdded == nil) }) {
		// The evictions follow from the taints, when they are in the log.
		return reconcilers.Decision{Events: []reconcilers.Draft{retaint(o, want)}}
	}
	p := &eviction{v: v, o: o, now: now}
	for _, t := range have {
		if expels(t) {
			p.taints = append(p.taints, t)
		}
	}
	p.evict()
	return p.d
}

func taintsOf(o *projections.Object) []corev1.Taint {
	return projections.As[*corev1.Node](o).Spec.Taints
}

func expels(t corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute }

// own tells whether a taint is decided here: others are people's.
func own(t corev1.Taint) bool {
	switch t.Key {
	case corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeUnschedulable, corev1.TaintNodeDiskPressure:
		return true
	}
	return false
}

func sameTaint(a, b corev1.Taint) bool {
	return a.Key == b.Key && a.Value == b.Value && a.Effect == b.Effect
}

// wanted is people's taints, and then those that the node's state asks for. A
// taint that is there already keeps its time. One of people's that expels gets
// the time of its change, so that later changes of the node do not renew it.
func wanted(o *projections.Object, row *projections.Node, have []corev1.Taint) []corev1.Taint {
	var out []corev1.Taint
	for _, t := range have {
		if own(t) {
			continue
		}
		if expels(t) && t.TimeAdded == nil {
			t.TimeAdded = second(o.Changed.Time)
		}
		out = append(out, t)
	}
	var turned time.Time
	if row != nil {
		turned = row.Since.Time
	}
	for _, t := range derived(o, row) {
		if i := slices.IndexFunc(have, func(h corev1.Taint) bool { return sameTaint(h, t) }); i >= 0 {
			t = have[i]
		} else if expels(t) {
			t.TimeAdded = second(turned)
		}
		out = append(out, t)
	}
	return out
}

// second is a time as taints write it.
func second(t time.Time) *metav1.Time {
	at := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &at
}

func derived(o *projections.Object, row *projections.Node) []corev1.Taint {
	var out []corev1.Taint
	if projections.As[*corev1.Node](o).Spec.Unschedulable {
		out = append(out, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	if row != nil && row.Report.UID == o.UID && slices.ContainsFunc(row.Facts.Conditions, pressed) {
		out = append(out, corev1.Taint{Key: corev1.TaintNodeDiskPressure, Effect: corev1.TaintEffectNoSchedule})
	}
	switch {
	case row == nil || row.Report.UID != o.UID:
		// It has never been heard of: nothing runs there that could be evicted.
		return append(out, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
	case row.Report.Ready:
		return out
	}
	key := corev1.TaintNodeNotReady
	if row.Report.Reason == "NodeStatusUnknown" {
		key = corev1.TaintNodeUnreachable
	}
	return append(out, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute})
}

func pressed(c events.NodeCondition) bool { return c.Type == events.ConditionDisk && c.Status }

// retaint changes the taints alone; the generation counts people's changes.
func retaint(o *projections.Object, taints []corev1.Taint) reconcilers.Draft {
	b := reconcilers.Same(o)
	b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) {
		spec := reconcilers.Field(object, "spec")
		if len(taints) == 0 {
			delete(spec, "taints")
			return
		}
		spec["taints"] = json.RawMessage(events.MustBody(taints))
	})
	return reconcilers.Change(o, b)
}

// eviction looks at the pods of one node.
type eviction struct {
	v      reconcilers.View
	o      *projections.Object
	now    time.Time
	taints []corev1.Taint // that expel
	d      reconcilers.Decision
}

func (p *eviction) evict() {
	if len(p.taints) == 0 {
		return
	}
	for row := range p.v.PodsOn(p.o.Key.Name) {
		pod, ok := p.v.Get(row.Key)
		if !ok || pod.Deletion != nil || !row.Holds(pod) {
			continue
		}
		at, taint, evicted := p.until(pod)
		switch {
		case !evicted:
		case at.After(p.now):
			p.d.WakeAt = reconcilers.Sooner(p.d.WakeAt, at)
		case len(p.d.Events) >= reconcilers.MaxSteps:
			p.d.More = true
			return
		default:
			p.d.Events = append(p.d.Events, reconcilers.RequestDeletion(pod, events.DeletionRequested{Grace: reconcilers.GraceOf(pod), Disrupts: events.ByTaint}))
			p.d.Because = append(p.d.Because, events.Reason{Code: "TaintEviction", About: pod.Key, What: taint.ToString(),
				Have: "since " + since(taint).UTC().Format(time.RFC3339)})
		}
	}
}

// until is when a pod has to leave, and because of which taint; evicted is
// false when it tolerates all of them for ever.
func (p *eviction) until(pod *projections.Object) (at time.Time, by corev1.Taint, evicted bool) {
	for _, t := range p.taints {
		wait, forever := tolerated(pod.PodSpec().Tolerations, t)
		if forever {
			continue
		}
		if leave := since(t).Add(wait); !evicted || leave.Before(at) {
			at, by, evicted = leave, t, true
		}
	}
	return at, by, evicted
}

// since is when a taint came into force. All that expel carry it.
func since(t corev1.Taint) time.Time {
	if t.TimeAdded == nil {
		return time.Time{}
	}
	return t.TimeAdded.Time
}

// tolerated is the time that the first matching toleration grants, as with Kubernetes;
// forever when that one sets none.
func tolerated(tolerations []corev1.Toleration, t corev1.Taint) (wait time.Duration, forever bool) {
	i := slices.IndexFunc(tolerations, func(o corev1.Toleration) bool { return projections.Tolerates(&o, &t) })
	switch {
	case i < 0 && own(t):
		return DefaultToleration, false
	case i < 0:
		return 0, false
	case tolerations[i].TolerationSeconds == nil:
		return 0, true
	}
	return events.Seconds(max(*tolerations[i].TolerationSeconds, 0)), false
}
