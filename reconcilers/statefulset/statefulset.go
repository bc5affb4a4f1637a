// Package statefulset keeps pods with an identity: web-0, web-1 and so on, each with
// its name, its host name and what it stores, made and taken away one after the other.
//
// It follows Kubernetes. That there are never two of one identity needs nothing here:
// a name is free only once the node of the pod before has said that it stopped, or a
// person has said that nobody is to wait for that.
package statefulset

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
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
func (Reconciler) Name() string { return "statefulset" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 5 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return append(birth.Reads(), events.StatefulSets, events.Revisions, events.Pods, events.Claims, events.StorageClasses)
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return append(revision.Writes(),
		events.TemplateStored,
		events.TypeOf(events.Pods, events.VerbCreated),
		events.TypeOf(events.Pods, events.VerbChanged),
		events.TypeOf(events.Pods, events.VerbDeletionRequested),
		events.TypeOf(events.Claims, events.VerbCreated),
		events.TypeOf(events.Claims, events.VerbChanged),
		events.TypeOf(events.StatefulSets, events.VerbStatus),
		events.TypeOf(events.StatefulSets, events.VerbVerdict))
}

// Keys implements reconcilers.Reconciler. The fold touches a set's row with every
// change of what it owns. A pod of nobody, or one that is gone, concerns the set whose
// name its own begins with: it may be adopted, or a name is free now.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	namespace, eases := birth.Eases(c)
	switch r := c.Key.Resource; {
	case r == events.StatefulSets && c.After != nil:
		return []events.Key{c.Key}
	case r == events.Pods && (c.After == nil || !c.After.Controlled()):
		return named(v, c.Key)
	case r == events.Claims && (c.After == nil || c.After.Deletion != nil):
		return claiming(v, c.Key)
	case r == events.Revisions && c.After != nil && !c.After.Controlled():
		return reconcilers.Wooers(v, events.StatefulSets, c.After, selectorOf)
	case eases:
		return short(v, namespace)
	}
	return nil
}

// named is the set whose pod has this key, going by the name.
func named(v reconcilers.View, pod events.Key) []events.Key {
	set, _, ok := projections.Ordinal(pod.Name)
	k := events.Key{Resource: events.StatefulSets, Namespace: pod.Namespace, Name: set}
	if !ok {
		return nil
	}
	if _, there := v.Get(k); !there {
		return nil
	}
	return []events.Key{k}
}

// short are the sets of a namespace, or of all, that lack pods: those whom a change of
// what bars pods concerns.
func short(v reconcilers.View, namespace string) []events.Key {
	var out []events.Key
	for o := range v.List(events.StatefulSets, namespace) {
		if first, end := projections.Ordinals(projections.As[*appsv1.StatefulSet](o)); o.Tally.Pods < end-first {
			out = append(out, o.Key)
		}
	}
	return out
}

func selectorOf(o *projections.Object) (labels.Selector, bool) {
	spec := projections.As[*appsv1.StatefulSet](o).Spec.Selector
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
	p := &pass{v: v, o: o, set: projections.As[*appsv1.StatefulSet](o), now: now, guards: r.Guards}
	p.ordered = p.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
	p.history = revision.Of(v, o)
	if p.claim(selector) {
		return p.d // who its pods are is seen with the adopted ones in place
	}
	p.survey()
	if p.settle() {
		p.move()
		p.tidy()
	}
	return p.d
}

// pass is one decision under way.
type pass struct {
	v       reconcilers.View
	o       *projections.Object
	set     *appsv1.StatefulSet
	now     time.Time
	guards  birth.Guards
	ordered bool // one after the other

	history         revision.History
	current, update string                   // the revisions between which the set is
	first           int                      // the lowest ordinal
	size            int                      // how many pods there shall be
	replicas        []*projections.SetMember // by ordinal, nil where there is none; of those that are missing at the end some
	condemned       []*projections.SetMember // beyond the ordinals, the highest first

	desk    *birth.Desk          // before the pods that it makes; nil while it makes none
	stores  *birth.Desk          // before their claims, likewise
	refused bool                 // something was not made: a verdict says why
	molds   map[string]*mold     // by revision
	stored  map[events.Hash]bool // templates that this pass stores
	d       reconcilers.Decision
}

// waits says what has to happen to a pod before the set goes on.
func (p *pass) waits(m *projections.SetMember, code events.Code, need string) {
	p.d.Because = append(p.d.Because, events.Reason{Code: code, About: m.Pod.Key, What: "pod", Need: need})
}
