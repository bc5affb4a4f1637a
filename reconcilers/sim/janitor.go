package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// cut is the janitor's: it takes some of the log's beginning, and then has the
// log told, which may fail as every request may. The next cut makes up for it.
func (w *World) cut(rng *rand.Rand) {
	first := events.Seq(1 + rng.IntN(len(w.store.log)))
	if first <= w.store.first {
		return
	}
	w.note("the log is cut before %d", first)
	w.store.cut(first)
	w.submit(run.Request{Actor: events.Controller("janitor"), ID: fmt.Sprintf("cut-%d", first), Key: projections.ClusterKey,
		Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
			if v.Horizon >= first {
				return nil, nil
			}
			return []reconcilers.Draft{{Subject: events.CutSubject, Type: events.HistoryCut, Body: events.MustBody(events.Cut{First: first})}}, nil
		}})
}

// expects: after a cut the fold still knows what the log asks of whoever writes a
// subject again.
func (j *judge) expects(after projections.State) {
	//stave:sorted: the first that is found is told
	for subject, seq := range j.w.store.last {
		if k, err := subject.Key(); err == nil && subject.Class() == "spec" && after.LastSpec(k) != seq {
			j.w.fail("expects", "the log's last of %s is %d, the fold says %d", subject, seq, after.LastSpec(k))
		}
	}
}
