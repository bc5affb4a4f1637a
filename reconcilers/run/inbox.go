package run

import (
	"sync"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// inbox hands folded events from the follower's goroutine to the loop's.
type inbox struct {
	mu    *sync.Mutex
	items []folded
	spare []folded      // room for as many again, empty
	some  chan struct{} // holds one token while items may be waiting
	after events.Seq    // events up to here are in the view that the loop began with
}

type folded struct {
	v       projections.State
	e       events.Envelope
	changes []projections.Change
}

func newInbox() inbox { return inbox{mu: &sync.Mutex{}, some: make(chan struct{}, 1)} }

func (b *inbox) put(v projections.State, e events.Envelope, changes []projections.Change) {
	b.mu.Lock()
	b.items = append(b.items, folded{v, e, changes})
	b.mu.Unlock()
	select {
	case b.some <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []folded {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.items
	b.items, b.spare = b.spare, nil
	return out
}

// maxSpare is how much room is kept for the next.
const maxSpare = 4096

// read gives back what take gave, when nobody looks at it any more: an event is a kilobyte here, and its views keep rows
// that are gone.
func (b *inbox) read(items []folded) {
	clear(items)
	b.mu.Lock()
	defer b.mu.Unlock()
	if cap(items) <= maxSpare {
		b.spare = items[:0]
	}
}
