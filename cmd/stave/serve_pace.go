package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// The garbage collector marks all rows of the cluster each time that as much has been allocated as is in use. Of a small
// cluster in the middle of a large rollout that is ten times a second, and a quarter of its work. So garbage may pile up
// while much happens, and is given back after it.
const (
	// muchIs is how many events make it busy.
	muchIs = 256
	// paceFor is for how long it then counts as busy, at least, and how often the live heap is looked at.
	paceFor = 3 * time.Second
	// restAfter is how long it must then be calm until what it no longer needs is given back at once.
	restAfter = 30 * time.Second
	// mostGarbage is how many bytes of it may pile up, or a part in garbageShare of the memory there is; more when more is
	// in use, as always.
	mostGarbage  = 192 << 20
	garbageShare = 16
)

// pace lets garbage pile up while much happens, and gives memory back after it. Who sets GOGC decides alone.
func (c *cluster) pace() {
	if os.Getenv("GOGC") != "" {
		return
	}
	p := &pacer{much: make(chan struct{}, 1), room: roomForGarbage()}
	stop := c.view.OnDurable(p.heard)
	c.background("pace", func(ctx context.Context) error {
		defer stop()
		return p.run(ctx)
	})
}

// pacer counts events and sets the garbage collector's percentage by them.
type pacer struct {
	events atomic.Int64
	much   chan struct{} // holds one: many events were folded
	room   uint64        // bytes
}

func (p *pacer) heard(projections.State, events.Envelope, []projections.Change) {
	if p.events.Add(1)%muchIs != 0 {
		return
	}
	select {
	case p.much <- struct{}{}:
	default:
	}
}

func (p *pacer) run(ctx context.Context) error {
	defer debug.SetGCPercent(usualGC)
	now, busy := usualGC, true // a start needs much for a moment
	calm := time.NewTimer(paceFor)
	defer calm.Stop()
	for {
		next := usualGC
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-calm.C:
			if !busy {
				runtime.GC() // what lies in pools outlives one collection
				debug.FreeOSMemory()
				continue // until much happens again
			}
			busy = false
			calm.Reset(restAfter)
		case <-p.much:
			next, busy = percent(liveHeap(), p.room), true
			calm.Reset(paceFor)
		}
		if next != now {
			debug.SetGCPercent(next)
			now = next
		}
	}
}

// usualGC is Go's own default.
const usualGC = 100

// percent is by how much the heap may outgrow what lives so that there is room for so many bytes of garbage, in steps:
// to change it stops the world for a moment.
func percent(live, room uint64) int {
	return max(usualGC, int(100*room/max(live, 1<<20))/usualGC*usualGC)
}

// liveHeap is what the last collection found in use, in bytes.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

func roomForGarbage() uint64 {
	var i unix.Sysinfo_t
	if unix.Sysinfo(&i) != nil {
		return 0
	}
	return min(mostGarbage, uint64(i.Totalram)*uint64(i.Unit)/garbageShare)
}
