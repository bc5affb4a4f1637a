package schedule

import "strings"

// atlas knows which domains the nodes of a pass are in. What it has found out once
// serves all classes of the pass.
type atlas struct {
	nodes []*node
	at    map[string]int32 // a node's place in nodes, by name
	known map[string]*domains
	parts map[string]parts
}

// parts says for each node which others are in the same domains of some labels.
type parts struct {
	of    []int32 // by a node's place: the number of its area
	count int
}

// domains are the values that a label has among the nodes.
type domains struct {
	key    string
	names  []string
	of     []int32 // by a node's place: which name it has; none without the label
	single bool    // no two nodes share one
}

// none is the domain of a node that lacks the label.
const none = -1

func atlasOf(nodes []*node) *atlas {
	a := &atlas{nodes: nodes, known: map[string]*domains{}, parts: map[string]parts{}}
	for i, n := range nodes {
		n.place = int32(i)
	}
	return a
}

// find is the place of a node, false for one that is no longer there.
func (a *atlas) find(name string) (int32, bool) {
	if a.at == nil {
		a.at = make(map[string]int32, len(a.nodes))
		for i, n := range a.nodes {
			a.at[n.name] = int32(i)
		}
	}
	i, ok := a.at[name]
	return i, ok
}

// domains are those of a label.
func (a *atlas) domains(key string) *domains {
	if d, ok := a.known[key]; ok {
		return d
	}
	d := &domains{key: key, of: make([]int32, len(a.nodes))}
	at, have := map[string]int32{}, 0
	for i, n := range a.nodes {
		d.of[i] = none
		value, ok := n.labels[key]
		if !ok {
			continue
		}
		have++
		if _, seen := at[value]; !seen {
			at[value] = int32(len(d.names))
			d.names = append(d.names, value)
		}
		d.of[i] = at[value]
	}
	d.single = have == len(d.names)
	a.known[key] = d
	return d
}

// areas parts the nodes by their domains of all these labels.
func (a *atlas) areas(of []*domains) parts {
	var keys []string
	for _, d := range of {
		keys = append(keys, d.key)
	}
	id := strings.Join(keys, "\x00")
	if p, ok := a.parts[id]; ok {
		return p
	}
	p := parts{of: make([]int32, len(a.nodes)), count: 1}
	for _, d := range of {
		next := map[[2]int32]int32{}
		for i := range p.of {
			pair := [2]int32{p.of[i], d.of[i]}
			if _, ok := next[pair]; !ok {
				next[pair] = int32(len(next))
			}
			p.of[i] = next[pair]
		}
		p.count = len(next)
	}
	a.parts[id] = p
	return p
}

// open are the nodes that are in question for a pod: one where its affinity wants a
// name, so that a thousand daemons cost no look at a thousand nodes each.
func (a *atlas) open(w *wants) []*node {
	if w.pinned == "" {
		return a.nodes
	}
	i, ok := a.find(w.pinned)
	if !ok {
		return a.nodes // each is told to have another name
	}
	return a.nodes[i : i+1]
}
