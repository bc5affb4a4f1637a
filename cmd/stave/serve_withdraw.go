package main

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// settling is how long after the tables were written something may still arrive that was sent by the old ones: a
// connection whose backend was chosen and whose first packet was not sent yet, and one that its program has not accepted
// yet. Both are a matter of when the kernel lets them run.
const settling = 200 * time.Millisecond

// behind knows which addresses the node's tables lead to, and since when they no longer lead to one.
type behind struct {
	now func() time.Time

	mu    sync.Mutex
	of    map[events.Key][]netip.Addr // the addresses behind each service, one entry an endpoint
	count map[netip.Addr]int
	left  map[netip.Addr]time.Time
	old   []departure   // what is in left, oldest first; of an address that left twice the first is stale
	moved chan struct{} // closed and replaced when an address leaves
}

type departure struct {
	from netip.Addr
	at   time.Time
}

func newBehind() *behind {
	return &behind{now: time.Now, of: map[events.Key][]netip.Addr{}, count: map[netip.Addr]int{}, left: map[netip.Addr]time.Time{}, moved: make(chan struct{})}
}

// written notes what the tables hold from now on.
func (b *behind) written(put []projections.NetService, drop []events.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lost []netip.Addr
	for _, s := range put {
		lost = append(lost, b.enter(s)...)
	}
	for _, k := range drop {
		lost = append(lost, b.of[k]...)
		delete(b.of, k)
	}
	b.leave(lost)
}

// replaced notes that the tables hold these services and no others.
func (b *behind) replaced(all []projections.NetService) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var lost []netip.Addr
	for _, was := range b.of {
		lost = append(lost, was...)
	}
	clear(b.of)
	for _, s := range all {
		b.enter(s)
	}
	b.leave(lost)
}

// enter counts a service's endpoints, and returns those that it had and that are still to be counted off. One that also
// leads to who is not ready keeps nobody waiting.
func (b *behind) enter(s projections.NetService) (lost []netip.Addr) {
	was := b.of[s.Key]
	now := make([]netip.Addr, 0, len(was)+1)
	for _, p := range s.Ports {
		for _, e := range p.Endpoints {
			if a, err := netip.ParseAddrPort(e); err == nil && !s.PublishNotReady {
				now = append(now, a.Addr())
			}
		}
	}
	b.of[s.Key] = now
	// What is at both ends of both lists has not moved: of a hundred endpoints one is counted, not two hundred.
	for len(now) > 0 && len(was) > 0 && now[0] == was[0] {
		now, was = now[1:], was[1:]
	}
	for len(now) > 0 && len(was) > 0 && now[len(now)-1] == was[len(was)-1] {
		now, was = now[:len(now)-1], was[:len(was)-1]
	}
	for _, a := range now {
		b.count[a]++
	}
	return was
}

func (b *behind) leave(lost []netip.Addr) {
	now, some := b.now(), false
	for _, a := range lost {
		if b.count[a]--; b.count[a] <= 0 {
			delete(b.count, a)
			b.left[a], some = now, true
			b.old = append(b.old, departure{a, now})
		}
	}
	if !some {
		return
	}
	// A few at a time, but more than came: after a million left at once nobody waits for the sweeping.
	for n := 2*len(lost) + 100; n > 0 && len(b.old) > 0 && now.Sub(b.old[0].at) > settling; n-- {
		if d := b.old[0]; b.left[d.from].Equal(d.at) {
			delete(b.left, d.from)
		}
		b.old = b.old[1:]
	}
	close(b.moved)
	b.moved = make(chan struct{})
}

// nobody waits until no service leads to an address and what was on its way has arrived.
func (b *behind) nobody(ctx context.Context, a netip.Addr) error {
	for {
		b.mu.Lock()
		leads, left, moved := b.count[a] > 0, b.left[a], b.moved
		b.mu.Unlock()
		if !leads {
			sleep(ctx, left.Add(settling).Sub(b.now()))
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}
