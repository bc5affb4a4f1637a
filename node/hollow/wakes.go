package hollow

import (
	"container/heap"
	"time"

	"github.com/stave-run/stave/events"
)

// wakes is a heap of the pods that want to be looked at, soonest first. One may be in it twice: looking is harmless.
type wakes []wake

type wake struct {
	at  time.Time
	uid events.UID
}

func (w *wakes) add(at time.Time, uid events.UID) {
	if !at.IsZero() {
		heap.Push(w, wake{at, uid})
	}
}

func (w *wakes) pop(now time.Time) (events.UID, bool) {
	if len(*w) == 0 || (*w)[0].at.After(now) {
		return "", false
	}
	return heap.Pop(w).(wake).uid, true
}

// first is when the next wants to be looked at; zero is never.
func (w wakes) first() time.Time {
	if len(w) == 0 {
		return time.Time{}
	}
	return w[0].at
}

// Len implements heap.Interface.
func (w wakes) Len() int { return len(w) }

// Less implements heap.Interface.
func (w wakes) Less(i, j int) bool { return w[i].at.Before(w[j].at) }

// Swap implements heap.Interface.
func (w wakes) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push implements heap.Interface.
func (w *wakes) Push(x any) { *w = append(*w, x.(wake)) }

// Pop implements heap.Interface.
func (w *wakes) Pop() any {
	last := len(*w) - 1
	x := (*w)[last]
	*w = (*w)[:last]
	return x
}
