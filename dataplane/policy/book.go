package policy

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// Sets are the numbers of a pod's sets; 0 where it is not isolated.
type Sets struct{ Ingress, Egress uint32 }

// PortKey is where a set says what holds for ports.
type PortKey struct {
	Set   uint32
	Proto Proto
	Port  uint16
	Bits  int
}

// PeerKey is where a class says whether it holds a network.
type PeerKey struct {
	Class uint32
	Net   netip.Prefix
}

// Rows are what the programs read: a pod's sets by its link, a set's classes, a class's peers.
type Rows struct {
	Pods  map[uint32]Sets
	Ports map[PortKey]uint32
	Peers map[PeerKey]bool
}

// NewRows are none.
func NewRows() Rows {
	return Rows{Pods: map[uint32]Sets{}, Ports: map[PortKey]uint32{}, Peers: map[PeerKey]bool{}}
}

// Book knows which rows are in force, and by which numbers sets and classes go.
type Book struct {
	rows          Rows
	sets, classes map[string]uint32
	last          uint32 // the highest number that was given
}

// Adopt begins a book with rows that an earlier process wrote. Nobody knows any more what they say, so they go when no pod
// needs them.
func Adopt(r Rows) *Book {
	b := &Book{rows: r, sets: map[string]uint32{}, classes: map[string]uint32{}}
	for _, s := range r.Pods { //stave:sorted the highest of all
		b.last = max(b.last, s.Ingress, s.Egress)
	}
	for k, class := range r.Ports { //stave:sorted likewise
		b.last = max(b.last, k.Set, class)
	}
	for k := range r.Peers { //stave:sorted likewise
		b.last = max(b.last, k.Class)
	}
	return b
}

// Writes are changes of rows, in the order in which they are to be made: until a pod's own row leads to what is new, and
// after it does, packets are judged by one whole state or the other.
type Writes struct {
	PutPeers  []PeerKey
	PutPorts  []PortKey
	PutPods   []uint32
	DropPods  []uint32
	DropPorts []PortKey
	DropPeers []PeerKey
	then      Rows
}

// In tells whether a network that is put is in its class.
func (w Writes) In(k PeerKey) bool { return w.then.Peers[k] }

// Class is where a port that is put leads.
func (w Writes) Class(k PortKey) uint32 { return w.then.Ports[k] }

// Sets are those of a pod that is put.
func (w Writes) Sets(link uint32) Sets { return w.then.Pods[link] }

// Diff is what to write so that the tables hold. Pods that the tables do not speak of stay as they are when kept says so: of
// those nobody has told yet. Call [Book.Done] when it is written.
func (b *Book) Diff(t Tables, kept func(link uint32) bool) Writes {
	then := b.number(t)
	for link, s := range b.rows.Pods { //stave:sorted each into a table
		if _, known := t.Pods[link]; !known && kept(link) {
			then.Pods[link] = s
			b.keep(then, s.Ingress)
			b.keep(then, s.Egress)
		}
	}
	w := Writes{then: then}
	w.PutPeers, w.DropPeers = differ(b.rows.Peers, then.Peers, PeerKey.compare)
	w.PutPorts, w.DropPorts = differ(b.rows.Ports, then.Ports, PortKey.compare)
	w.PutPods, w.DropPods = differ(b.rows.Pods, then.Pods, cmp.Compare[uint32])
	return w
}

// Done says that what Diff gave is written.
func (b *Book) Done(w Writes) {
	b.rows = w.then
	inUse := map[uint32]bool{}
	for k, class := range b.rows.Ports { //stave:sorted each into a set
		inUse[k.Set], inUse[class] = true, true
	}
	for _, s := range b.rows.Pods { //stave:sorted likewise
		inUse[s.Ingress], inUse[s.Egress] = true, true
	}
	gone := func(_ string, n uint32) bool { return !inUse[n] }
	maps.DeleteFunc(b.sets, gone)
	maps.DeleteFunc(b.classes, gone)
}

// Forget says that the rows of some pods were removed with their links.
func (b *Book) Forget(gone func(link uint32) bool) {
	maps.DeleteFunc(b.rows.Pods, func(link uint32, _ Sets) bool { return gone(link) })
}

// Empty says that nothing is in force.
func (b *Book) Empty() bool { return len(b.rows.Pods)+len(b.rows.Ports)+len(b.rows.Peers) == 0 }

// Rows are those in force.
func (b *Book) Rows() Rows { return b.rows }

// number gives the tables their numbers.
func (b *Book) number(t Tables) Rows {
	r := NewRows()
	for _, link := range slices.Sorted(maps.Keys(t.Pods)) {
		n := t.Pods[link]
		if n != (Names{}) {
			r.Pods[link] = Sets{b.of(b.sets, n.Ingress), b.of(b.sets, n.Egress)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Sets)) {
		for _, p := range t.Sets[name] {
			r.Ports[PortKey{b.of(b.sets, name), p.Proto, p.Port, p.Bits}] = b.of(b.classes, p.Class)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Classes)) {
		for _, p := range t.Classes[name] {
			r.Peers[PeerKey{b.of(b.classes, name), p.Net}] = p.In
		}
	}
	return r
}

// of is the number of a name, a new one if it has none.
func (b *Book) of(numbers map[string]uint32, name string) uint32 {
	if name == "" {
		return 0
	}
	n, ok := numbers[name]
	if !ok {
		b.last++
		n = b.last
		numbers[name] = n
	}
	return n
}

// keep leaves a set with all that it leads to.
func (b *Book) keep(then Rows, set uint32) {
	if set == 0 {
		return
	}
	classes := map[uint32]bool{}
	for k, class := range b.rows.Ports { //stave:sorted each into a table
		if k.Set == set {
			then.Ports[k] = class
			classes[class] = true
		}
	}
	for k, in := range b.rows.Peers { //stave:sorted likewise
		if classes[k.Class] {
			if _, newer := then.Peers[k]; !newer {
				then.Peers[k] = in
			}
		}
	}
}

// differ tells what of one table is new in another, and what is no longer there.
func differ[K comparable, V comparable](before, after map[K]V, order func(K, K) int) (put, drop []K) {
	for k, v := range after { //stave:sorted below
		if was, ok := before[k]; !ok || was != v {
			put = append(put, k)
		}
	}
	for k := range before { //stave:sorted below
		if _, ok := after[k]; !ok {
			drop = append(drop, k)
		}
	}
	slices.SortFunc(put, order)
	slices.SortFunc(drop, order)
	return put, drop
}

func (k PortKey) compare(o PortKey) int {
	return cmp.Or(cmp.Compare(k.Set, o.Set), cmp.Compare(k.Proto, o.Proto), cmp.Compare(k.Port, o.Port), cmp.Compare(k.Bits, o.Bits))
}

func (k PeerKey) compare(o PeerKey) int {
	return cmp.Or(cmp.Compare(k.Class, o.Class), k.Net.Compare(o.Net))
}
