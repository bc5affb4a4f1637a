package why

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Difference is what became of the pods between two states of one cluster.
type Difference struct {
	Made     []Placed   `json:"made"`             // pods that were not there before, and where they landed
	Gone     []Placed   `json:"gone"`             // pods that are no longer there or wanted, and where they were
	Unplaced []Unplaced `json:"unplaced"`         // pods that no node takes
	Barred   []Barred   `json:"barred,omitempty"` // who makes no more pods, and why
	Held     []Held     `json:"held,omitempty"`   // pods that a drain would wait for; Compare does not know of these
}

// Barred is somebody who is kept from making pods: by a quota, a policy, a webhook.
type Barred struct {
	Maker  events.Key `json:"maker"`
	Owner  events.Key `json:"owner"`  // the topmost object above it
	Before bool       `json:"before"` // it was as well
	Said   string     `json:"said"`
}

// Held is a pod that may not be evicted.
type Held struct {
	Pod  events.Key `json:"pod"`
	Node string     `json:"node"`
	Said string     `json:"said"`
}

// Placed is a pod on a node; Owner is the topmost object above it.
type Placed struct {
	Pod   events.Key `json:"pod"`
	Owner events.Key `json:"owner"`
	Node  string     `json:"node,omitempty"`
}

// Unplaced is a pod without a node.
type Unplaced struct {
	Pod     events.Key      `json:"pod"`
	Owner   events.Key      `json:"owner"`
	Before  bool            `json:"before"` // it waited before as well
	Reasons []events.Reason `json:"reasons,omitempty"`
}

// Compare tells what became of the pods. explain says why the scheduler refuses
// a pod of the later state.
func Compare(before, after projections.State, explain func(projections.State, events.Key) []events.Reason) Difference {
	d := Difference{Made: []Placed{}, Gone: []Placed{}, Unplaced: []Unplaced{}}
	for o := range after.List(events.Pods, "") {
		if o.Deletion != nil {
			continue
		}
		p, _ := after.PodOf(o.Key)
		old, was := before.Get(o.Key)
		was = was && old.UID == o.UID
		switch {
		case p.Node == "":
			d.Unplaced = append(d.Unplaced, Unplaced{Pod: o.Key, Owner: top(after, o), Before: was, Reasons: explain(after, o.Key)})
		case !was:
			d.Made = append(d.Made, Placed{Pod: o.Key, Owner: top(after, o), Node: p.Node})
		default:
			if was, _ := before.PodOf(o.Key); was.Node == "" { // it waited, and waits no longer
				d.Made = append(d.Made, Placed{Pod: o.Key, Owner: top(after, o), Node: p.Node})
			}
		}
	}
	for o := range before.List(events.Pods, "") {
		if now, ok := after.Get(o.Key); o.Deletion == nil && (!ok || now.UID != o.UID || now.Deletion != nil) {
			p, _ := before.PodOf(o.Key)
			d.Gone = append(d.Gone, Placed{Pod: o.Key, Owner: top(before, o), Node: p.Node})
		}
	}
	d.Barred = barred(before, after)
	return d
}

// barred are those who make pods, or what makes pods, and may not.
func barred(before, after projections.State) []Barred {
	var out []Barred
	for _, r := range append(slices.Sorted(maps.Keys(makers)), events.Deployments) {
		for o := range after.List(r, "") {
			_, said, fails := after.FailsToCreate(o)
			if !fails || o.Deletion != nil {
				continue
			}
			x := Barred{Maker: o.Key, Owner: top(after, o), Said: said}
			if was, there := before.Get(o.Key); there {
				_, _, x.Before = before.FailsToCreate(was)
			}
			out = append(out, x)
		}
	}
	return out
}

func top(s projections.State, o *projections.Object) events.Key {
	if up := owners(s, o); len(up) > 0 {
		return up[len(up)-1].Key
	}
	return o.Key
}

