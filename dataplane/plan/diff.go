package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Diff returns the writes that make the tables serve exactly the wanted services,
// and advances the model. The comparison walks all services; the writes are only
// for what differs. The error is of type [Refusals] and names the services that could not
// be placed, all of them; the writes are valid nevertheless.
func Diff(want []Service, w *Written, now time.Time) ([]Write, error) {
	w.expect(len(want))
	var put []wish
	wanted := make(map[string]bool, len(w.asked))
	for _, s := range want {
		if len(w.asked) > 0 {
			wanted[s.Key] = true
		}
		g := groups(s)
		if was, ok := w.asked[s.Key]; !ok || w.unplaced[s.Key] != nil || !slices.EqualFunc(was, g, group.equal) {
			put = append(put, wish{s.Key, g})
		}
	}
	var drop []string
	for key := range w.asked {
		if !wanted[key] {
			drop = append(drop, key)
		}
	}
	slices.Sort(drop)
	return w.change(put, drop, w.unclaimed(), now)
}

// Change puts and drops single services: the cost is that of what changed, however
// many others there are. A key must not be in both lists.
func (w *Written) Change(put []Service, drop []string, now time.Time) ([]Write, error) {
	wishes := make([]wish, len(put))
	for i, s := range put {
		wishes[i] = wish{s.Key, groups(s)}
	}
	return w.change(wishes, drop, nil, now)
}

// wish is what a service needs in the tables.
type wish struct {
	key    string
	groups []group
}

