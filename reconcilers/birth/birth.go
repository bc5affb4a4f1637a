// Package birth is what stands between a controller and the pods that it makes:
// limit ranges fill in what a pod leaves open, limits, quotas and policies may
// forbid it. What people make meets the same at the door (gateway/admit).
package birth

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/ration"
	"github.com/stave-run/stave/projections"
)

// Guard says why a pod must not be made, "" when it may; a nil one lets all pass.
type Guard func(pod *corev1.Pod) string

// Desk is what stands before the pods that one decision makes in a namespace; each
// sees what those before it took. The nil Desk lets all pass.
type Desk struct {
	ranges []*corev1.LimitRange
	quotas []ration.Quota
	guard  Guard
}

// In is the desk of a namespace; nil when nothing stands there. guard is who is
// asked besides.
func In(v projections.State, namespace string, guard Guard) *Desk {
	d := &Desk{ranges: v.LimitRanges(namespace), quotas: v.Quotas(namespace), guard: guard}
	if len(d.ranges) == 0 && len(d.quotas) == 0 && guard == nil {
		return nil
	}
	return d
}

// Template is a template with what its pods are given; the same one when that is
// nothing. What is shared by all pods of a set stays shared.
func (d *Desk) Template(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	if d == nil || len(d.ranges) == 0 {
		return t
	}
	out := t.DeepCopy()
	said := ration.Defaults(&out.Spec, d.ranges)
	if said == "" {
		return t
	}
	if out.Annotations == nil {
		out.Annotations = map[string]string{}
	}
	out.Annotations[ration.Annotation] = said
	return out
}

// Bars says why a pod must not be made, in Kubernetes' words, "" when it may: then
// it is counted in. The pod is as Template left it.
func (d *Desk) Bars(pod *corev1.Pod) string {
	if d == nil {
		return ""
	}
	said := ration.Breach(&pod.Spec, d.ranges)
	if said == "" && d.guard != nil {
		if refused := d.guard(pod); refused != "" {
			return refused
		}
	}
	if said == "" {
		said = take(d.quotas, ration.Thing{Resource: events.Pods, Pod: &pod.Spec})
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
