package api

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	inmemory "github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
	"github.com/stave-run/stave/reconcilers/stage"
)

// keptAt is a past of one checkpoint.
type keptAt struct{ s projections.State }

func (k keptAt) Before(within func(events.Seq, time.Time) bool) (projections.State, bool) {
	return k.s, within(k.s.Seq, k.s.Time)
}

func (keptAt) Origin(events.Seq, events.Key) (*why.Origin, error) { return nil, nil }

// A moment is folded from the checkpoint below it: what was cut off before that
// is not needed.
func TestThePastIsFoldedFromACheckpoint(t *testing.T) {
	w := stage.New()
	log := inmemory.NewLog(func() time.Time { return stage.Start })
	var half, late projections.State
	for i := range 3 * keepEvery {
		k := stage.In(events.ConfigMaps, fmt.Sprint("c", i%10))
		w.Apply(k, fmt.Sprintf(`{"metadata":{"name":%q},"data":{"n":"%d"}}`, k.Name, i))
		switch i {
		case 2 * keepEvery:
			half = w.State
		case 2*keepEvery + 100:
			late = w.State
		}
	}
	for _, e := range w.Log {
		if _, err := log.Append(t.Context(), []bus.Record{{Envelope: e}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Cut(t.Context(), half.Seq); err != nil {
		t.Fatal(err)
	}
	s := &Server{Options: Options{Log: log, Now: time.Now, Past: keptAt{half}}}
	v, err := s.refold(t.Context(), w.State, wire.Moment{Seq: late.Seq})
	if err != nil || !bytes.Equal(v.Dump(), late.Dump()) {
		t.Errorf("at %d, %v", v.Seq, err)
	}
	if _, err = s.refold(t.Context(), w.State, wire.Moment{Seq: half.Seq - 1}); err == nil || !strings.Contains(err.Error(), fmt.Sprint("history begins at ", half.Seq)) {
		t.Errorf("below the horizon: %v", err)
	}
}
