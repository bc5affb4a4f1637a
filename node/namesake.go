package node

import (
	"slices"
	"time"

	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// namePause is how often a pod looks whether the one before of its name is over.
const namePause = 100 * time.Millisecond

// heldBack tells whether a pod has to wait with its first container, because an older one
// of its name still runs here. The control plane makes no second one before this node
// said that the first has stopped; but a person may have told it not to wait for that, and
// then only this node knows.
func (w *worker) heldBack(row *projections.DesiredPod, obs plan.Observed) bool {
	if row == nil || row.Stop || obs.Sandbox || len(obs.Containers) > 0 {
		return false
	}
	held := false
	w.a.each(func(other *worker) {
		held = held || other != w && other.precedes(row)
	})
	return held
}

// precedes tells whether this is an older pod of the same name that may still run. One that could not be removed when all of
// it had ended holds nobody up: what is left of it is no process.
func (w *worker) precedes(row *projections.DesiredPod) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last != nil && w.last.Assigned < row.Assigned && w.last.Pod.Namespace == row.Pod.Namespace && w.last.Pod.Name == row.Pod.Name &&
		!w.gone && (w.obs.Sandbox && w.obs.Cleanup.Failures == 0 || slices.ContainsFunc(w.obs.Containers, func(c plan.Container) bool { return c.Phase != plan.Exited }))
}
