package kube

import (
	"sync"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// ringSize is how many of the newest events watches find in memory, and ringBytes
// how many bytes of bodies, but for the newest: each holds the rows that it
// changed. One that is further behind reads the log.
const (
	ringSize  = 1024
	ringBytes = 16 << 20
)

// batchSize is how many events a watch takes at a time.
const batchSize = 64

// tick is one durable event with the states around it.
type tick struct {
	seq           events.Seq
	bytes         int // of its body
	before, after projections.State
	changes       []projections.Change
}

// feed keeps the newest events once for all watches. A slow watch holds up
// neither the feed nor the others.
type feed struct {
	mu    sync.Mutex
	ring  [ringSize]tick
	taken int               // ticks so far; the newest is ring[(taken-1)%ringSize]
	first int               // the oldest that is kept is ring[first%ringSize]
	bytes int               // of the bodies of those
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
	for f.first < f.taken && (f.taken-f.first == ringSize || f.bytes+len(e.Body) > ringBytes) {
		oldest := &f.ring[f.first%ringSize]
		f.bytes -= oldest.bytes
		*oldest = tick{}
		f.first++
	}
	f.ring[f.taken%ringSize] = tick{e.Seq, len(e.Body), f.last, v, changes}
	f.bytes += len(e.Body)
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
	floor := f.last.Seq
	if f.first < f.taken {
		floor = f.ring[f.first%ringSize].before.Seq
	}
	if p < events.At(floor, events.MaxRows-1) {
		return nil, nil, false
	}
	for i := f.firstAfter(p); i < f.taken && len(ticks) < batchSize; i++ {
		ticks = append(ticks, f.ring[i%ringSize])
	}
	return ticks, f.more, true
}

// firstAfter is the first tick that has rows after a position.
func (f *feed) firstAfter(p events.Position) int {
	low, high := f.first, f.taken
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
