package why

import (
	"fmt"

	policyv1 "k8s.io/api/policy/v1"

	"github.com/stave-run/stave/projections"
)

// budget says how many pods a disruption budget lets go, and of one that holds all of them what would let it move.
func (q Question) budget(a *Answer, o *projections.Object) {
	b, ok := q.State.ObjectOf(o, q.Now).(*policyv1.PodDisruptionBudget)
	if !ok {
		return
	}
	st := &b.Status
	stand := fmt.Sprintf("%d of %d pods are healthy, and %d have to be", st.CurrentHealthy, st.ExpectedPods, st.DesiredHealthy)
	switch {
	case st.ExpectedPods == 0:
		a.Verdict, a.Fix = "is about no pods: none has its labels", "stave get pods"+q.dashN()+" --show-labels, and compare"
	case st.DisruptionsAllowed > 0:
		a.Verdict = fmt.Sprintf("lets %d pods go: %s", st.DisruptionsAllowed, stand)
	case st.CurrentHealthy < st.DesiredHealthy:
		a.Verdict = "lets no pod go: " + stand
		a.WaitsFor = fmt.Sprintf("%d more pods to be ready", st.DesiredHealthy-st.CurrentHealthy+1)
		q.podsOf(a, o.Key.Namespace, func(pod *projections.Object) bool { return projections.Picks(o, pod) && !q.State.Healthy(pod) })
	default:
		a.Verdict = "lets no pod go: " + stand
		a.WaitsFor = "a pod more than have to be healthy"
		a.Fix = "run more pods, or let it spare one: " + q.command("edit", o.Key)
		for _, c := range st.Conditions {
			if c.Message != "" {
				a.Details = append(a.Details, c.Message)
			}
		}
	}
}
