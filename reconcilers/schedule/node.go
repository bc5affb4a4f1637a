package schedule

import (
	"container/heap"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// node is a node as one pass sees it: what it has, and what was given to it so far.
type node struct {
	key           events.Key
	name          string
	labels        map[string]string
	taints        []corev1.Taint
	unschedulable bool
	ready         bool
	said          string // why it is not ready
	has           projections.Usage
	used          projections.Usage
	given         []*projections.Object // by this pass, in order
}

// nodesOf are all nodes that are not being removed, by name.
func nodesOf(v reconcilers.View) []*node {
	var out []*node
	for o := range v.List(events.Nodes, "") {
		if o.Deletion != nil {
			continue
		}
		t := projections.As[*corev1.Node](o)
		n := &node{key: o.Key, name: o.Key.Name, labels: t.Labels, taints: t.Spec.Taints,
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
	return "", 0, 0
}

// score is Kubernetes' least allocated with one more pod on the node: the mean
// free share of cpu and memory, here in thousandths.
func (n *node) score(ask projections.Usage) int64 {
	return (share(n.used.ScoreCPU+ask.ScoreCPU, n.has.CPU) + share(n.used.ScoreMemory+ask.ScoreMemory, n.has.Memory)) / 2
}

func share(used, has int64) int64 {
	if has <= 0 || used >= has {
		return 0
	}
	return int64(float64(has-used) / float64(has) * 1000)
}

// byLoad is a heap of the nodes that fit a class, the least loaded first. Only
// the node on top gets pods, so only its place has to be mended.
type byLoad struct {
	ask    projections.Usage
	nodes  []*node
	scores []int64
}

func (b *byLoad) init() {
	b.scores = make([]int64, len(b.nodes))
	for i, n := range b.nodes {
		b.scores[i] = n.score(b.ask)
	}
	heap.Init(b)
}

// best is the node for the next pod, nil when none fits any more.
func (b *byLoad) best() *node {
	for len(b.nodes) > 0 {
		if what, _, _ := b.nodes[0].lacks(b.ask); what == "" {
			return b.nodes[0]
		}
		heap.Pop(b)
	}
	return nil
}

// took says that the best node got a pod.
func (b *byLoad) took() {
	b.scores[0] = b.nodes[0].score(b.ask)
	heap.Fix(b, 0)
}

// Len implements heap.Interface.
func (b *byLoad) Len() int { return len(b.nodes) }

// Less implements heap.Interface: free share, then fewer pods, then the name.
func (b *byLoad) Less(i, j int) bool {
	x, y := b.nodes[i], b.nodes[j]
	switch {
	case b.scores[i] != b.scores[j]:
		return b.scores[i] > b.scores[j]
	case x.used.Pods != y.used.Pods:
		return x.used.Pods < y.used.Pods
	}
	return x.name < y.name
}

// Swap implements heap.Interface.
func (b *byLoad) Swap(i, j int) {
	b.nodes[i], b.nodes[j] = b.nodes[j], b.nodes[i]
	b.scores[i], b.scores[j] = b.scores[j], b.scores[i]
}

// Push implements heap.Interface; nodes are only ever taken out.
func (b *byLoad) Push(x any) {
	n := x.(*node)
	b.nodes, b.scores = append(b.nodes, n), append(b.scores, n.score(b.ask))
}

// Pop implements heap.Interface.
func (b *byLoad) Pop() any {
	last := len(b.nodes) - 1
	n := b.nodes[last]
	b.nodes, b.scores = b.nodes[:last], b.scores[:last]
	return n
}
