package sim

import (
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/recheck"
)

// lazier is a reconciler of a later program, which decides less.
type lazier struct{ reconcilers.Reconciler }

func (l lazier) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	d := l.Reconciler.Decide(v, k, now)
	d.Events = d.Events[:min(len(d.Events), 1)]
	return d
}

// A program that decides otherwise is found out, each decision by its first
// event; one that lacks a reconciler says how much it cannot tell.
func TestAnotherProgramIsFoundOut(t *testing.T) {
	w := newWorld(7, Plant{})
	w.found()
	for _, a := range plain(7, actions) {
		w.perform(a)
	}
	w.heal()
	again := func(rs []reconcilers.Reconciler) (recheck.Tally, []recheck.Finding) {
		var found []recheck.Finding
		c := recheck.New(clusterName, projections.Empty(), rs, func(f recheck.Finding) { found = append(found, f) })
		for _, e := range w.store.log {
			c.Take(e)
		}
		c.Close()
		return c.Tally, found
	}
	same, found := again(everyone())
	if same.Decisions < 20 || same.Different != 0 || same.Unknown != 0 || same.Old != 0 || len(found) != 0 {
		t.Fatalf("this program's own: %+v, %+v", same, found)
	}
	var other, without []reconcilers.Reconciler
	for _, r := range everyone() {
		if r.Name() == "deployment" {
			other = append(other, lazier{r})
			continue
		}
		other, without = append(other, r), append(without, r)
	}
	tally, found := again(other)
	if tally.Different == 0 || len(found) != tally.Different {
		t.Fatalf("%+v with %d findings", tally, len(found))
	}
	for _, f := range found {
		e := w.store.log[f.Seq-1]
		if e.Reconciler != f.Reconciler || len(f.Decides) >= len(f.Recorded) || f.Key.Resource != events.Deployments {
			t.Errorf("%+v of %s", f, e.Subject)
		}
	}
	if tally, _ := again(without); tally.Unknown == 0 || tally.Decisions >= same.Decisions {
		t.Errorf("without one of them: %+v", tally)
	}
}
