package plan

import (
	"net/netip"
	"slices"
)

// Bounds of the kernel's tables, as orders: the tables hold 1<<order of each.
const (
	idOrder   = 16
	slotOrder = 21
)

// MaxIDs is how many entries (service ports) fit; MaxSlots how many backend slots,
// where a set of n backends takes n rounded up to a power of two.
const (
	MaxIDs   = 1 << idOrder
	MaxSlots = 1 << slotOrder
)

// spareSlots are left when the tables are full of services: with them each can still lose
// a backend and get another one for it.
const spareSlots = MaxSlots / 64

// Row is one frontend as read back from the kernel's tables.
type Row struct {
	Frontend        Frontend
	ID              uint32
	Base            uint32
	Backends        []Backend
	AffinitySeconds uint32
}

// Written is the model of the kernel's tables: what they hold, which service asked
// for it, and which ids and slots are free. [Diff] and [Written.Change] advance it
// as if their writes had been made; after a failed write it has to be read back with
// [Adopt]. It is not safe for concurrent use.
type Written struct {
	bound   map[Frontend]binding
	entries map[uint32]*entry
	asked   map[string][]group // what each service needs, so that the same again costs nothing
	ids     *arena
	slots   *arena

	unplaced map[string]error // of asked, those of which something could not be placed
	unbound  int              // how many frontends were given up so far
	tried    int              // what room was when those were tried last
}

// binding is where a frontend leads. An empty key means that nobody in this change,
// or in this life of the process, has asked for it yet.
type binding struct {
	id  uint32
	key string
}

// entry is one row of the entry table.
type entry struct {
	base     uint32
	backends []Backend
	affinity uint32
	fronts   int  // how many frontends lead here; at zero the id is given back
	owned    bool // a service of this life has claimed it
	known    bool // base and backends are what the kernel holds
}

// New is the model of empty tables.
func New() *Written {
	w := &Written{
		bound: map[Frontend]binding{}, entries: map[uint32]*entry{}, asked: map[string][]group{}, unplaced: map[string]error{},
		ids: newArena(idOrder), slots: newArena(slotOrder),
	}
	w.slots.spare = spareSlots
	return w
}

// expect makes room for the services of a first change: growing step by step takes as long
// as all the rest.
func (w *Written) expect(services int) {
	if len(w.asked) == 0 && len(w.bound) == 0 {
		w.asked = make(map[string][]group, services)
		w.bound, w.entries = make(map[Frontend]binding, services), make(map[uint32]*entry, services)
	}
}

// Adopt is the model of tables that an earlier process wrote. The rows belong to no
// service until a change claims them; the first [Diff] drops those that none claims.
func Adopt(rows []Row) *Written {
	w := New()
	for _, r := range rows {
		e := w.entries[r.ID]
		if e == nil {
			e = w.adoptEntry(r)
		}
		e.fronts++
		w.bound[r.Frontend] = binding{id: r.ID}
	}
	return w
}

// adoptEntry takes over an entry. One that does not fit the model (overlapping
// extents, out of range) stays where it is, so that its frontends keep working, but
// is never reused: its service gets a new entry.
func (w *Written) adoptEntry(r Row) *entry {
	e := &entry{affinity: r.AffinitySeconds}
	w.entries[r.ID] = e
	if !w.ids.reserve(r.ID, 0) {
		return e
	}
	if n := len(r.Backends); n == 0 || w.slots.reserve(r.Base, orderFor(n)) {
		e.base, e.backends, e.known = r.Base, slices.Clone(r.Backends), true
	}
	return e
}

// Lookup answers like the kernel does: the backends behind a frontend, and whether
// it is a frontend at all.
func (w *Written) Lookup(f Frontend) ([]netip.AddrPort, bool) {
	b, ok := w.bound[f]
	if !ok {
		return nil, false
	}
	return addrPorts(w.entries[b.id].backends), true
}

// backends are those behind a frontend; none if it is no frontend.
func (w *Written) backends(f Frontend) []Backend {
	if b, ok := w.bound[f]; ok {
		return w.entries[b.id].backends
	}
	return nil
}

// Frontends are all frontends in the tables, sorted.
func (w *Written) Frontends() []Frontend {
	out := make([]Frontend, 0, len(w.bound))
	for f := range w.bound {
		out = append(out, f)
	}
	slices.SortFunc(out, compareFrontends)
	return out
}
