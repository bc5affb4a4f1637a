// Package deployment rolls a template out: one ReplicaSet for each template,
// pods moved from the old ones to the new one within maxSurge and
// maxUnavailable.
//
// It follows Kubernetes, but for one thing: a template none of whose pods ever
// became available takes no available pod away, as long as maxSurge leaves
// another way to try it.
package deployment

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// The annotations that Kubernetes keeps on deployments and their replica sets.
const (
	RevisionAnnotation = "deployment.kubernetes.io/revision"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct {
	// Guards are asked about ReplicaSets beside quotas.
	Guards birth.Guards
}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "deployment" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 6 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return append(birth.Reads(), events.Deployments, events.ReplicaSets, events.Pods)
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{
		events.TemplateStored,
		events.TypeOf(events.ReplicaSets, events.VerbCreated),
		events.TypeOf(events.ReplicaSets, events.VerbChanged),
		events.TypeOf(events.ReplicaSets, events.VerbDeletionRequested),
		events.TypeOf(events.Deployments, events.VerbChanged),
		events.TypeOf(events.Deployments, events.VerbVerdict),
	}
}

// Keys implements reconcilers.Reconciler. The fold touches a Deployment's row
// with every change below it; a ReplicaSet without an owner may be adopted, and one that was barred may be made.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	namespace, eases := birth.Eases(c)
	switch {
	case eases:
		return birth.Held(v, events.Deployments, namespace)
	case c.After == nil:
		return nil
	case c.Key.Resource == events.Deployments:
		return []events.Key{c.Key}
	case c.Key.Resource == events.Pods && c.PodBefore == c.PodAfter:
		return above(v, c.After)
	case c.Key.Resource != events.ReplicaSets || c.After.Controlled():
		return nil
	}
	var out []events.Key
	for o := range v.List(events.Deployments, c.Key.Namespace) {
		if s, ok := selectorOf(o); ok && s.Matches(labels.Set(c.After.Typed().GetLabels())) {
			out = append(out, o.Key)
		}
	}
	return out
}

// above is the deployment of a pod's replica set: a verdict on a pod changes
// no tally, but a pod that was refused for want of room changes the rollout.
func above(v reconcilers.View, pod *projections.Object) []events.Key {
	if pod.Owner == nil || pod.Owner.Resource != events.ReplicaSets {
		return nil
	}
	rs, ok := v.Get(events.Key{Resource: events.ReplicaSets, Namespace: pod.Key.Namespace, Name: pod.Owner.Name})
	if !ok || rs.Owner == nil || rs.Owner.Resource != events.Deployments {
		return nil
	}
	return []events.Key{{Resource: events.Deployments, Namespace: pod.Key.Namespace, Name: rs.Owner.Name}}
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
	p := &pass{v: v, o: o, d: projections.As[*appsv1.Deployment](o), now: now, guards: r.Guards}
	p.wish()
	if p.adopt(selector) {
		return p.out // which template is whose is seen with the adopted ones in place
	}
	p.survey()
	if !p.identify() {
		return p.out
	}
	if p.fresh != nil {
		birth.Clear(&p.out, p.v, p.o)
	}
	p.step()
	p.tidy()
	p.write()
	return p.out
}

func selectorOf(o *projections.Object) (labels.Selector, bool) {
	spec := projections.As[*appsv1.Deployment](o).Spec.Selector
	s, err := metav1.LabelSelectorAsSelector(spec)
	return s, err == nil && spec != nil && !s.Empty()
}

// pass is one decision under way.
type pass struct {
	v   reconcilers.View
	o   *projections.Object
	d   *appsv1.Deployment
	now time.Time

	guards birth.Guards

	want, surge, away int // wished pods, and how many more or less there may be meanwhile

	sets  []*set // the present one too, oldest first
	fresh *set   // of the present template; nil while there is none
	out   reconcilers.Decision
}

// step decides the size of every set.
func (p *pass) step() {
	switch {
	case p.d.Spec.Paused || p.resized():
		p.scale()
	case p.fresh == nil:
		p.begin() // the next decision sees it and goes on
	case p.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
		p.recreate()
	default:
		p.roll()
	}
}

// adopt takes the ReplicaSets that match and belong to nobody, and lets go of those
// that do not match any more.
func (p *pass) adopt(selector labels.Selector) bool {
	for rs := range p.v.Children(p.o.UID) {
		if rs.Key.Resource == events.ReplicaSets && rs.Deletion == nil && !selector.Matches(labels.Set(rs.Typed().GetLabels())) &&
			!p.out.Emit(reconcilers.Disown(rs, reconcilers.By(p.o.UID))) {
			break
		}
	}
	for rs := range p.v.List(events.ReplicaSets, p.o.Key.Namespace) {
		if rs.Controlled() || rs.Deletion != nil || !selector.Matches(labels.Set(rs.Typed().GetLabels())) {
			continue
		}
		if !p.out.Emit(reconcilers.Adopt(rs, p.o)) {
			break
		}
	}
	return len(p.out.Events) > 0
}

func (p *pass) owner() *events.Owner {
	return &events.Owner{Resource: p.o.Key.Resource, Name: p.o.Key.Name, UID: p.o.UID}
}

func (p *pass) because(r events.Reason) { p.out.Because = append(p.out.Because, r) }
