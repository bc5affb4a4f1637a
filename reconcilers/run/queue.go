package run

import (
	"container/heap"
	"time"

	"github.com/stave-run/stave/events"
)

// item is a key that waits, is being decided, or wants to be woken.
type item struct {
	id    id
	cause events.Seq // the event that woke it
	state state
	again bool      // woken while it was being decided
	wake  time.Time // zero: never
	heap  int       // its place among the wakes, -1 when it has none
	long  bool      // its last decision was cut short: there is more
}

// state is where an item is; it is in one place at a time.
type state uint8

const (
	idle     state = iota
	waiting        // in the queue, or blocked by a decision under way
	deciding       // between Next and Done
	parked         // in doubt
)

// queue is first in, first out.
type queue struct {
	items []*item
	head  int
}

func (q *queue) push(it *item) { q.items = append(q.items, it) }

func (q *queue) empty() bool { return q.head == len(q.items) }

// pop takes the first item, nil when there is none.
func (q *queue) pop() *item {
	if q.empty() {
		q.items, q.head = q.items[:0], 0
		return nil
	}
	it := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	if q.head > 1024 && q.head*2 > len(q.items) {
		q.items, q.head = append([]*item(nil), q.items[q.head:]...), 0
	}
	return it
}

// wakes is a heap of the items that want to be woken, soonest first.
type wakes struct{ byTime byTime }

func (w *wakes) first() time.Time {
	if len(w.byTime) == 0 {
		return time.Time{}
	}
	return w.byTime[0].wake
}

// set gives an item its time; the zero time takes it out.
func (w *wakes) set(it *item, at time.Time) {
	it.wake = at
	switch {
	case at.IsZero() && it.heap >= 0:
		heap.Remove(&w.byTime, it.heap)
	case at.IsZero():
	case it.heap >= 0:
		heap.Fix(&w.byTime, it.heap)
	default:
		heap.Push(&w.byTime, it)
	}
}

// pop takes an item whose time has come, nil when there is none.
func (w *wakes) pop(now time.Time) *item {
	if len(w.byTime) == 0 || w.byTime[0].wake.After(now) {
		return nil
	}
	it := heap.Pop(&w.byTime).(*item)
	it.wake = time.Time{}
	return it
}

// byTime implements heap.Interface.
type byTime []*item

func (b byTime) Len() int           { return len(b) }
func (b byTime) Less(i, j int) bool { return b[i].wake.Before(b[j].wake) }

func (b byTime) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].heap, b[j].heap = i, j
}

// Push implements heap.Interface.
func (b *byTime) Push(x any) {
	it := x.(*item)
	it.heap = len(*b)
	*b = append(*b, it)
}

// Pop implements heap.Interface.
func (b *byTime) Pop() any {
	old := *b
	it := old[len(old)-1]
	old[len(old)-1] = nil
	it.heap, *b = -1, old[:len(old)-1]
	return it
}
