package projections

import (
	"iter"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// State is everything that the log says, up to Seq. Copying it takes a
// snapshot.
type State struct {
	Seq     events.Seq // the last event folded
	Time    time.Time  // its time, never running back
	Epoch   events.Seq // the lease in force
	Holder  string     // who holds it
	Void    uint64     // events dropped by a void rule
	Unknown uint64     // events of a type that this version does not know
	Horizon events.Seq // where history begins, as the janitor last said; 0 when it never did

	objects    tree[*Object]    // resource, namespace, name
	children   tree[struct{}]   // controller's uid ("" for orphans), then the child's resource, namespace, name
	dependents tree[events.Key] // uid of an owner that does not control, then the key of what it owns
	onNode     tree[struct{}]   // node, namespace, name
	nodes      tree[*Node]      // name
	used       tree[Usage]      // node
	crowds     tree[*Crowd]     // namespace, what makes its pods equal
	labelled   tree[string]     // namespace, label, value, crowd
	minding    tree[string]     // namespace or anywhere, one pair of a term's selector, crowd, term
	templates  tree[*Template]  // hash
	selectors  tree[events.Key] // namespace, first pair of a service's selector, name
	verdicts   tree[*Verdict]   // resource, namespace, name
	lastSpec   tree[events.Seq] // last sequence of the spec subject of an object that is gone, down to the horizon; of others their rows have it
	ops        operations       // those that landed last
	oldOps     operations       // the generation of operations before
	wishes     tree[*Wish]      // actor, change: those under way
	made       *madeList        // what people changed last
	oldMade    *madeList        // the generation of changes before
	edits      uint32           // how many a Bulk has begun
	quotas     int              // how many ResourceQuotas there are
	ended      int              // how many pods have come to their end and stay
	kinds      events.Catalogue // that there are, by the definitions
}

// Mark is a moment in the log.
type Mark struct {
	Seq  events.Seq `json:"seq"`
	Time time.Time  `json:"time"`
}

// IsZero tells whether the moment never came.
func (m Mark) IsZero() bool { return m.Seq == 0 }

// Empty is the state before the first event.
func Empty() State { return State{} }

// Get finds an object's row.
func (s State) Get(k events.Key) (*Object, bool) {
	var room [usualKey]byte
	return s.objects.find(appendRowKey(room[:0], k))
}

// List walks the rows of a resource in the order of namespace and name; an
// empty namespace means all of them.
func (s State) List(r events.Resource, namespace string) iter.Seq[*Object] {
	return s.objects.below(listPrefix(r, namespace))
}

func listPrefix(r events.Resource, namespace string) string {
	if namespace == "" {
		return string(r) + "\x00"
	}
	return string(r) + "\x00" + namespace + "\x00"
}

// ListAfter is List without the rows up to a key; one without a name lies before all.
func (s State) ListAfter(k events.Key, namespace string) iter.Seq[*Object] {
	if k.Name == "" {
		return s.List(k.Resource, namespace)
	}
	return s.objects.after(listPrefix(k.Resource, namespace), rowKey(k))
}

// All walks every object's row.
func (s State) All() iter.Seq[*Object] { return s.objects.below("") }

// Children walks what the object with this uid controls.
func (s State) Children(owner events.UID) iter.Seq[*Object] {
	return func(yield func(*Object) bool) {
		for k := range s.children.endings(string(owner)+"\x00", "") {
			if o, ok := s.objects.get(k); ok && !yield(o) {
				return
			}
		}
	}
}

// Orphans walks the objects of a resource and namespace that nothing controls,
// by name.
func (s State) Orphans(r events.Resource, namespace string) iter.Seq[*Object] {
	return func(yield func(*Object) bool) {
		for name := range s.children.endings("\x00"+string(r)+"\x00"+namespace+"\x00", "") {
			if o, ok := s.Get(events.Key{Resource: r, Namespace: namespace, Name: name}); ok && !yield(o) {
				return
			}
		}
	}
}

// ServicesOf walks the services that select a pod, by their selectors.
func (s State) ServicesOf(pod *Object) iter.Seq[*Object] {
	return func(yield func(*Object) bool) {
		has := pod.PodLabels()
		for _, label := range slices.Sorted(maps.Keys(has)) {
			for k := range s.selectors.below(selectorPrefix(pod.Key.Namespace, label, has[label])) {
				if o, ok := s.Get(k); ok && selects(o.decoded().(*corev1.Service).Spec.Selector, pod) && !yield(o) {
					return
				}
			}
		}
	}
}

// Pod finds what nodes and the scheduler said about a pod. Every pod object has one.
func (s State) Pod(namespace, name string) (*Pod, bool) {
	return s.PodOf(events.Key{Resource: events.Pods, Namespace: namespace, Name: name})
}

// PodOf is Pod for a pod's key.
func (s State) PodOf(k events.Key) (*Pod, bool) {
	k.Resource = events.Pods
	o, ok := s.Get(k)
	if !ok {
		return nil, false
	}
	return o.pod, o.pod != nil
}

// allPods walks every pod, by namespace and name.
func (s State) allPods() iter.Seq[*Pod] {
	return func(yield func(*Pod) bool) {
		for o := range s.List(events.Pods, "") {
			if o.pod != nil && !yield(o.pod) {
				return
			}
		}
	}
}

// PodsOn walks the pods assigned to a node; the empty node has those that wait
// for one.
func (s State) PodsOn(node string) iter.Seq[*Pod] {
	return func(yield func(*Pod) bool) {
		for k := range s.onNode.endings(node+"\x00", podRows) {
			if o, ok := s.objects.get(k); ok && o.pod != nil && !yield(o.pod) {
				return
			}
		}
	}
}

// Node finds what a node said of itself and what its silence said.
func (s State) Node(name string) (*Node, bool) { return s.nodes.get(name) }

// Template finds a body by content.
func (s State) Template(h events.Hash) (*Template, bool) { return s.templates.get(string(h)) }

// Verdict finds why an object does not move, when somebody said so.
func (s State) Verdict(k events.Key) (*Verdict, bool) {
	var room [usualKey]byte
	return s.verdicts.find(appendRowKey(room[:0], k))
}

// LastSpec is the last sequence of the object's spec subject, 0 when there is
// none: what an append to it has to expect. It outlives the object, until its
// end lies below the horizon.
func (s State) LastSpec(k events.Key) events.Seq {
	if o, ok := s.Get(k); ok {
		return o.last
	}
	n, _ := s.lastSpec.get(rowKey(k))
	return n
}

// Landed tells where the event of an operation stands, if it landed.
// It remembers the last MaxOps operations.
func (s State) Landed(op events.OpID) (events.Seq, bool) {
	if n, ok := s.ops.find(op); ok {
		return n, true
	}
	return s.oldOps.find(op)
}

// podRows is what the keys of pods' rows begin with.
const podRows = string(events.Pods) + "\x00"

func rowKey(k events.Key) string {
	return string(k.Resource) + "\x00" + k.Namespace + "\x00" + k.Name
}

// appendRowKey is rowKey for a look: most keys are made to look once, on the stack.
func appendRowKey(b []byte, k events.Key) []byte {
	b = append(append(b, k.Resource...), 0)
	b = append(append(b, k.Namespace...), 0)
	return append(b, k.Name...)
}
