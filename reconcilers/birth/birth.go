// Package birth is what stands between a controller and what it makes, above all pods:
// priority and runtime classes and limit ranges fill in what a pod leaves open, limits, quotas,
// the labels of its namespace and policies may forbid it, and webhooks are asked first. What people make meets the same at the door (gateway/admit).
package birth

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/ration"
	"github.com/stave-run/stave/projections"
)

// Guard is who has a say about what a controller makes beside what is in the package. Its functions
// have to be pure, for decisions are.
type Guard struct {
	// Bars says why an object must not be made, "" when it may; nil lets all pass.
	Bars func(events.Object) string
	// Asks tells whether somebody outside of the log is asked about an object first, who may
	// change or refuse it; nil: nobody is. What Bars says of such an object is for them to ask.
	Asks func(events.Object) bool
}

// Guards say who guards what the controller of a kind makes in a state; nil ones ask nobody.
type Guards func(v projections.State, of events.Resource) Guard

// Before is the desk before what a controller makes for one of its objects.
func Before(v projections.State, o *projections.Object, guards Guards) *Desk {
	d := In(v, o.Key.Namespace)
	if guards != nil {
		d.guard = guards(v, o.Key.Resource)
	}
	return d
}

// Desk is what stands before the pods that one decision makes in a namespace; each
// sees what those before it took.
type Desk struct {
	classes   []*schedulingv1.PriorityClass
	runtimes  func(name string) *nodev1.RuntimeClass
	classless string // why no pod of the template may be made; "" when it may
	ranges    []*corev1.LimitRange
	quotas    []ration.Quota
	security  ration.Security
	guard     Guard
}

// In is the desk of a namespace, with no guard.
func In(v projections.State, namespace string) *Desk {
	return &Desk{classes: v.PriorityClasses(), runtimes: v.RuntimeClass, ranges: v.LimitRanges(namespace), quotas: v.Quotas(namespace), security: v.Security(namespace)}
}

// Claim says why a claim must not be made, in Kubernetes' words, "" when it may; then it is counted. One that others are
// asked about first is looked at as they leave it.
func (d *Desk) Claim(c *corev1.PersistentVolumeClaim) string {
	return d.object(events.Key{Resource: events.Claims, Name: c.Name}, func() events.Object { return c }, func() string {
		if said := ration.ClaimBreach(c.Spec.Resources.Requests, d.ranges); said != "" {
			return said
		}
		size := c.Spec.Resources.Requests[corev1.ResourceStorage]
		t := ration.Thing{Resource: events.Claims, Storage: &size}
		t.Class, _ = projections.ClaimClass(c)
		return take(d.quotas, t)
	})
}

// Object says the same of an object that is neither a pod nor a claim. whole is only called when somebody has a say about it.
func (d *Desk) Object(k events.Key, whole func() events.Object) string {
	return d.object(k, whole, func() string { return take(d.quotas, ration.Thing{Resource: k.Resource}) })
}

// object asks the guard, and then who counts.
func (d *Desk) object(k events.Key, whole func() events.Object, count func() string) string {
	if d.guard.Asks != nil && d.asks(whole()) {
		return ""
	}
	if d.guard.Bars != nil {
		if refused := d.guard.Bars(whole()); refused != "" {
			return refused
		}
	}
	said := count()
	if said == "" {
		return ""
	}
	return fmt.Sprintf("%s %q is forbidden: %s", k.Resource, k.Name, said)
}

// Open tells whether every pod of the template that was shown may be made: nobody
// has to look at each.
func (d *Desk) Open() bool {
	return d.classless == "" && len(d.ranges) == 0 && len(d.quotas) == 0 && d.security.Lax() && d.guard.Bars == nil && d.guard.Asks == nil
}

// Template is a template with what its pods are given; the same one when that is
// nothing. What is shared by all pods of a set stays shared.
func (d *Desk) Template(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	if len(d.ranges) == 0 && t.Spec.PriorityClassName == "" && t.Spec.Priority == nil && t.Spec.PreemptionPolicy == nil && !d.classed() &&
		t.Spec.RuntimeClassName == nil && t.Spec.Overhead == nil {
		return t
	}
	out := t.DeepCopy()
	if d.classless = cmp.Or(ration.Prioritise(&out.Spec, d.classes), ration.Suit(&out.Spec, d.runtimes)); d.classless != "" {
		return t
	}
	said := ration.Defaults(&out.Spec, d.ranges)
	switch {
	case said != "":
	case bytes.Equal(events.MustBody(out), events.MustBody(t)):
		return t
	default:
		return out
	}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	out.Annotations[ration.Annotation] = said
	return out
}

// classed tells whether pods that name no class get one.
func (d *Desk) classed() bool {
	return slices.ContainsFunc(d.classes, func(c *schedulingv1.PriorityClass) bool { return c.GlobalDefault })
}

// Bars says why a pod must not be made, in Kubernetes' words, "" when it may: then
// it is counted in. The pod is as Template left it. One that others are asked about first
// is looked at as they leave it.
func (d *Desk) Bars(pod *corev1.Pod) string {
	said := d.classless
	if said == "" && !d.asks(pod) {
		if said = cmp.Or(ration.Breach(&pod.Spec, d.ranges), d.security.Enforced(pod.Annotations, &pod.Spec)); said == "" && d.guard.Bars != nil {
			if refused := d.guard.Bars(pod); refused != "" {
				return refused
			}
		}
		if said == "" {
			said = take(d.quotas, ration.Thing{Resource: events.Pods, Pod: &pod.Spec})
		}
	}
	if said == "" {
		return ""
	}
	return `pods "` + pod.Name + `" is forbidden: ` + said
}

// take counts a new thing in with all quotas, or with none and says why.
func take(quotas []ration.Quota, t ration.Thing) string {
	next := make([]ration.Quota, len(quotas))
	for i, q := range quotas {
		if said := q.Take(ration.Thing{}, t); said != "" {
			return said
		}
		next[i] = q
	}
	copy(quotas, next)
	return ""
}