// unclaimed are the frontends left over from an earlier life of the process.
func (w *Written) unclaimed() []Frontend {
	var out []Frontend
	for f, b := range w.bound {
		if b.key == "" {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, compareFrontends)
	return out
}

// change works in three steps whose order keeps lookups whole: let go (in the model
// only), place, and only then unbind what nobody took. Sockets are shed at the end.
func (w *Written) change(put []wish, drop []string, loose []Frontend, now time.Time) ([]Write, error) {
	c := &changing{w: w, now: now, loose: loose, had: map[Frontend][]Backend{}}
	var refused Refusals
	for _, f := range loose {
		c.recall(f)
	}
	for _, key := range drop {
		c.letGo(key)
		delete(w.asked, key)
		delete(w.unplaced, key)
	}
	for _, s := range put {
		c.letGo(s.key)
	}
	for _, s := range put {
		err := c.place(s)
		w.asked[s.key] = s.groups
		delete(w.unplaced, s.key)
		if err != nil {
			w.unplaced[s.key] = err
			refused = append(refused, Refusal{s.key, err})
		}
	}
	c.unbindLoose()
	c.shed()
	if len(refused) > 0 {
		return c.writes, refused
	}
	return c.writes, nil
}

// changing is one change under way.
type changing struct {
	w      *Written
	now    time.Time
	loose  []Frontend // given up; unbound at the end unless placed again
	writes []Write
	had    map[Frontend][]Backend // of UDP frontends: their backends before
	udp    []Frontend             // the keys of had, in the order in which they came
}

// letGo makes a service's frontends and entries free to be claimed.
func (c *changing) letGo(key string) {
	for _, g := range c.w.asked[key] {
		for _, f := range g.fronts {
			b, ok := c.w.bound[f]
			if !ok || b.key != key {
				continue
			}
			c.recall(f)
			c.w.bound[f] = binding{id: b.id}
			c.w.entries[b.id].owned = false
			c.loose = append(c.loose, f)
		}
	}
}

// recall keeps what a UDP frontend leads to before it is changed. No socket of the node or
// of its pods has its backend from one for packets from outside.
func (c *changing) recall(f Frontend) {
	b, ok := c.w.bound[f]
	if f.Proto != UDP || f.Outside || !ok {
		return
	}
	if _, twice := c.had[f]; !twice {
		c.had[f] = c.w.entries[b.id].backends
		c.udp = append(c.udp, f)
	}
}

// shed ends the change for who is connected to a backend that a frontend has lost.
func (c *changing) shed() {
	for _, f := range c.udp {
		if !containsAll(c.w.backends(f), c.had[f]) {
			c.writes = append(c.writes, Shed{f})
		}
	}
}

// containsAll says whether a sorted set holds all of another one.
func containsAll(set, of []Backend) bool {
	for _, x := range of {
		if _, ok := slices.BinarySearch(set, x); !ok {
			return false
		}
	}
	return true
}

func (c *changing) place(s wish) error {
	var errs []error
	for _, g := range s.groups {
		g.fronts, errs = c.available(g.fronts, errs)
		if len(g.fronts) == 0 {
			continue
		}
		id, ok, err := c.claim(g)
		if err != nil {
			errs = append(errs, err)
		}
		if !ok {
			c.keep(g.fronts, s.key)
			continue
		}
		for _, f := range g.fronts {
			c.bind(f, id, s.key)
		}
	}
	return errors.Join(errs...)
}

// keep leaves frontends that could not be placed anew where they lead.
func (c *changing) keep(fronts []Frontend, key string) {
	for _, f := range fronts {
		if b, ok := c.w.bound[f]; ok {
			c.w.bound[f] = binding{b.id, key}
			c.w.entries[b.id].owned = true
		}
	}
}

// available are the frontends that no service holds.
func (c *changing) available(fronts []Frontend, errs []error) ([]Frontend, []error) {
	taken := func(f Frontend) bool {
		b, ok := c.w.bound[f]
		if ok && b.key != "" {
			errs = append(errs, fmt.Errorf("%s: %w %s", f, ErrTaken, b.key))
		}
		return ok && b.key != ""
	}
	return slices.DeleteFunc(slices.Clone(fronts), taken), errs
}

// claim finds the entry for a group: the one that its frontends lead to already, or
// a new one. It is filled with the group's backends, or as many as there is room for;
// ok is false when there is none.
func (c *changing) claim(g group) (id uint32, ok bool, err error) {
	if id, ok := c.current(g); ok {
		return id, true, c.fill(id, c.w.entries[id], g)
	}
	if id, ok = c.w.ids.alloc(0, 0, c.now); !ok {
		return 0, false, ErrFull
	}
	e := &entry{}
	if err := c.fill(id, e, g); err != nil {
		c.w.ids.rest(id, 0, c.now)
		return 0, false, err
	}
	c.w.entries[id] = e
	return id, true, nil
}

// current is the entry that can be kept. It can't when a frontend leads to it that is
// not of this group: that one may be moving to another service in this very change,
// and must keep its old backends until it gets there.
func (c *changing) current(g group) (uint32, bool) {
	b, ok := c.w.bound[g.fronts[0]]
	if !ok {
		return 0, false
	}
	e, here := c.w.entries[b.id], 0
	for _, f := range g.fronts {
		if o, ok := c.w.bound[f]; ok && o.id == b.id {
			here++
		}
	}
	return b.id, e.known && !e.owned && e.fronts == here
}

func (c *changing) bind(f Frontend, id uint32, key string) {
	old, had := c.w.bound[f]
	c.w.bound[f] = binding{id, key}
	if had && old.id == id {
		return
	}
	c.w.entries[id].fronts++
	c.writes = append(c.writes, Bind{f, id, !had})
	if had {
		c.leave(old.id)
	}
}

// unbindLoose removes the frontends that were given up and not taken again.
func (c *changing) unbindLoose() {
	for _, f := range c.loose {
		b, ok := c.w.bound[f]
		if !ok || b.key != "" {
			continue
		}
		delete(c.w.bound, f)
		c.w.unbound++
		c.writes = append(c.writes, Unbind{f})
		c.leave(b.id)
	}
}

// leave gives an entry back when its last frontend left it.
func (c *changing) leave(id uint32) {
	e := c.w.entries[id]
	if e.fronts--; e.fronts > 0 {
		return
	}
	c.restExtent(e)
	delete(c.w.entries, id)
	if e.known {
		c.w.ids.rest(id, 0, c.now)
	}
}

func compareFrontends(a, b Frontend) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Proto, b.Proto), compareBools(a.Outside, b.Outside))
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
