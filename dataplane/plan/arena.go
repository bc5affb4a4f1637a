package plan

import (
	"math/bits"
	"time"
)

// Quarantine is how long an extent or an id rests after its last use. A program
// that read the old pointer runs for microseconds, but may be preempted; a second
// is far beyond any preemption and costs nothing at the rate at which services change.
const Quarantine = time.Second

// arena hands out power-of-two blocks of a range of numbers (slots, ids) and merges
// them again when they come back, so that years of churn do not fragment it. Freed
// blocks rest in quarantine first. Everything is deterministic.
type arena struct {
	top     uint8            // the whole range is 1<<top
	free    map[uint32]uint8 // base of a free block → its order
	stacks  [][]uint32       // candidates by order; stale ones are skipped on use
	resting []restingBlock   // oldest first
	freed   int              // how many blocks have come back
	left    uint32           // how many numbers are in free blocks
	spare   uint32           // how many of them only who gives as many back may use
}

type restingBlock struct {
	base  uint32
	order uint8
	since time.Time
}

func newArena(top uint8) *arena {
	a := &arena{top: top, free: map[uint32]uint8{}, stacks: make([][]uint32, top+1)}
	a.push(0, top)
	return a
}

// orderFor is the smallest order whose block holds n numbers; n ≥ 1.
func orderFor(n int) uint8 { return uint8(bits.Len(uint(n - 1))) }

func (a *arena) push(base uint32, order uint8) {
	a.free[base] = order
	a.left += 1 << order
	a.stacks[order] = append(a.stacks[order], base)
}

// pop takes a free block of exactly this order. A candidate is stale when its block
// was merged or reserved after it was put on the stack.
func (a *arena) pop(order uint8) (uint32, bool) {
	for s := a.stacks[order]; len(s) > 0; s = a.stacks[order] {
		base := s[len(s)-1]
		a.stacks[order] = s[:len(s)-1]
		if o, ok := a.free[base]; ok && o == order {
			a.take(base, order)
			return base, true
		}
	}
	return 0, false
}

// take makes a free block used.
func (a *arena) take(base uint32, order uint8) {
	delete(a.free, base)
	a.left -= 1 << order
}

// alloc takes a block, splitting a larger one when there is none of its size. It leaves
// a number of free ones for others.
func (a *arena) alloc(order uint8, leave uint32, now time.Time) (uint32, bool) {
	a.wake(now)
	if uint64(a.left) < uint64(leave)+1<<order {
		return 0, false
	}
	for o := order; o <= a.top; o++ {
		if base, ok := a.pop(o); ok {
			a.split(base, o, order)
			return base, true
		}
	}
	return 0, false
}

// split gives back the upper halves of a block until it has the wanted order.
func (a *arena) split(base uint32, from, to uint8) {
	for o := from; o > to; o-- {
		a.push(base+1<<(o-1), o-1)
	}
}

// reserve marks a block as used that was handed out in an earlier life. It fails
// when any of it is in use already.
func (a *arena) reserve(base uint32, order uint8) bool {
	if order > a.top || base&(1<<order-1) != 0 {
		return false
	}
	for o := order; o <= a.top; o++ {
		whole := base &^ (1<<o - 1)
		if have, ok := a.free[whole]; ok && have == o {
			a.take(whole, o)
			a.carve(whole, o, base, order)
			return true
		}
	}
	return false
}

// carve splits a block down to the one at base and frees everything beside it.
func (a *arena) carve(whole uint32, from uint8, base uint32, to uint8) {
	for o := from; o > to; o-- {
		half := uint32(1) << (o - 1)
		if base&half == 0 {
			a.push(whole+half, o-1)
			continue
		}
		a.push(whole, o-1)
		whole += half
	}
}

// rest puts a block into quarantine.
func (a *arena) rest(base uint32, order uint8, now time.Time) {
	a.resting = append(a.resting, restingBlock{base, order, now})
}

// wake frees the blocks that have rested long enough.
func (a *arena) wake(now time.Time) {
	n := 0
	for n < len(a.resting) && now.Sub(a.resting[n].since) >= Quarantine {
		a.release(a.resting[n].base, a.resting[n].order)
		n++
	}
	a.resting = a.resting[n:]
}

// release frees a block and merges it with its other half as far up as possible.
func (a *arena) release(base uint32, order uint8) {
	a.freed++
	for order < a.top {
		buddy := base ^ 1<<order
		if o, ok := a.free[buddy]; !ok || o != order {
			break
		}
		a.take(buddy, order)
		base &^= 1 << order
		order++
	}
	a.push(base, order)
}
