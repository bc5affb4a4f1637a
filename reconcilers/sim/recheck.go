package sim

import (
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/recheck"
)

// recheck decides everything again that the log says was decided: the same
// reconcilers on the same views must decide the same, or replay --check would
// cry wolf, and a decision would rest on something that is not in the log.
func (w *World) recheck() {
	if w.failure != nil {
		return
	}
	c := recheck.New(clusterName, projections.Empty(), w.reconcilers, func(f recheck.Finding) {
		w.fail("recheck", "%s for %s at %d, decided on %d: recorded %q, decides %q", f.Reconciler, f.Key, f.Seq, f.Basis, f.Recorded, f.Decides)
	})
	for _, e := range w.store.log {
		c.Take(e)
	}
	c.Close()
	if c.Unknown+c.Old > 0 {
		w.fail("recheck", "%d decisions for keys that nothing woke, %d on views that are gone", c.Unknown, c.Old)
	}
	w.rechecked = c.Decisions
}
