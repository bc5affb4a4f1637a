package projections

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Preempting is the code of a verdict's reason that names, in What, the node where
// pods of lower priority make room for the one that waits.
const Preempting events.Code = "Preempting"

// Nominated is the node where room is being made for a waiting pod, "" when none is.
func (s State) Nominated(pod *Object) string {
	v, ok := s.Verdict(pod.Key)
	if !ok || v.UID != pod.UID {
		return ""
	}
	for _, r := range v.Reasons {
		if r.Code == Preempting {
			return r.What
		}
	}
	return ""
}

// PriorityOf is how important a pod is; 0 for one of no class.
func PriorityOf(spec *corev1.PodSpec) int32 {
	if spec.Priority == nil {
		return 0
	}
	return *spec.Priority
}

// disrupted is the condition of a pod that ends and whose owner would have kept it: failure policies of Jobs go by it.
func disrupted(o *Object, p *Pod) []corev1.PodCondition {
	d, at, reason, message := o.Deletion, time.Time{}, "", ""
	if d != nil {
		at, reason = d.Time, string(d.Disrupts)
	}
	switch {
	case d != nil && d.For.UID != "":
		reason, message = corev1.PodReasonPreemptionByScheduler, "default-scheduler: preempting to accommodate a higher priority pod"
	case reason == string(events.ByEviction):
		message = "Eviction API: evicting"
	case reason == string(events.ByTaint):
		message = "Taint manager: deleting due to NoExecute taint"
	case reason == string(events.ByPodGC):
		message = "PodGC: node no longer exists"
	case p.Failed != nil && p.Failed.Reason == Evicted:
		at, reason, message = p.FailedAt.Time, corev1.PodReasonTerminationByKubelet, p.Failed.Message
	}
	if reason == "" {
		return nil
	}
	return []corev1.PodCondition{condition(corev1.DisruptionTarget, true, at, reason, message)}
}

// Evicted is the reason of a pod that its node ended because it ran short of something.
const Evicted = "Evicted"

// Without is the state as if a pod held no room on its node, as far as crowds go.
func (s State) Without(o *Object, node string) State {
	f := folding{s: s}
	f.join(o, node, -1)
	return f.s
}
