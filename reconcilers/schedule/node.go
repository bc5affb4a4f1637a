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
	view          reconcilers.View
	held          []port // nil until somebody asks for a port
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
// not tolerate and that only advise against the node; nil when no node differs.
func (w wants) preferences(nodes []*node) map[*node]int64 {
	liked, taints := make([]int64, len(nodes)), make([]int64, len(nodes))
	var mostLiked, mostTaints int64
	for i, n := range nodes {
		liked[i], taints[i] = w.affinity.likes(n), w.advisedAgainst(n)
		mostLiked, mostTaints = max(mostLiked, liked[i]), max(mostTaints, taints[i])
	}
	if mostLiked == 0 && mostTaints == 0 {
		return nil
	}
	out := make(map[*node]int64, len(nodes))
	for i, n := range nodes {
		out[n] = weightLiked*liked[i]/max(1, mostLiked) + weightTaint*(mostTaints-taints[i])/max(1, mostTaints)
	}
	return out
}

// advisedAgainst counts the taints of a node that only say that others are better.
func (w wants) advisedAgainst(n *node) int64 {
	var count int64
	for _, t := range n.taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule && !w.tolerates(t) {
			count++
		}
	}
	return count
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
	want   wants
	liked  map[*node]int64 // what preferences add to a node's score
	nodes  []*node
	scores []int64
}

func (b *byLoad) init() {
	b.scores = make([]int64, len(b.nodes))
	b.liked = b.want.preferences(b.nodes)
	for i, n := range b.nodes {
		b.scores[i] = b.score(n)
	}
	heap.Init(b)
}

// best is the node for the next pod, nil when none fits any more.
func (b *byLoad) best() *node {
	for len(b.nodes) > 0 {
		if b.want.lacks(b.nodes[0]).code == "" {
			return b.nodes[0]
		}
		heap.Pop(b)
	}
	return nil
}

func (b *byLoad) score(n *node) int64 { return n.score(b.want.usage) + b.liked[n] }

// took says that the best node got a pod.
func (b *byLoad) took() {
	b.scores[0] = b.score(b.nodes[0])
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
	b.nodes, b.scores = append(b.nodes, n), append(b.scores, b.score(n))
}

// Pop implements heap.Interface.
func (b *byLoad) Pop() any {
	last := len(b.nodes) - 1
	n := b.nodes[last]
	b.nodes, b.scores = b.nodes[:last], b.scores[:last]
	return n
}