// Empty tells whether there is nothing to tell.
func (d Difference) Empty() bool {
	return len(d.Made) == 0 && len(d.Gone) == 0 && len(d.Unplaced) == 0 && len(d.Barred) == 0 && len(d.Held) == 0
}

// Moves tells whether anything is other than before.
func (d Difference) Moves() bool {
	return len(d.Made) > 0 || len(d.Gone) > 0 || len(d.Held) > 0 ||
		slices.ContainsFunc(d.Unplaced, func(u Unplaced) bool { return !u.Before }) || slices.ContainsFunc(d.Barred, func(b Barred) bool { return !b.Before })
}

// toldPods is how many pods are named one by one.
const toldPods = 20

// String is the difference for people: a line an owner, the pods of small
// differences, and why each group of pods stays without a node.
func (d Difference) String() string {
	if d.Empty() {
		return "no pod is made, moved or left without a node\n"
	}
	var b strings.Builder
	made, gone := byOwner(d.Made), byOwner(d.Gone)
	for _, owner := range ownersOf(d) {
		var parts []string
		if m := made[owner]; len(m) > 0 {
			parts = append(parts, fmt.Sprintf("%d made (%s)", len(m), nodesOf(m)))
		}
		if g := gone[owner]; len(g) > 0 {
			parts = append(parts, fmt.Sprintf("%d gone (%s)", len(g), nodesOf(g)))
		}
		if len(parts) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", owner, strings.Join(parts, ", "))
		if len(made[owner])+len(gone[owner]) > toldPods {
			continue
		}
		for _, p := range gone[owner] {
			fmt.Fprintf(&b, "  - %s  %s\n", p.Pod.Name, p.Node)
		}
		for _, p := range made[owner] {
			fmt.Fprintf(&b, "  + %s  %s\n", p.Pod.Name, p.Node)
		}
	}
	d.unplaced(&b)
	for _, x := range d.Barred {
		fmt.Fprintf(&b, "%s: makes no more pods%s: %s\n", x.Owner, asBefore(x.Before), x.Said)
	}
	for _, h := range d.Held {
		fmt.Fprintf(&b, "%s: a drain of %s would wait for it: %s\n", h.Pod, h.Node, h.Said)
	}
	return b.String()
}

// unplaced tells once what is the same for all pods of an owner.
func (d Difference) unplaced(b *strings.Builder) {
	told := map[string]int{}
	var order []string
	first := map[string]Unplaced{}
	for _, u := range d.Unplaced {
		id := fmt.Sprint(u.Owner, u.Before, u.Reasons)
		if told[id] == 0 {
			order, first[id] = append(order, id), u
		}
		told[id]++
	}
	for _, id := range order {
		u := first[id]
		fmt.Fprintf(b, "%s: %d left without a node%s\n", u.Owner, told[id], asBefore(u.Before))
		for _, r := range u.Reasons {
			fmt.Fprintf(b, "  %s\n", r)
		}
	}
}

func asBefore(yes bool) string {
	if yes {
		return ", as before"
	}
	return ""
}

func byOwner(list []Placed) map[events.Key][]Placed {
	out := map[events.Key][]Placed{}
	for _, p := range list {
		out[p.Owner] = append(out[p.Owner], p)
	}
	return out
}

func ownersOf(d Difference) []events.Key {
	var out []events.Key
	seen := map[events.Key]bool{}
	for _, p := range slices.Concat(d.Gone, d.Made) {
		if !seen[p.Owner] {
			seen[p.Owner] = true
			out = append(out, p.Owner)
		}
	}
	return out
}

// nodesOf is how many pods lie on each node: "n1 2, n2 1".
func nodesOf(list []Placed) string {
	count := map[string]int{}
	for _, p := range list {
		count[p.Node]++
	}
	var out []string
	for _, n := range slices.Sorted(maps.Keys(count)) {
		name := n
		if name == "" {
			name = "no node"
		}
		out = append(out, fmt.Sprintf("%s %d", name, count[n]))
	}
	return strings.Join(out, ", ")
}
