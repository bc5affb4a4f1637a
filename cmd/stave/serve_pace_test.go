package main

import (
	"context"
	"runtime"
	"runtime/metrics"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

func TestRoomForGarbage(t *testing.T) {
	for _, c := range []struct {
		live, room uint64
		want       int
	}{
		{20 << 20, 192 << 20, 900},
		{64 << 20, 192 << 20, 300},
		{100 << 20, 192 << 20, 100},
		{400 << 20, 192 << 20, 100}, // never less than usual
		{0, 192 << 20, 19200},
		{64 << 20, 0, 100},
	} {
		if got := percent(c.live, c.room); got != c.want {
			t.Errorf("%d MB live, room for %d MB: %d, want %d", c.live>>20, c.room>>20, got, c.want)
		}
	}
	if room := roomForGarbage(); room == 0 || room > mostGarbage {
		t.Errorf("room for %d bytes", room)
	}
}

// Garbage may pile up once much has happened, and no longer when all is quiet again.
func TestGarbagePilesUpWhileMuchHappens(t *testing.T) {
	for runtime.GC(); gcPercent() != usualGC; time.Sleep(time.Millisecond) { // the start's pause ends with the first cycle
		runtime.GC()
	}
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{much: make(chan struct{}, 1), room: 1 << 40}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = p.run(ctx) }()
		happen := func(n int) {
			for range n {
				p.heard(projections.State{}, events.Envelope{}, nil)
			}
			synctest.Wait()
		}
		happen(muchIs - 1)
		if got := gcPercent(); got != usualGC {
			t.Errorf("after a few events: %d", got)
		}
		happen(1)
		if got := gcPercent(); got <= usualGC {
			t.Errorf("after many: %d", got)
		}
		time.Sleep(paceFor - time.Second)
		happen(muchIs)
		time.Sleep(paceFor - time.Second)
		if synctest.Wait(); gcPercent() <= usualGC {
			t.Error("it went on, and no garbage may pile up any more")
		}
		time.Sleep(time.Second)
		if synctest.Wait(); gcPercent() != usualGC {
			t.Errorf("long after: %d", gcPercent())
		}
		before := forcedGCs()
		time.Sleep(restAfter - time.Second)
		if synctest.Wait(); forcedGCs() != before {
			t.Error("memory is given back while it may be needed soon")
		}
		time.Sleep(time.Second)
		if synctest.Wait(); forcedGCs() == before {
			t.Error("memory is not given back after a long calm")
		}
		before = forcedGCs()
		time.Sleep(time.Hour)
		if synctest.Wait(); forcedGCs() != before {
			t.Error("memory is given back though nothing happened")
		}
		happen(muchIs)
		cancel()
		<-done
		if got := gcPercent(); got != usualGC {
			t.Errorf("at the end: %d", got)
		}
	})
}

func gcPercent() int { return int(metric("/gc/gogc:percent")) }

// forcedGCs are the collections that somebody asked for, as giving memory back does.
func forcedGCs() uint64 { return metric("/gc/cycles/forced:gc-cycles") }

func metric(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
