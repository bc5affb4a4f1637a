package projections

import (
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Extended are whole numbers of resources that Stave knows by their names alone, as example.com/gpu: what a client wrote into a
// node's capacity, and what pods ask of it. It is text, "name=number" sorted and joined by commas, so that usages can be
// compared; nearly every usage has none.
type Extended string

// IsExtended tells whether a resource is one of those: its name has a domain.
func IsExtended(name corev1.ResourceName) bool { return strings.Contains(string(name), "/") }

// All walks the resources by name.
func (e Extended) All() iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for pair := range strings.SplitSeq(string(e), ",") {
			name, number, ok := strings.Cut(pair, "=")
			n, err := strconv.ParseInt(number, 10, 64)
			if ok && err == nil && !yield(name, n) {
				return
			}
		}
	}
}

// Of is how many of a resource there are.
func (e Extended) Of(name string) int64 {
	for has, n := range e.All() {
		if has == name {
			return n
		}
	}
	return 0
}

// with joins two by a sum or the like; what comes to nothing is left out.
func (e Extended) with(other Extended, join func(a, b int64) int64) Extended {
	if e == "" && other == "" {
		return ""
	}
	sum := map[string]int64{}
	for name, n := range e.All() {
		sum[name] = join(n, 0)
	}
	for name, n := range other.All() {
		sum[name] = join(e.Of(name), n)
	}
	return extendedOf(sum)
}

func extendedOf(numbers map[string]int64) Extended {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		if n := numbers[name]; n != 0 {
			out = append(out, name+"="+strconv.FormatInt(n, 10))
		}
	}
	return Extended(strings.Join(out, ","))
}

// extendedIn are those of a list of resources.
func extendedIn(list corev1.ResourceList) Extended {
	var numbers map[string]int64
	for name, q := range list { //stave:sorted each name is put once
		if !IsExtended(name) {
			continue
		}
		if numbers == nil {
			numbers = map[string]int64{}
		}
		numbers[string(name)] = whole(q)
	}
	return extendedOf(numbers)
}

// nodeHas is what a node has to give: what it said, and the extended resources that a client wrote into its capacity. Its
// agent knows nothing of these; as a kubelet does, it lets pods have all that the capacity holds.
func nodeHas(o *Object, f events.NodeFacts) Usage {
	u := has(f)
	if len(o.Status) == 0 {
		return u
	}
	var written struct{ Capacity corev1.ResourceList }
	if json.Unmarshal(o.Status, &written) == nil {
		u.Extended = u.Extended.with(extendedIn(written.Capacity), func(said, wrote int64) int64 { return max(said, wrote) })
	}
	return u
}

// weigh reads anew what a node has, after its status was written or lapsed.
func (f *folding) weigh(k events.Key) {
	o, ok := f.s.Get(k)
	if k.Resource != events.Nodes || !ok {
		return
	}
	if n, ok := f.s.Node(k.Name); ok {
		with := *n
		with.Has = nodeHas(o, n.Facts)
		f.s.nodes = f.s.nodes.with(n.Name, &with)
	}
}

// allotExtended shows what a node's pods may have of extended resources: all of the capacity, as a kubelet writes it.
func allotExtended(st *corev1.NodeStatus) {
	for name := range st.Allocatable { //stave:sorted each name on its own
		if _, there := st.Capacity[name]; IsExtended(name) && !there {
			delete(st.Allocatable, name)
		}
	}
	for name, q := range st.Capacity { //stave:sorted each name on its own
		if IsExtended(name) {
			if st.Allocatable == nil {
				st.Allocatable = corev1.ResourceList{}
			}
			st.Allocatable[name] = q.DeepCopy()
		}
	}
}
