package api

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// The kept states are few and spread over the log, whatever was asked.
func TestKeptStatesSpread(t *testing.T) {
	var m memory
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const many = 64
	for i := range many {
		v := projections.Empty()
		v.Seq, v.Time = events.Seq(i+1)*100, start.Add(time.Duration(i)*time.Minute)
		m.keep(v)
		m.keep(v) // twice is once
		if len(m.kept) > keptStates {
			t.Fatalf("%d states are kept", len(m.kept))
		}
	}
	for _, asked := range []events.Seq{many * 100, 5000, 1200, 99} {
		v := m.before(wire.Moment{Seq: asked})
		if v.Seq > asked || asked-v.Seq > 1600 {
			t.Errorf("for %d the fold begins at %d", asked, v.Seq)
		}
	}
	if v := m.before(wire.Moment{Time: start.Add(90 * time.Second)}); v.Time.After(start.Add(90 * time.Second)) {
		t.Errorf("begins at %s, which is too late", v.Time)
	}
}

// What nobody asks about any more costs no memory.
func TestKeptStatesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m memory
		v := projections.Empty()
		v.Seq = 7
		m.keep(v)
		for range 3 { // questions keep it
			time.Sleep(keptFor - time.Second)
			if got := m.before(wire.Moment{Seq: 9}); got.Seq != 7 {
				t.Fatalf("forgotten while it is asked for: %d", got.Seq)
			}
		}
		time.Sleep(keptFor + time.Second)
		synctest.Wait()
		if len(m.kept) > 0 {
			t.Error("kept for ever")
		}
	})
}
