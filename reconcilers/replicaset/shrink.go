package replicaset

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// costAnnotation lets people say which pods shall go first: the cheapest.
const costAnnotation = "controller.kubernetes.io/pod-deletion-cost"

// shrink asks for the deletion of the pods that are too many.
func (p *pass) shrink(n int) {
	ranked := p.active
	if n < len(ranked) { // where all go, none is first
		ranked = rank(ranked, p.crowds())
	}
	for _, m := range ranked[:n] {
		body := events.DeletionRequested{Grace: reconcilers.GraceOf(m.o)}
		if !p.d.Emit(reconcilers.RequestDeletion(m.o, body)) {
			return
		}
	}
}

// crowds counts the pods on each node, those of the other sets of the same
// deployment too: as with Kubernetes a node that has a new pod gives an old one.
func (p *pass) crowds() map[string]int {
	out := map[string]int{}
	if p.o.Owner == nil {
		for _, m := range p.active {
			out[m.p.Node]++
		}
		return out
	}
	for set := range p.v.Children(p.o.Owner.UID) {
		if set.Key.Resource != p.o.Key.Resource || set.Tally.Pods == 0 {
			continue
		}
		for pod := range p.v.Children(set.UID) {
			if row, ok := p.v.PodOf(pod.Key); ok && pod.Deletion == nil && !over(pod, row) {
				out[row.Node]++
			}
		}
	}
	return out
}

// victim is a pod with what decides when it has to go.
type victim struct {
	member
	phase   int // 0 without a node, 1 pending, 2 running
	cost    int64
	crowd   int // pods of the deployment on the same node
	ready   bool
	since   time.Time // ready since
	restart int       // the most restarts of one container
	born    time.Time
}

// rank orders pods by which has to go first, as Kubernetes does: without a
// node, pending, not ready, cheap, crowded, ready for a shorter time, restarted
// more often, younger. The name breaks ties, so that the order is total.
func rank(pods []member, crowds map[string]int) []member {
	victims := make([]victim, len(pods))
	for i, m := range pods {
		victims[i] = victimOf(m, crowds[m.p.Node])
	}
	slices.SortFunc(victims, before)
	out := make([]member, len(pods))
	for i := range victims {
		out[i] = victims[i].member
	}
	return out
}

func victimOf(m member, crowd int) victim {
	w := victim{member: m, crowd: crowd, ready: !m.p.ReadySince.IsZero() && !m.p.Lost,
		since: m.p.ReadySince.Time, born: m.o.Created.Time, cost: costOf(m.o)}
	for _, c := range m.p.Containers {
		w.restart = max(w.restart, c.Run-1)
	}
	switch {
	case m.p.Node == "":
	case !running(m.p):
		w.phase = 1
	default:
		w.phase = 2
	}
	return w
}

func running(p *projections.Pod) bool {
	return slices.ContainsFunc(p.Containers, func(c projections.Container) bool { return c.Phase != projections.Waiting || c.Run > 0 })
}

func costOf(o *projections.Object) int64 {
	n, err := strconv.ParseInt(o.PodAnnotations()[costAnnotation], 10, 32)
	if err != nil {
		return 0 // not set, or nonsense: as if it were not there
	}
	return n
}

func before(a, b victim) int {
	return cmp.Or(
		cmp.Compare(a.phase, b.phase),
		falseFirst(a.ready, b.ready),
		cmp.Compare(a.cost, b.cost),
		cmp.Compare(b.crowd, a.crowd),
		b.since.Compare(a.since), // the one that is ready for longer stays
		cmp.Compare(b.restart, a.restart),
		b.born.Compare(a.born),
		cmp.Compare(a.o.Key.Name, b.o.Key.Name),
	)
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
