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
	moved chan struct{} // closed and replaced when an address leaves
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
		lost = append(lost, b.of[s.Key]...)
		b.enter(s)
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

// enter counts a service's endpoints. One that also leads to who is not ready keeps nobody waiting.
func (b *behind) enter(s projections.NetService) {
	var now []netip.Addr
	for _, p := range s.Ports {
		for _, e := range p.Endpoints {
			if a, err := netip.ParseAddrPort(e); err == nil && !s.PublishNotReady {
				now = append(now, a.Addr())
				b.count[a.Addr()]++
			}
		}
	}
	b.of[s.Key] = now
}

func (b *behind) leave(lost []netip.Addr) {
	now, some := b.now(), false
	for _, a := range lost {
		if b.count[a]--; b.count[a] <= 0 {
			delete(b.count, a)
			b.left[a], some = now, true
		}
	}
	if !some {
		return
	}
	for a, at := range b.left {
		if now.Sub(at) > settling {
			delete(b.left, a)
		}
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
