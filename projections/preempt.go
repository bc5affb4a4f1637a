package projections

import (
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

// preempted is the condition of a pod that makes room for another one.
func preempted(o *Object) []corev1.PodCondition {
	if o.Deletion == nil || o.Deletion.For.UID == "" {
		return nil
	}
	return []corev1.PodCondition{condition(corev1.DisruptionTarget, true, o.Deletion.Time, corev1.PodReasonPreemptionByScheduler,
		"default-scheduler: preempting to accommodate a higher priority pod")}
}

// Without is the state as if a pod held no room on its node, as far as crowds go.
func (s State) Without(o *Object, node string) State {
	f := folding{s: s}
	f.join(o, node, -1)
	return f.s
}
