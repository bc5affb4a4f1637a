package schedule

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// node is a node as one pass sees it: what it has, and what was given to it so far.
type node struct {
	key           events.Key
	place         int32 // in the pass's atlas
	name          string
	labels        map[string]string
	taints        []corev1.Taint
	unschedulable bool
	ready         bool
	said          string // why it is not ready
	has           projections.Usage
	used          projections.Usage
	given         []*projections.Object // by this pass, in order
	view          reconcilers.View
	held          []port // nil until somebody asks for a port
	kept          []port // asked for by pods that room is made for
}

// nodesOf are all nodes that are not being removed, by name.
func nodesOf(v reconcilers.View) []*node {
	var out []*node
	for o := range v.List(events.Nodes, "") {
		if o.Deletion != nil {
			continue
		}
		t := projections.As[*corev1.Node](o)
		n := &node{view: v, key: o.Key, name: o.Key.Name, labels: t.Labels, taints: t.Spec.Taints,
			unschedulable: t.Spec.Unschedulable, used: v.Used(o.Key.Name), said: "never heard of"}
		if row, ok := v.Node(n.name); ok {
			n.has = row.Has
			if row.Report.UID == o.UID {
				n.ready, n.said = row.Report.Ready && !row.Seen.IsZero(), row.Report.Said
			}
		}
		out = append(out, n)
	}
	return out
}

// lacks names the resource that an ask does not fit into, "" when it fits.
func (n *node) lacks(ask projections.Usage) (what string, need, have int64) {
	switch {
	case n.used.Pods+1 > n.has.Pods:
		return "pods", 1, int64(n.has.Pods - n.used.Pods)
	case ask.CPU > 0 && n.used.CPU+ask.CPU > n.has.CPU:
		return "cpu", ask.CPU, n.has.CPU - n.used.CPU
	case ask.Memory > 0 && n.used.Memory+ask.Memory > n.has.Memory:
		return "memory", ask.Memory, n.has.Memory - n.used.Memory
	}
	for name, need := range ask.Extended.All() {
		if have := n.has.Extended.Of(name) - n.used.Extended.Of(name); need > have {
			return name, need, have
		}
	}
	return "", 0, 0
}

// score is Kubernetes' least allocated with one more pod on the node: the mean
// free share of cpu and memory, here in thousandths.
func (n *node) score(ask projections.Usage) int64 {
	return (share(n.used.ScoreCPU+ask.ScoreCPU, n.has.CPU) + share(n.used.ScoreMemory+ask.ScoreMemory, n.has.Memory)) / 2
}

// What a preference weighs beside the free share, in thousandths of it: as Kubernetes weighs its own.
const (
	weightLiked = 2000
	weightTaint = 3000
)

// preferences are what each node's score gains by what the pod likes of it, and by the absence of taints that it does
// not tolerate and that only advise against the node; by place, of so many; nil when no node differs.
func (w *wants) preferences(nodes []*node, places int) []int64 {
	liked, taints := make([]int64, len(nodes)), make([]int64, len(nodes))
	var mostLiked, mostTaints int64
	for i, n := range nodes {
		liked[i], taints[i] = w.affinity.likes(n), w.advisedAgainst(n)
		mostLiked, mostTaints = max(mostLiked, liked[i]), max(mostTaints, taints[i])
	}
	if mostLiked == 0 && mostTaints == 0 {
		return nil
	}
	out := make([]int64, places)
	for i, n := range nodes {
		out[n.place] = weightLiked*liked[i]/max(1, mostLiked) + weightTaint*(mostTaints-taints[i])/max(1, mostTaints)
	}
	return out
}

// advisedAgainst counts the taints of a node that only say that others are better.
func (w *wants) advisedAgainst(n *node) int64 {
	var count int64
	for _, t := range n.taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule && !w.tolerates(t) {
			count++
		}
	}
	return count
}

// thousand is the score of an empty node.
const thousand = 1000

func share(used, has int64) int64 {
	if has <= 0 || used >= has {
		return 0
	}
	return int64(float64(has-used) / float64(has) * thousand)
}
