package projections

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
)

// Budget is what a PodDisruptionBudget's condition needs to remember. It is immutable.
type Budget struct {
	Allows bool // a pod may go
	Turned Mark // Allows last changed
}

// BudgetsOf are the budgets that select a pod, by name.
func (s State) BudgetsOf(pod *Object) []*Object {
	var out []*Object
	for b := range s.List(events.Budgets, pod.Key.Namespace) {
		if Picks(b, pod) {
			out = append(out, b)
		}
	}
	return out
}

// budgetSelector picks a budget's pods: none without a selector, all with an empty one.
func budgetSelector(b *Object) labels.Selector {
	s, err := metav1.LabelSelectorAsSelector(b.decoded().(*policyv1.PodDisruptionBudget).Spec.Selector)
	if err != nil {
		return labels.Nothing() // admission has read it
	}
	return s
}

// BudgetStatus is how many of a budget's pods are there, healthy and asked for, and
// how many may go now. A pod that is wanted gone is healthy no more from that
// event on, so nobody has to remember who was evicted.
func (s State) BudgetStatus(o *Object) policyv1.PodDisruptionBudgetStatus {
	spec := o.decoded().(*policyv1.PodDisruptionBudget).Spec
	selector := budgetSelector(o)
	var pods, healthy int32
	scales := map[events.UID]int32{} // what the pods' controllers ask for
	problem := ""
	for pod := range s.List(events.Pods, o.Key.Namespace) {
		if !selector.Matches(labels.Set(pod.PodLabels())) {
			continue
		}
		pods++
		if s.Healthy(pod) {
			healthy++
		}
		if head, n, ok := s.scaleAbove(pod); ok {
			scales[head] = n
		} else if pod.Controlled() && problem == "" {
			problem = `found no controllers for pod "` + pod.Key.Name + `"`
		}
	}
	expected, desired, scaled := expectation(spec, pods, scales)
	st := policyv1.PodDisruptionBudgetStatus{ObservedGeneration: o.generation(), CurrentHealthy: healthy, DesiredHealthy: desired, ExpectedPods: expected}
	if expected > 0 && healthy > desired && (problem == "" || !scaled) {
		st.DisruptionsAllowed = healthy - desired
	}
	c := metav1.Condition{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.InsufficientPodsReason,
		ObservedGeneration: o.generation(), LastTransitionTime: stamp(o.Created.Time)}
	if o.Budget != nil {
		c.LastTransitionTime = stamp(o.Budget.Turned.Time)
	}
	if st.DisruptionsAllowed > 0 {
		c.Status, c.Reason = metav1.ConditionTrue, policyv1.SufficientPodsReason
	} else if problem != "" && scaled {
		c.Reason, c.Message = policyv1.SyncFailedReason, problem
	}
	st.Conditions = []metav1.Condition{c}
	return st
}

// Healthy tells whether a pod counts for a budget: it is ready, and nobody wants it gone.
func (s State) Healthy(pod *Object) bool {
	p, ok := s.PodOf(pod.Key)
	return ok && p.UID == pod.UID && pod.Deletion == nil && countPod(pod, p).Ready == 1
}

// expectation is how many pods a budget counts on and how many have to be healthy,
// and whether that is a part of what controllers ask for. Parts are rounded up.
func expectation(spec policyv1.PodDisruptionBudgetSpec, pods int32, scales map[events.UID]int32) (expected, desired int32, scaled bool) {
	var all int32
	for _, n := range scales {
		all += n
	}
	switch {
	case spec.MaxUnavailable != nil:
		away, err := intstr.GetScaledValueFromIntOrPercent(spec.MaxUnavailable, int(all), true)
		if err != nil {
			away = 0
		}
		return all, max(0, all-int32(away)), true
	case spec.MinAvailable == nil:
		return pods, 0, false
	case spec.MinAvailable.Type == intstr.Int:
		return pods, spec.MinAvailable.IntVal, false
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(spec.MinAvailable, int(all), true)
	if err != nil {
		n = int(all)
	}
	return all, int32(n), true
}

// scaleAbove is what the workload asks for that a pod is one of: what made it, or the
// Deployment above that.
func (s State) scaleAbove(pod *Object) (events.UID, int32, bool) {
	o, ok := s.controllerOf(pod)
	if !ok {
		return "", 0, false
	}
	if up, ok := s.controllerOf(o); ok && up.Key.Resource == events.Deployments {
		o = up
	}
	switch v := o.decoded().(type) {
	case *appsv1.Deployment:
		return o.UID, replicasOf(v.Spec.Replicas), true
	case *appsv1.ReplicaSet:
		return o.UID, replicasOf(v.Spec.Replicas), true
	case *appsv1.StatefulSet:
		return o.UID, replicasOf(v.Spec.Replicas), true
	case *corev1.ReplicationController:
		return o.UID, replicasOf(v.Spec.Replicas), true
	}
	return "", 0, false
}

func (s State) controllerOf(o *Object) (*Object, bool) {
	if o.Owner == nil {
		return nil, false
	}
	w, ok := s.Get(o.OwnerKey())
	return w, ok && w.UID == o.Owner.UID
}

// budgets touches the budgets whose status a change may alter: of a pod's health or
// labels, or of what its workload asks for.
func (f *folding) budgets(c Change) {
	same := c.Before != nil && c.After != nil && c.Before.Changed == c.After.Changed
	pod := c.Key.Resource == events.Pods
	switch {
	case !pod && c.Key.Resource != events.Deployments && c.Key.Resource != events.ReplicaSets && c.Key.Resource != events.StatefulSets && c.Key.Resource != events.Controllers:
		return
	case same && (!pod || (c.Before.Deletion == nil) == (c.After.Deletion == nil) && sameHealth(c)):
		return
	}
	var touched []events.Key
	for b := range f.s.List(events.Budgets, c.Key.Namespace) {
		if !pod || Picks(b, c.Before) || Picks(b, c.After) {
			touched = append(touched, b.Key)
		}
	}
	for _, k := range touched {
		f.touchOnce(k, nil)
	}
}

// Picks tells whether a disruption budget is about a pod.
func Picks(budget, pod *Object) bool {
	return pod != nil && budgetSelector(budget).Matches(labels.Set(pod.PodLabels()))
}

func sameHealth(c Change) bool {
	return c.PodBefore != nil && c.PodAfter != nil && countPod(c.Before, c.PodBefore).Ready == countPod(c.After, c.PodAfter).Ready
}

// judgeBudget notes when a budget began or ceased to allow anything.
func (f *folding) judgeBudget(c *Change) {
	b := Budget{Allows: f.s.BudgetStatus(c.After).DisruptionsAllowed > 0, Turned: f.mark()}
	if c.Before != nil && c.Before.UID == c.After.UID && c.Before.Budget != nil && c.Before.Budget.Allows == b.Allows {
		b = *c.Before.Budget
	}
	c.After.own().Budget = &b // the row was made by this event: nobody has seen it
}
