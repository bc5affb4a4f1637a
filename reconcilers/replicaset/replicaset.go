// Package replicaset keeps as many pods of a template as its object asks for:
// it adopts and releases pods by their labels, makes those that are missing, and
// asks for the deletion of those that are too many, the least useful first.
//
// ReplicationControllers are the same with a plainer selector, which may change.
package replicaset

import (
	"encoding/json"
	"iter"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// The back-off between pods that failed as a whole or came to their end, as those
// do whose containers say so of themselves: the first waits failBase, each further
// one twice as long, up to failMax.
const (
	failBase = 10 * time.Second
	failMax  = 5 * time.Minute
)

// maxPrefix is how much of an owner's name its pods' names keep, so that with
// dash and suffix they fit into a DNS label.
const maxPrefix = 63 - 6

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct {
	// Guards are asked about pods beside limits and quotas.
	Guards birth.Guards
}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "replicaset" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 8 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return append(birth.Reads(), events.ReplicaSets, events.Controllers, events.Pods)
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{
		events.TemplateStored,
		events.TypeOf(events.Pods, events.VerbCreated),
		events.TypeOf(events.Pods, events.VerbChanged),
		events.TypeOf(events.Pods, events.VerbDeletionRequested),
		events.TypeOf(events.ReplicaSets, events.VerbVerdict),
		events.TypeOf(events.Controllers, events.VerbVerdict),
		events.TypeOf(events.ReplicaSets, events.VerbStatusWritten),
		events.TypeOf(events.Controllers, events.VerbStatusWritten),
	}
}

// Keys implements reconcilers.Reconciler. The fold touches a ReplicaSet's row
// with every change of its pods, so only orphans need a search.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	namespace, eases := birth.Eases(c)
	switch {
	case (c.Key.Resource == events.ReplicaSets || c.Key.Resource == events.Controllers) && c.After != nil:
		return []events.Key{c.Key}
	case c.Key.Resource == events.Pods && c.After != nil && !c.After.Controlled():
		return append(reconcilers.Wooers(v, events.ReplicaSets, c.After, selectorOf), reconcilers.Wooers(v, events.Controllers, c.After, selectorOf)...)
	case eases:
		return short(v, namespace)
	}
	return nil
}

// Decide implements reconcilers.Reconciler.
func (r Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil {
		return reconcilers.Decision{} // its children are the garbage collector's
	}
	set := setOf(o)
	selector, ok := selectorOf(o)
	if !ok || set.template == nil {
		return reconcilers.Decision{Because: []events.Reason{{Code: "InvalidSelector", About: k}}}
	}
	p := &pass{v: v, o: o, set: set, selector: selector, now: now, guards: r.Guards}
	n := o.Tally.Pods
	if !p.plain() || n > set.want {
		p.survey() // one by one
		n = len(p.active)
	}
	switch missing := set.want - n; {
	case missing > 0:
		p.create(missing)
	case missing < 0 && len(p.d.Events) > 0:
		p.d.More = true // one that was just adopted may be the one to go, and no decision writes a pod twice
	case missing < 0:
		p.shrink(-missing)
	default:
		birth.Clear(&p.d, p.v, p.o)
	}
	p.restate()
	return p.d
}

// plain tells whether the tally says all there is to know: nobody to adopt or
// to release, and no pod that came to its end. A large set would else be walked with
// every change of a pod of its.
func (p *pass) plain() bool {
	if p.o.Tally.Failed > 0 || p.o.Tally.Apart > 0 || p.o.Key.Resource == events.Controllers {
		return false // the selector of a ReplicationController may be another than its pods were made by
	}
	for range p.adoptable() {
		return false
	}
	return true
}

// set is what an object of either kind asks for.
type set struct {
	want     int
	template *corev1.PodTemplateSpec // shared: never change it
}

func setOf(o *projections.Object) set {
	out := set{want: 1}
	var n *int32
	switch v := o.Typed().(type) {
	case *appsv1.ReplicaSet:
		n, out.template = v.Spec.Replicas, &v.Spec.Template
	case *corev1.ReplicationController:
		n, out.template = v.Spec.Replicas, v.Spec.Template
	}
	if n != nil {
		out.want = int(*n)
	}
	return out
}

func selectorOf(o *projections.Object) (labels.Selector, bool) {
	switch v := o.Typed().(type) {
	case *appsv1.ReplicaSet:
		s, err := metav1.LabelSelectorAsSelector(v.Spec.Selector)
		return s, err == nil && v.Spec.Selector != nil && !s.Empty()
	case *corev1.ReplicationController:
		return labels.SelectorFromSet(v.Spec.Selector), len(v.Spec.Selector) > 0
	}
	return nil, false
}

// pass is one decision under way.
type pass struct {
	v        reconcilers.View
	o        *projections.Object
	set      set
	selector labels.Selector
	now      time.Time
	guards   birth.Guards
	desk     *birth.Desk             // before the pods that it makes
	shaped   *corev1.PodTemplateSpec // as they are made

	active   []member // count towards the wish
	failed   int      // failed as a whole or came to their end, and still kept
	lastFail time.Time
	d        reconcilers.Decision
}

