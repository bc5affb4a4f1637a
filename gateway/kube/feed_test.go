package kube

import (
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// The ring forgets the oldest by number and by bytes, and whoever is behind it is
// told so; what it has is whole.
func TestTheRingHasBounds(t *testing.T) {
	for name, c := range map[string]struct {
		body int // bytes
		kept int // ticks
	}{
		"small":                 {100, ringSize},
		"large":                 {1 << 20, 16},
		"larger than the bound": {ringBytes + 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := &feed{more: make(chan struct{}), last: projections.Empty()}
			const newest = 3000
			body := make([]byte, c.body)
			for seq := events.Seq(1); seq <= newest; seq++ {
				v := projections.Empty()
				v.Seq = seq
				f.take(v, events.Envelope{Seq: seq, Body: body}, nil)
			}
			if f.bytes != c.kept*c.body {
				t.Errorf("%d bytes are counted", f.bytes)
			}
			at := events.At(events.Seq(newest-c.kept), events.MaxRows-1)
			if _, _, ok := f.since(at - 1); ok {
				t.Error("it reaches further back than that")
			}
			for next := events.Seq(newest - c.kept + 1); next <= newest; {
				ticks, _, ok := f.since(at)
				if !ok || len(ticks) == 0 {
					t.Fatalf("nothing after %v", at)
				}
				for _, x := range ticks {
					if x.seq != next || x.before.Seq != next-1 || x.after.Seq != next {
						t.Fatalf("%d where %d was expected", x.seq, next)
					}
					next++
					at = events.At(x.seq, events.MaxRows-1)
				}
			}
		})
	}
}
