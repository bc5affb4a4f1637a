// Package daemonset keeps a pod of a template on every node that suits it: on those
// that come, and away from those that suit no longer. A new template is rolled out
// node by node, within maxUnavailable or maxSurge, or as people delete pods.
//
// Which node a pod is for stands in its node affinity, so that the scheduler gives it
// its node as any other: what it lacks there is told as of any other.
package daemonset

import (
	"bytes"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/revision"
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct {
	// Guards are asked about pods beside limits and quotas.
	Guards birth.Guards
}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "daemonset" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 4 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return append(birth.Reads(), events.DaemonSets, events.Revisions, events.Nodes, events.Pods)
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return append(revision.Writes(),
		events.TemplateStored,
		events.TypeOf(events.Pods, events.VerbCreated),
		events.TypeOf(events.Pods, events.VerbChanged),
		events.TypeOf(events.Pods, events.VerbDeletionRequested),
		events.TypeOf(events.DaemonSets, events.VerbStatusWritten),
		events.TypeOf(events.DaemonSets, events.VerbVerdict),
	)
}

// Keys implements reconcilers.Reconciler. The fold touches a DaemonSet's row with every
// change of its pods, and of a node that makes a difference to it.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	namespace, eases := birth.Eases(c)
	switch {
	case c.Key.Resource == events.DaemonSets && c.After != nil:
		return []events.Key{c.Key}
	case c.Key.Resource == events.Pods && c.After != nil && !c.After.Controlled():
		return reconcilers.Wooers(v, events.DaemonSets, c.After, selectorOf)
	case c.Key.Resource == events.Pods && told(c):
		return []events.Key{c.After.OwnerKey()}
	case c.Key.Resource == events.Revisions:
		return historian(v, c)
	case eases:
		return barredSets(v, namespace)
	}
	return nil
}

// told tells whether a client wrote another status of a DaemonSet's pod: that moves no tally.
func told(c projections.Change) bool {
	return c.Before != nil && c.After != nil && c.After.Owner != nil && c.After.Owner.Resource == events.DaemonSets && !bytes.Equal(c.Before.Status, c.After.Status)
}

// historian are the DaemonSets that a change of a revision concerns: its owner, or who may adopt it.
func historian(v reconcilers.View, c projections.Change) []events.Key {
	o := c.After
	if o == nil {
		o = c.Before
	}
	switch {
	case o.Owner != nil && o.Owner.Resource == events.DaemonSets:
		return []events.Key{o.OwnerKey()}
	case c.After != nil && !o.Controlled():
		return reconcilers.Wooers(v, events.DaemonSets, o, selectorOf)
	}
	return nil
}

func selectorOf(o *projections.Object) (labels.Selector, bool) {
	spec := projections.As[*appsv1.DaemonSet](o).Spec.Selector
	s, err := metav1.LabelSelectorAsSelector(spec)
	return s, err == nil && spec != nil && !s.Empty()
}

// Decide implements reconcilers.Reconciler.
func (r Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil {
		return reconcilers.Decision{} // its children are the garbage collector's
	}
	selector, ok := selectorOf(o)
	if !ok {
		return reconcilers.Decision{Because: []events.Reason{{Code: "InvalidSelector", About: k}}}
	}
	p := &pass{v: v, o: o, ds: projections.As[*appsv1.DaemonSet](o), now: now, guards: r.Guards}
	if p.claim(selector) || !p.settle() {
		return p.d // who is whose, and which template is the present one, is seen with that in place
	}
	p.present = v.UpToDate(o)
	p.survey()
	p.manage()
	if len(p.d.Events) == 0 {
		p.tidy()
	}
	if len(p.d.Events) == 0 && p.ds.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
		p.roll() // what was begun comes first
	}
	return p.d
}

// pass is one decision under way.
type pass struct {
	v        reconcilers.View
	o        *projections.Object
	ds       *appsv1.DaemonSet
	now      time.Time
	guards   birth.Guards
	desk     *birth.Desk                   // before the pods that it makes
	shaped   *corev1.PodTemplateSpec       // as they are made
	hash     events.Hash                   // of the shaped template; empty until it is asked for
	born     uint64                        // children ever, those of this pass too
	revision string                        // the hash of the present template's revision
	present  func(projections.Daemon) bool // a pod is of the present template

	shut  bool // no pod may be made now
	quiet bool // a verdict of before was taken back

	places []*place // by name
	want   int      // how many of them shall have a pod
	d      reconcilers.Decision
}

// place is a node with what it has and shall have.
type place struct {
	name      string
	run, stay bool // it shall have a pod; what it has may stay
	pods      []projections.Daemon
}

// claim lets go of pods whose labels match no longer, and adopts orphans that do.
func (p *pass) claim(selector labels.Selector) bool {
	matches := func(pod *projections.Object) bool { return selector.Matches(labels.Set(pod.PodLabels())) }
	if p.o.Tally.Apart > 0 { // all others have the labels that they were made or adopted with
		for pod := range p.v.Children(p.o.UID) {
			if pod.Key.Resource == events.Pods && pod.Deletion == nil && !matches(pod) && !p.d.Emit(reconcilers.Disown(pod, reconcilers.By(p.o.UID))) {
				break
			}
		}
	}
	for pod := range p.v.Orphans(events.Pods, p.o.Key.Namespace) {
		row, ok := p.v.PodOf(pod.Key)
		if ok && pod.Deletion == nil && matches(pod) && !(projections.Daemon{Object: pod, Pod: row}).Over() && !p.d.Emit(reconcilers.Adopt(pod, p.o)) {
			break
		}
	}
	for _, d := range revision.Of(p.v, p.o).Adopt(selector) {
		if !p.d.Emit(d) {
			break
		}
	}
	return len(p.d.Events) > 0
}

// survey puts the pods on their nodes. A pod that waits for a node which is gone
// waits for ever: it has to go.
func (p *pass) survey() {
	on := p.v.Daemons(p.o)
	for node := range p.v.List(events.Nodes, "") {
		at := &place{name: node.Key.Name, pods: on[node.Key.Name]}
		if at.run, at.stay = projections.DaemonOn(p.ds, node); at.run {
			p.want++
		}
		p.places = append(p.places, at)
		delete(on, at.name)
	}
	for pod := range p.v.Children(p.o.UID) {
		if len(on) == 0 {
			return
		}
		row, ok := p.v.PodOf(pod.Key)
		if !ok || row.Node != "" || pod.Deletion != nil { // what is on a node that is gone is the garbage collector's
			continue
		}
		if _, nowhere := on[projections.MeantFor(pod, row)]; nowhere && !p.d.Emit(reconcilers.RequestDeletion(pod, events.DeletionRequested{})) {
			return
		}
	}
}

// remove asks a pod to go.
func (p *pass) remove(d projections.Daemon) bool {
	return p.d.Emit(reconcilers.RequestDeletion(d.Object, events.DeletionRequested{Grace: reconcilers.GraceOf(d.Object)}))
}

// barredSets are the DaemonSets of a namespace, or of all, that could not make pods.
func barredSets(v reconcilers.View, namespace string) []events.Key {
	var out []events.Key
	for o := range v.List(events.DaemonSets, namespace) {
		if birth.Barred(v, o) != "" {
			out = append(out, o.Key)
		}
	}
	return out
}
