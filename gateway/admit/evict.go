package admit

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// evict deletes a pod with its grace, unless its budget has too few healthy ones
// without it.
func evict(v projections.State, r Request, now time.Time) (Outcome, *refusal) {
	k, err := keyOf(v, r.Item)
	if err == nil && k.Resource != events.Pods {
		err = badRequest("only pods are evicted, not %s", k)
	}
	if err != nil {
		return Outcome{}, err
	}
	if o, ok := v.Get(k); ok {
		if err := budgeted(v, o, now); err != nil {
			return Outcome{Result: wire.Result{Key: k, UID: o.UID}}, err
		}
	}
	return remove(v, r, now)
}

// budgeted refuses the end of a pod that its budget does not allow. A pod that
// does not serve, or is on its way out, is nobody's loss.
func budgeted(v projections.State, o *projections.Object, now time.Time) *refusal {
	pod, ok := v.ObjectOf(o, now).(*corev1.Pod)
	if !ok || o.Deletion != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodPending {
		return nil
	}
	budgets := v.BudgetsOf(o)
	switch len(budgets) {
	case 0:
		return nil
	case 1:
	default:
		return refuse(metav1.StatusReasonInternalError, httpInternalServerError, o.Key,
			"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
	}
	b := budgets[0]
	st := v.BudgetStatus(b)
	if !v.Healthy(o) {
		policy := projections.As[*policyv1.PodDisruptionBudget](b).Spec.UnhealthyPodEvictionPolicy
		if policy != nil && *policy == policyv1.AlwaysAllow || st.CurrentHealthy >= st.DesiredHealthy && st.DesiredHealthy > 0 {
			return nil
		}
	}
	if st.DisruptionsAllowed > 0 {
		return nil
	}
	refused := refuse(metav1.StatusReasonTooManyRequests, httpTooManyRequests, events.Key{}, "Cannot evict pod as it would violate the pod's disruption budget.")
	if c := st.Conditions[0]; c.Reason == policyv1.SyncFailedReason && c.Message != "" {
		refused.message += " " + c.Message
	}
	refused.causes = []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause,
		Message: fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently", b.Key.Name, st.DesiredHealthy, st.CurrentHealthy)}}
	return refused
}
