package kube

import (
	"sync"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// ringSize is how many of the newest events watches find in memory. One that
// is further behind reads the log.
const ringSize = 1024

// batchSize is how many events a watch takes at a time.
const batchSize = 64

// tick is one durable event with the states around it.
type tick struct {
	seq           events.Seq
	before, after projections.State
	changes       []projections.Change
}

// feed keeps the newest events once for all watches. A slow watch holds up
// neither the feed nor the others.
type feed struct {
	mu    sync.Mutex
	ring  [ringSize]tick
	taken int               // ticks so far; the newest is ring[(taken-1)%ringSize]
	last  projections.State // after the newest
	more  chan struct{}     // closed when a tick comes
	stop  func()

	editions editions // that watches told
}

func newFeed(views Views) *feed {
	f := &feed{more: make(chan struct{})}
	f.mu.Lock() // no event is taken before it is known where they begin
	defer f.mu.Unlock()
	f.stop = views.OnDurable(f.take)
	f.last = views.Durable()
	return f
}

func (f *feed) close() { f.stop() }

func (f *feed) take(v projections.State, e events.Envelope, changes []projections.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Seq <= f.last.Seq {
		return
	}
	f.ring[f.taken%ringSize] = tick{e.Seq, f.last, v, changes}
	f.taken++
	f.last = v
	close(f.more)
	f.more = make(chan struct{})
}

// since is what came after a position, in order, at most batchSize of it; more
// is closed when there is something new. ok is false when the ring does not
// reach back that far.
func (f *feed) since(p events.Position) (ticks []tick, more <-chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldest := max(0, f.taken-ringSize)
	floor := f.last.Seq
	if oldest < f.taken {
		floor = f.ring[oldest%ringSize].before.Seq
	}
	if p < events.At(floor, events.MaxRows-1) {
		return nil, nil, false
	}
	for i := f.firstAfter(p, oldest); i < f.taken && len(ticks) < batchSize; i++ {
		ticks = append(ticks, f.ring[i%ringSize])
	}
	return ticks, f.more, true
}

// firstAfter is the first tick from oldest on that has rows after a position.
func (f *feed) firstAfter(p events.Position, oldest int) int {
	low, high := oldest, f.taken
	for low < high {
		middle := low + (high-low)/2
		if events.At(f.ring[middle%ringSize].seq, events.MaxRows-1) <= p {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}
