package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// kernel stands for the kernel's tables: it knows nothing of services and does
// exactly what a write says.
type kernel struct {
	index   map[Frontend]uint32
	entries map[uint32]kernelEntry
	slots   map[uint32]netip.AddrPort
	left    map[string]time.Time // "id 3", "slot 7" → when the last frontend stopped leading there
}

type kernelEntry struct {
	base     uint32
	count    int
	affinity uint32
}

func newKernel() *kernel {
	return &kernel{
		index: map[Frontend]uint32{}, entries: map[uint32]kernelEntry{},
		slots: map[uint32]netip.AddrPort{}, left: map[string]time.Time{},
	}
}

// apply makes one write; it fails when the write would tear something that a running
// program may be reading.
func (k *kernel) apply(w Write, now time.Time) error {
	before := k.reachable()
	if err := k.make(w, before, now); err != nil {
		return fmt.Errorf("%s: %w", w, err)
	}
	after := k.reachable()
	for what := range before {
		if !after[what] {
			k.left[what] = now
		}
	}
	return nil
}

func (k *kernel) make(w Write, inUse map[string]bool, now time.Time) error {
	switch w := w.(type) {
	case SetBackends:
		if id := fmt.Sprint("id ", w.ID); !inUse[id] && k.rests(id, now) {
			return fmt.Errorf("%s is in quarantine", id)
		}
		for i, b := range w.Backends {
			slot := fmt.Sprint("slot ", w.Base+uint32(i))
			if inUse[slot] || k.rests(slot, now) {
				return fmt.Errorf("%s is in use (%v) or in quarantine", slot, inUse[slot])
			}
			k.slots[w.Base+uint32(i)] = b.AddrPort()
		}
		k.entries[w.ID] = kernelEntry{w.Base, len(w.Backends), w.AffinitySeconds}
	case Bind:
		if _, ok := k.entries[w.ID]; !ok {
			return fmt.Errorf("entry was never set")
		}
		if _, bound := k.index[w.Frontend]; bound == w.New {
			return fmt.Errorf("bound before: %v, new: %v", bound, w.New)
		}
		k.index[w.Frontend] = w.ID
	case Unbind:
		if _, ok := k.index[w.Frontend]; !ok {
			return fmt.Errorf("not bound")
		}
		delete(k.index, w.Frontend)
	}
	return nil
}

func (k *kernel) rests(what string, now time.Time) bool {
	since, ok := k.left[what]
	return ok && now.Sub(since) < Quarantine
}

// reachable is everything that a lookup starting now may read.
func (k *kernel) reachable() map[string]bool {
	out := map[string]bool{}
	for _, id := range k.index {
		out[fmt.Sprint("id ", id)] = true
		e := k.entries[id]
		for i := range e.count {
			out[fmt.Sprint("slot ", e.base+uint32(i))] = true
		}
	}
	return out
}

func (k *kernel) lookup(f Frontend) []netip.AddrPort {
	id, ok := k.index[f]
	if !ok {
		return nil
	}
	e := k.entries[id]
	out := []netip.AddrPort{}
	for i := range e.count {
		out = append(out, k.slots[e.base+uint32(i)])
	}
	return out
}

// rows is what a restarted process reads back, in an order that means nothing.
func (k *kernel) rows() []Row {
	var out []Row
	for f, id := range k.index {
		e := k.entries[id]
		out = append(out, Row{f, id, e.base, canonical(k.lookup(f)), e.affinity})
	}
	return out
}

// function is the whole lookup function of the tables.
func (k *kernel) function() map[Frontend][]netip.AddrPort {
	out := map[Frontend][]netip.AddrPort{}
	for f := range k.index {
		out[f] = k.lookup(f)
	}
	return out
}

// wantedFunction is the lookup function that the services ask for.
func wantedFunction(want []Service) map[Frontend][]netip.AddrPort {
	out := map[Frontend][]netip.AddrPort{}
	for _, s := range want {
		for _, g := range groups(s) {
			for _, f := range g.fronts {
				out[f] = addrPorts(g.backends)
			}
		}
	}
	return out
}

func sameFunction(a, b map[Frontend][]netip.AddrPort) error {
	for f, x := range a {
		if y, ok := b[f]; !ok || !slices.Equal(x, y) {
			return fmt.Errorf("%s: %v against %v (bound: %v)", f, x, y, ok)
		}
	}
	for f := range b {
		if _, ok := a[f]; !ok {
			return fmt.Errorf("%s: only on the right", f)
		}
	}
	return nil
}
