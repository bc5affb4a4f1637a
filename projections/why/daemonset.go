package why

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// daemons says on how many nodes a DaemonSet has pods that answer, what the others
// wait for, and why the rest of the nodes get none.
func (q Question) daemons(a *Answer, o *projections.Object) {
	ds, ok := q.State.ObjectOf(o, q.Now).(*appsv1.DaemonSet)
	if !ok {
		return
	}
	st := &ds.Status
	a.Verdict = fmt.Sprintf("answers on %d of the %d nodes that suit it", st.NumberAvailable, st.DesiredNumberScheduled)
	if st.UpdatedNumberScheduled < st.DesiredNumberScheduled {
		a.Verdict += fmt.Sprintf(", on %d with the present template", st.UpdatedNumberScheduled)
	}
	q.held(a, o)
	for _, r := range q.Because {
		a.Details = append(a.Details, r.String())
	}
	told, lacking := 0, 0
	on := q.State.Daemons(o)
	for node := range q.State.List(events.Nodes, "") {
		run, _ := projections.DaemonOn(ds, node)
		pods := on[node.Key.Name]
		switch {
		case run && len(pods) == 0:
			lacking++
		case run && told < maxTold && !q.serves(pods[0]):
			told++
			q.podOf(a, pods[0].Object)
		}
	}
	if lacking > 0 {
		a.Details = append(a.Details, many(lacking, "node has", "nodes have")+" no pod yet")
	}
	if a.WaitsFor == "" && lacking > 0 {
		a.WaitsFor = many(lacking, "pod", "pods") + " to be made"
	}
	q.spared(a, ds)
}

func (q Question) serves(d projections.Daemon) bool {
	yes, next := q.State.AvailableAt(d.Object, d.Pod, 0, q.Now)
	return yes || !next.IsZero()
}

// spared names the nodes that get no pod, and why.
func (q Question) spared(a *Answer, ds *appsv1.DaemonSet) {
	told, more := 0, 0
	for node := range q.State.List(events.Nodes, "") {
		said := projections.DaemonOff(ds, node)
		if said == "" {
			continue
		}
		if told++; told > maxTold {
			more++
			continue
		}
		a.Details = append(a.Details, "node "+node.Key.Name+" gets none: "+said)
	}
	if more > 0 {
		a.Details = append(a.Details, "and "+many(more, "more node", "more nodes"))
	}
}
