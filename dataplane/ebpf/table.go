package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// table makes the planner's writes. Entries and slots are mapped into memory: changing a
// service's backends is a few stores and no system call.
type table struct {
	frontends *ebpf.Map
	entries   []programsEntry
	slots     *ebpf.Map
	windows   map[uint32][]uint64 // of slots, by number
	mapped    [][]byte

	// New frontends and where they lead, which are bound together by flush.
	fresh    []programsFrontend
	freshIDs []uint32
}

// windowOrder is how many slots are mapped at once, 1 MiB of them. What is mapped counts as
// memory of this process, touched or not, and most clusters need the first window alone.
const windowOrder = 17

func openTable(frontends, entries, slots *ebpf.Map) (*table, error) {
	t := &table{frontends: frontends, slots: slots, windows: map[uint32][]uint64{}}
	e, err := t.mapIn(entries, 0, entries.MaxEntries())
	if err != nil {
		return nil, err
	}
	t.entries = unsafe.Slice((*programsEntry)(unsafe.Pointer(&e[0])), entries.MaxEntries())
	return t, nil
}

// mapIn maps n rows of a table from the given one on.
func (t *table) mapIn(m *ebpf.Map, from, n uint32) ([]byte, error) {
	size := int(m.ValueSize())
	b, err := unix.Mmap(m.FD(), int64(from)*int64(size), int(n)*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map table %s into memory: %w", m, err)
	}
	t.mapped = append(t.mapped, b)
	return b, nil
}

// slotsFrom are the slots from one on, to the end of its window.
func (t *table) slotsFrom(slot uint32) ([]uint64, error) {
	const size = 1 << windowOrder
	number, within := slot>>windowOrder, slot%size
	if w, ok := t.windows[number]; ok {
		return w[within:], nil
	}
	b, err := t.mapIn(t.slots, number<<windowOrder, size)
	if err != nil {
		return nil, err
	}
	t.windows[number] = unsafe.Slice((*uint64)(unsafe.Pointer(&b[0])), size)
	return t.windows[number][within:], nil
}

func (t *table) close() error {
	for _, b := range t.mapped {
		if err := unix.Munmap(b); err != nil {
			return fmt.Errorf("unmap table: %w", err)
		}
	}
	t.mapped, t.entries, t.windows = nil, nil, nil
	return nil
}

// make does one write, and what was put off before it. Each is atomic for a connection that
// is being made meanwhile.
func (t *table) make(w plan.Write) error {
	var err error
	switch w := w.(type) {
	case plan.SetBackends:
		err = t.setBackends(w)
	case plan.Bind:
		if w.New {
			t.fresh, t.freshIDs = append(t.fresh, frontendKey(w.Frontend)), append(t.freshIDs, w.ID)
			return nil
		}
		err = errors.Join(t.flush(), t.frontends.Put(frontendKey(w.Frontend), w.ID))
	case plan.Unbind:
		err = errors.Join(t.flush(), t.frontends.Delete(frontendKey(w.Frontend)))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", w, err)
	}
	return nil
}

// flush binds the new frontends that make was given, in one system call.
func (t *table) flush() error {
	n := len(t.fresh)
	if n == 0 {
		return nil
	}
	_, err := t.frontends.BatchUpdate(t.fresh, t.freshIDs, nil)
	t.fresh, t.freshIDs = nil, nil
	if err != nil {
		return fmt.Errorf("bind %d new frontends: %w", n, err)
	}
	return nil
}

// setBackends fills the new extent before the one store that makes it visible.
func (t *table) setBackends(w plan.SetBackends) error {
	base := w.Base
	for left := w.Backends; len(left) > 0; {
		slots, err := t.slotsFrom(base)
		if err != nil {
			return err
		}
		n := min(len(slots), len(left))
		for i, b := range left[:n] {
			slots[i] = slotOf(b)
		}
		base, left = base+uint32(n), left[n:]
	}
	e := &t.entries[w.ID]
	atomic.StoreUint32(&e.Affinity, w.AffinitySeconds)
	atomic.StoreUint64(&e.Desc, uint64(w.Base)<<32|uint64(len(w.Backends)))
	return nil
}

// read returns what the tables hold. A row that points out of range is left out; its
// frontend is removed, for it would be served from random memory.
func (t *table) read() ([]plan.Row, error) {
	var (
		rows []plan.Row
		bad  []programsFrontend
		key  programsFrontend
		id   uint32
	)
	for it := t.frontends.Iterate(); it.Next(&key, &id); {
		row, ok, err := t.row(key, id)
		if err != nil {
			return nil, err
		}
		if !ok {
			bad = append(bad, key)
			continue
		}
		rows = append(rows, row)
	}
	for _, k := range bad {
		if err := t.frontends.Delete(k); err != nil {
			return nil, fmt.Errorf("remove broken frontend: %w", err)
		}
	}
	return rows, nil
}

func (t *table) row(key programsFrontend, id uint32) (r plan.Row, ok bool, err error) {
	if int(id) >= len(t.entries) {
		return r, false, nil
	}
	e := &t.entries[id]
	desc := atomic.LoadUint64(&e.Desc)
	base, count := desc>>32, desc&(1<<32-1)
	if base+count > uint64(t.slots.MaxEntries()) {
		return r, false, nil
	}
	r = plan.Row{Frontend: frontendOf(key), ID: id, Base: uint32(base), AffinitySeconds: e.Affinity}
	for uint64(len(r.Backends)) < count {
		slots, err := t.slotsFrom(uint32(base) + uint32(len(r.Backends)))
		if err != nil {
			return r, false, err
		}
		for _, s := range slots[:min(uint64(len(slots)), count-uint64(len(r.Backends)))] {
			r.Backends = append(r.Backends, backendOf(s))
		}
	}
	return r, true, nil
}

// be32 and be16 lay a number out as it travels, in a field that C reads as it is.
func be32(a netip.Addr) uint32 {
	if !a.IsValid() {
		return 0
	}
	b := a.As4()
	return binary.NativeEndian.Uint32(b[:])
}

func be16(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

func addrOf(be uint32) netip.Addr {
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], be)
	return netip.AddrFrom4(b)
}

func frontendKey(f plan.Frontend) programsFrontend {
	return programsFrontend{Addr: be32(f.Addr), Port: be16(f.Port), Proto: uint8(f.Proto), Outside: oneIf(f.Outside)}
}

func frontendOf(k programsFrontend) plan.Frontend {
	f := plan.Frontend{Port: be16(k.Port), Proto: plan.Proto(k.Proto), Outside: k.Outside != 0}
	if k.Addr != 0 {
		f.Addr = addrOf(k.Addr)
	}
	return f
}

// slotOf is struct slot of bpf/tables.h as one number.
func slotOf(b plan.Backend) uint64 {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], uint64(b)<<16)
	return binary.NativeEndian.Uint64(raw[:])
}

func backendOf(slot uint64) plan.Backend {
	var raw [8]byte
	binary.NativeEndian.PutUint64(raw[:], slot)
	return plan.Backend(binary.BigEndian.Uint64(raw[:]) >> 16)
}
