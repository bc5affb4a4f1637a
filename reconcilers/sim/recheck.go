package sim

import (
	"fmt"

	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/recheck"
)

// recheck decides everything again that the log says was decided: the same
// reconcilers on the same views must decide the same, or replay --check would
// cry wolf, and a decision would rest on something that is not in the log.
func (w *World) recheck() {
	if w.failure != nil {
		return
	}
	for _, version := range [][]reconcilers.Reconciler{w.reconcilers, w.newer} {
		w.recheckAs(version)
	}
}

// recheckAs holds one version's decisions against that version.
func (w *World) recheckAs(version []reconcilers.Reconciler) {
	own := map[string]bool{}
	for _, r := range version {
		own[fmt.Sprintf("%s/%d", r.Name(), r.Version())] = true
	}
	c := recheck.New(clusterName, w.views[w.base], version, func(f recheck.Finding) {
		if own[f.Reconciler] {
			w.fail("recheck", "%s for %s at %d, decided on %d: recorded %q, decides %q", f.Reconciler, f.Key, f.Seq, f.Basis, f.Recorded, f.Decides)
		}
	})
	for _, e := range w.store.log[w.base:] {
		c.Take(e)
	}
	c.Close()
	if c.Unknown+c.Old > 0 {
		w.fail("recheck", "%d decisions for keys that nothing woke, %d on views that are gone", c.Unknown, c.Old)
	}
	w.rechecked = c.Decisions
}
