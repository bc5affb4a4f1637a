package why

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/projections"
)

// statefulSet says how many pods are missing, between which templates the set is, and
// whom its order waits for.
func (q Question) statefulSet(a *Answer, o *projections.Object) {
	set := projections.As[*appsv1.StatefulSet](o)
	q.workload(a, o)
	updated, old := 0, (*projections.SetMember)(nil)
	for _, m := range q.State.SetMembers(o, q.Now) {
		switch {
		case o.Revisions != nil && m.Revision == o.Revisions.Update:
			updated++
		case !m.Available && m.Pod.Deletion == nil:
			old = &m
		}
	}
	if r := o.Revisions; r != nil && r.Current != r.Update {
		a.Verdict += fmt.Sprintf(", %d of them of the new template", updated)
		a.Details = append(a.Details, q.rolling(set, r.Current, r.Update))
	}
	if old != nil && set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement && a.WaitsFor != "" {
		// Kubernetes' order has no other way out of it.
		a.Fix = fmt.Sprintf("stave delete pod %s%s: in order, a set replaces no pod of an older template while one is not ready", old.Pod.Key.Name, q.dashN())
	}
}

// rolling says how a set's templates are rolled out.
func (q Question) rolling(set *appsv1.StatefulSet, from, to string) string {
	words := "rolls from " + from + " to " + to
	switch u := set.Spec.UpdateStrategy; {
	case u.Type == appsv1.OnDeleteStatefulSetStrategyType:
		words += ": a pod gets the new template when it is deleted"
	case u.RollingUpdate != nil && u.RollingUpdate.Partition != nil && *u.RollingUpdate.Partition > 0:
		first, _ := projections.Ordinals(set)
		words += fmt.Sprintf(": pods below %s-%d keep the old one", set.Name, first+int(*u.RollingUpdate.Partition))
	}
	return words
}
