package schedule

import (
	"container/heap"
	"slices"
)

// field is the nodes that a class may be given, the best first. They stand in
// areas: the nodes that share all domains of the class's claims. What claims say
// of shared domains is asked once for an area; within one a heap has the order.
type field struct {
	want   *wants
	claims *claims
	liked  []int64 // what node preferences add to a score, by place; nil for nothing
	nodes  []*node
	areas  []*area // some nil: none of their nodes is in question
	of     []int32 // by a node's place: its area; nil when there is one for all
	top    *area   // has the node that was found best last
	streak int     // how many pods the node on top has got one after the other; its place in the heap is mended after them
	fresh  int64   // its score before them
	coming int     // how many pods of the class want a node or will; 0 where it matters to the next one where each is
	parked []*node // those that a skew of single nodes keeps out for now
	taken  int     // how many pods got a node
	next   int     // when preferences are measured anew
}

// area is a heap of nodes, the best first. Only the node on top gets pods, so
// only its place has to be mended.
type area struct {
	nodes  []*node
	scores []int64
}

// fieldOf are the nodes that none of the lasting filters refuses.
func fieldOf(w *wants, c *claims, a *atlas) *field {
	f := &field{want: w, claims: c, next: rescale}
	for _, n := range a.open(w) {
		if w.refuses(n).code == "" {
			f.nodes = append(f.nodes, n)
		}
	}
	f.liked = w.preferences(f.nodes, len(a.nodes))
	f.part(a)
	f.claims.weigh(f.nodes)
	f.order()
	return f
}

// part puts the nodes into their areas.
func (f *field) part(a *atlas) {
	wide := f.claims.wide()
	if len(wide) == 0 {
		f.areas = []*area{{nodes: slices.Clone(f.nodes)}}
		return
	}
	p := a.areas(wide)
	f.of, f.areas = p.of, make([]*area, p.count)
	for _, n := range f.nodes {
		x := f.areas[f.of[n.place]]
		if x == nil {
			x = &area{}
			f.areas[f.of[n.place]] = x
		}
		x.nodes = append(x.nodes, n)
	}
}

// order scores all nodes and makes the heaps.
func (f *field) order() {
	f.claims.scale(f.nodes)
	for _, x := range f.areas {
		if x == nil {
			continue
		}
		x.scores = slices.Grow(x.scores[:0], len(x.nodes))[:len(x.nodes)]
		for i, n := range x.nodes {
			x.scores[i] = f.score(n)
		}
		heap.Init(x)
	}
}

// score is a node's, but for what is the same in all of its area.
func (f *field) score(n *node) int64 {
	s := n.score(f.want.usage) + f.claims.score(n.place, single)
	if f.liked != nil {
		s += f.liked[n.place]
	}
	return s
}

// best is the node for the next pod, nil when none takes it.
func (f *field) best() *node {
	if f.streak > 0 {
		if f.goesOn() {
			return f.top.nodes[0]
		}
		f.leave()
	}
	f.top = nil
	var most int64
	for _, x := range f.areas {
		if x == nil || len(x.nodes) == 0 || f.claims.refuses(x.nodes[0].place, shared).code != "" || !f.settle(x) {
			continue
		}
		n, score := x.nodes[0], x.scores[0]
		if f.of != nil {
			score += f.claims.score(n.place, shared)
		}
		if f.top == nil || before(score, n, most, f.top.nodes[0]) {
			f.top, most = x, score
		}
	}
	if f.top == nil {
		return nil
	}
	f.fresh = f.top.nodes[0].score(f.want.usage)
	return f.top.nodes[0]
}

// goesOn tells whether the node on top gets the next pod of the class too. A pass over many nodes would give each of them
// one, and each event would tell of one. Where so many are still to come that every node gets several whatever the order, a
// node gets a part of them at once, as long as it is a small part of the node: when fewer are left, each gets one in turn
// again, which evens them out.
func (f *field) goesOn() bool {
	n, before := f.top.nodes[0], f.taken-f.streak
	switch {
	case f.streak >= min(maxRow, (f.coming-before)/len(f.nodes), n.has.Pods/smallPart),
		f.fresh-n.score(f.want.usage) > thousand/smallPart:
		return false
	}
	return f.want.lacks(n).code == "" && f.claims.refuses(n.place, both).code == ""
}

// leave ends a streak.
func (f *field) leave() {
	f.streak = 0
	heap.Fix(f.top, 0)
}

// settle takes nodes off an area's top that cannot take a pod, until one can.
func (f *field) settle(x *area) bool {
	for len(x.nodes) > 0 {
		n := x.nodes[0]
		if f.want.lacks(n).code == "" {
			r := f.claims.refuses(n.place, single)
			if r.code == "" {
				return true
			}
			if r.code == CodeSkew {
				f.parked = append(f.parked, n)
			}
		}
		heap.Pop(x)
	}
	return false
}

// took says that the best node got a pod.
func (f *field) took() {
	n := f.top.nodes[0]
	risen := f.claims.took(n.place)
	f.top.scores[0] = f.score(n)
	f.streak++
	if risen {
		f.leave()
		f.unpark()
	}
	if f.taken++; f.taken == f.next && f.claims.grows() {
		f.next *= rescale
		f.streak = 0
		f.order()
	}
}

// rescale is how often as large a class has to get for its preferences to be
// measured anew.
const rescale = 4

// unpark lets the nodes in again that are no longer too full.
func (f *field) unpark() {
	f.parked = slices.DeleteFunc(f.parked, func(n *node) bool {
		if f.claims.refuses(n.place, single).code != "" {
			return false
		}
		x := f.areas[0]
		if f.of != nil {
			x = f.areas[f.of[n.place]]
		}
		x.nodes, x.scores = append(x.nodes, n), append(x.scores, f.score(n))
		heap.Fix(x, len(x.nodes)-1)
		return true
	})
}

// before is the order of nodes: score, then fewer pods, then the name.
func before(a int64, x *node, b int64, y *node) bool {
	switch {
	case a != b:
		return a > b
	case x.used.Pods != y.used.Pods:
		return x.used.Pods < y.used.Pods
	}
	return x.name < y.name
}

// Len implements heap.Interface.
func (a *area) Len() int { return len(a.nodes) }

// Less implements heap.Interface.
func (a *area) Less(i, j int) bool { return before(a.scores[i], a.nodes[i], a.scores[j], a.nodes[j]) }

// Swap implements heap.Interface.
func (a *area) Swap(i, j int) {
	a.nodes[i], a.nodes[j] = a.nodes[j], a.nodes[i]
	a.scores[i], a.scores[j] = a.scores[j], a.scores[i]
}

// Push implements heap.Interface.
func (a *area) Push(x any) { a.nodes, a.scores = append(a.nodes, x.(*node)), append(a.scores, 0) }

// Pop implements heap.Interface.
func (a *area) Pop() any {
	last := len(a.nodes) - 1
	n := a.nodes[last]
	a.nodes, a.scores = a.nodes[:last], a.scores[:last]
	return n
}