type member struct {
	o *projections.Object
	p *projections.Pod
}

// survey sorts the pods, releases those whose labels no longer match, and
// adopts matching orphans.
func (p *pass) survey() {
	for pod := range p.v.Children(p.o.UID) {
		if pod.Key.Resource != events.Pods {
			continue
		}
		if pod.Deletion == nil && !p.matches(pod) {
			p.d.Emit(reconcilers.Disown(pod, reconcilers.By(p.o.UID)))
			continue
		}
		p.count(pod)
	}
	for pod := range p.adoptable() {
		p.d.Emit(reconcilers.Adopt(pod, p.o))
		p.count(pod)
	}
}

// adoptable walks the pods of nobody that match and still run, or will.
func (p *pass) adoptable() iter.Seq[*projections.Object] {
	return func(yield func(*projections.Object) bool) {
		for pod := range p.v.Orphans(events.Pods, p.o.Key.Namespace) {
			if pod.Deletion != nil || !p.matches(pod) {
				continue
			}
			if row, ok := p.v.PodOf(pod.Key); ok && !over(pod, row) && !yield(pod) {
				return
			}
		}
	}
}

func (p *pass) matches(pod *projections.Object) bool {
	return p.selector.Matches(labels.Set(pod.PodLabels()))
}

// over tells whether a pod no longer counts: nothing of it will run again.
func over(o *projections.Object, row *projections.Pod) bool {
	return !row.Stopped.IsZero() || row.Failed != nil || row.Finished(o)
}

func (p *pass) count(pod *projections.Object) {
	row, ok := p.v.PodOf(pod.Key)
	if !ok || pod.Deletion != nil {
		return
	}
	if over(pod, row) {
		if at, over := row.OverAt(pod); over {
			p.failed++
			if at.After(p.lastFail) {
				p.lastFail = at
			}
		}
		return
	}
	p.active = append(p.active, member{pod, row})
}

// create makes the missing pods, unless pods of this set come to their end again
// and again: then the next one waits.
func (p *pass) create(missing int) {
	if wait := p.backoff(); !wait.IsZero() {
		p.d.WakeAt = wait
		p.d.Because = append(p.d.Because, events.Reason{Code: "BackOff", About: p.o.Key, What: "pods",
			Need: strconv.Itoa(missing), Have: strconv.Itoa(p.failed) + " failed"})
		return
	}
	p.desk = birth.Before(p.v, p.o, p.guards)
	hash, ok := p.template()
	if !ok {
		return
	}
	if p.desk.Open() {
		birth.Clear(&p.d, p.v, p.o)
	}
	counter := p.o.Born
	for ; missing > 0; counter++ {
		k := events.Key{Resource: events.Pods, Namespace: p.o.Key.Namespace, Name: p.name(counter)}
		if _, taken := p.v.Get(k); taken {
			continue // somebody else's pod; names of one set never repeat among 27⁵
		}
		if p.barred(k) {
			return
		}
		if !p.desk.Bear(&p.d, k, p.child(k, hash), func() events.Object { return p.pod(k) }, p.now) {
			return
		}
		missing--
	}
}

func (p *pass) backoff() time.Time {
	if p.failed == 0 {
		return time.Time{}
	}
	wait := failBase << min(p.failed-1, 10)
	if until := p.lastFail.Add(min(wait, failMax)); until.After(p.now) {
		return until
	}
	return time.Time{}
}

// template is the hash of the pods' template, stored first when the log does
// not have it.
func (p *pass) template() (events.Hash, bool) {
	own := p.set.template
	p.shaped = p.desk.Template(own)
	if p.o.Template != nil && p.shaped == own {
		return p.o.Template.Hash, true
	}
	raw := events.MustBody(p.shaped)
	h := events.HashOf(raw)
	if _, ok := p.v.Template(h); ok {
		return h, true
	}
	return h, p.d.Emit(reconcilers.StoreTemplate(raw))
}

func (p *pass) prefix() string { return p.o.Key.Name[:min(len(p.o.Key.Name), maxPrefix)] + "-" }

func (p *pass) name(counter uint64) string {
	return p.prefix() + events.ChildSuffix(p.o.UID, counter)
}

// child is a pod as its template by hash and what is its own.
func (p *pass) child(k events.Key, hash events.Hash) events.Created {
	type meta struct {
		GenerateName string `json:"generateName"`
		Name         string `json:"name"`
		Namespace    string `json:"namespace"`
	}
	type pod struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   meta   `json:"metadata"`
	}
	var raw json.RawMessage = events.MustBody(pod{"v1", "Pod", meta{p.prefix(), k.Name, k.Namespace}})
	return events.Created{
		Owner:    &events.Owner{Resource: p.o.Key.Resource, Name: p.o.Key.Name, UID: p.o.UID},
		Template: hash, Object: raw,
	}
}
