package sim

import (
	"bytes"
	"fmt"

	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/recheck"
)

// recheck decides everything again that the log says was decided: the same
// reconcilers on the same views must decide the same, or replay --check would
// cry wolf, and a decision would rest on something that is not in the log. What
// was decided after some moment is decided again from a checkpoint of that moment
// too, as a log is checked whose beginning was cut.
func (w *World) recheck() {
	if w.failure != nil {
		return
	}
	for _, version := range [][]reconcilers.Reconciler{w.reconcilers, w.newer} {
		if c := w.recheckAs(version, w.views[w.base], w.base); c.Unknown+c.Old > 0 {
			w.fail("recheck", "%d decisions for keys that nothing woke, %d on views that are gone", c.Unknown, c.Old)
		} else {
			w.rechecked = c.Decisions
		}
	}
	w.recheckKept()
}

// recheckKept is recheck from a checkpoint in the middle of the log.
func (w *World) recheckKept() {
	at := w.base + w.rng.IntN(len(w.store.log)-w.base+1)
	var file bytes.Buffer
	if at == 0 || w.views[at].Keep(&file) != nil { // a buffer takes all
		return
	}
	kept, err := projections.Restore(projections.KeptVersion, &file)
	if err != nil {
		w.fail("recheck", "the state at %d cannot be restored: %v", at, err)
		return
	}
	if c := w.recheckAs(w.reconcilers, kept, at); c.Unknown > 0 {
		w.fail("recheck", "from the checkpoint at %d: %d decisions for keys that nothing woke", at, c.Unknown)
	}
}

// recheckAs holds one version's decisions after a state against that version.
func (w *World) recheckAs(version []reconcilers.Reconciler, from projections.State, at int) recheck.Tally {
	own := map[string]bool{}
	for _, r := range version {
		own[fmt.Sprintf("%s/%d", r.Name(), r.Version())] = true
	}
	c := recheck.New(clusterName, from, version, func(f recheck.Finding) {
		if own[f.Reconciler] {
			w.fail("recheck", "%s for %s at %d, decided on %d: recorded %q, decides %q", f.Reconciler, f.Key, f.Seq, f.Basis, f.Recorded, f.Decides)
		}
	})
	for _, e := range w.store.log[at:] {
		c.Take(e)
	}
	c.Close()
	return c.Tally
}
