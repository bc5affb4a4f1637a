package admit

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/ration"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Classes drafts the system's priority classes that the view lacks: every cluster
// has them, also one that began before there were any.
func Classes(v projections.State) []reconcilers.Draft {
	var out []reconcilers.Draft
	for _, c := range []struct{ name, what string }{
		{"system-cluster-critical", "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."},
		{"system-node-critical", "Used for system critical pods that must not be moved from their current node."},
	} {
		k := events.Key{Resource: events.PriorityClasses, Name: c.name}
		if _, there := v.Get(k); !there {
			out = append(out, first(k, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: c.name}, Value: ration.SystemClasses[c.name], Description: c.what}))
		}
	}
	return out
}

// prioritise gives a new pod the priority of its class.
func (w *writing) prioritise() *refusal {
	pod, ok := w.next.(*corev1.Pod)
	if !ok {
		return nil
	}
	if said := ration.Prioritise(&pod.Spec, w.v.PriorityClasses()); said != "" {
		return forbidden(w.key, said)
	}
	return nil
}

// suit gives a new pod what its runtime class wants.
func (w *writing) suit() *refusal {
	pod, ok := w.next.(*corev1.Pod)
	if !ok {
		return nil
	}
	if said := ration.Suit(&pod.Spec, w.v.RuntimeClass); said != "" {
		return forbidden(w.key, said)
	}
	return nil
}

// oneDefault refuses a second class that pods get which name none.
func (w *writing) oneDefault() *refusal {
	class, ok := w.next.(*schedulingv1.PriorityClass)
	if !ok || !class.GlobalDefault {
		return nil
	}
	for _, c := range w.v.PriorityClasses() {
		if c.GlobalDefault && c.Name != class.Name {
			return forbidden(w.key, "PriorityClass "+c.Name+" is already marked as default. Only one default can exist")
		}
	}
	return nil
}

// carryPod keeps a pod's node and what it got with its classes.
func carryPod(before, next *corev1.PodSpec) {
	next.NodeName = cmp.Or(next.NodeName, before.NodeName)
	next.Priority = cmp.Or(next.Priority, before.Priority)
	if next.Overhead == nil {
		next.Overhead = before.Overhead
	}
	next.PreemptionPolicy = cmp.Or(next.PreemptionPolicy, before.PreemptionPolicy)
}
