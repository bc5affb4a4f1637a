package plan

import (
	"fmt"
	"slices"
)

// fill points an entry at the group's backends, in a fresh extent if they differ. An entry
// that has no room to grow gets as many as it had, those first that it has already.
func (c *changing) fill(id uint32, e *entry, g group) error {
	if e.known && slices.Equal(e.backends, g.backends) && e.affinity == g.affinity {
		e.owned = true
		return nil
	}
	if base, ok := c.extent(e, len(g.backends)); ok {
		c.point(id, e, base, g)
		return nil
	}
	if !e.known {
		return ErrFull
	}
	e.owned = true
	all := len(g.backends)
	if len(e.backends) == 0 {
		return fmt.Errorf("none of %d backends of %s: %w", all, g.fronts[0], ErrFull)
	}
	g.backends = fewer(g.backends, e.backends)
	full := fmt.Errorf("%d of %d backends of %s: %w", len(g.backends), all, g.fronts[0], ErrFull)
	if slices.Equal(e.backends, g.backends) && e.affinity == g.affinity {
		return full
	}
	if base, ok := c.extent(e, len(g.backends)); ok {
		c.point(id, e, base, g)
		return full
	}
	return fmt.Errorf("still the %d backends of before at %s: %w", len(e.backends), g.fronts[0], ErrFull)
}

// extent takes slots for n backends. What is as large as what the entry has may be of the
// spare ones, for the entry gives its own back.
func (c *changing) extent(e *entry, n int) (uint32, bool) {
	if n == 0 {
		return 0, true
	}
	leave := c.w.slots.spare
	if e.known && len(e.backends) > 0 && orderFor(n) <= orderFor(len(e.backends)) {
		leave = 0
	}
	return c.w.slots.alloc(orderFor(n), leave, c.now)
}

// point makes the entry lead to a group's backends at base.
func (c *changing) point(id uint32, e *entry, base uint32, g group) {
	c.restExtent(e)
	e.base, e.backends, e.affinity, e.known, e.owned = base, g.backends, g.affinity, true, true
	c.writes = append(c.writes, SetBackends{id, base, g.backends, g.affinity})
}

// fewer picks as many of the wanted backends as fit where others are, those first that
// are there already.
func fewer(want, there []Backend) []Backend {
	var stay, fresh []Backend
	for _, b := range want {
		if containsAll(there, []Backend{b}) {
			stay = append(stay, b)
		} else {
			fresh = append(fresh, b)
		}
	}
	out := append(stay, fresh...)
	out = out[:min(1<<orderFor(len(there)), len(out))]
	slices.Sort(out)
	return out
}

func (c *changing) restExtent(e *entry) {
	if e.known && len(e.backends) > 0 {
		c.w.slots.rest(e.base, orderFor(len(e.backends)), c.now)
	}
}
