package node

import (
	"context"
	"encoding/json"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// labelBounds is on each container: what it asks for and may take, so that another agent knows.
const labelBounds = "bounds"

func boundsLabel(b plan.Bounds) string { return string(events.MustBody(b)) }

// boundsOf reads them; nil when an older agent did not write them down.
func boundsOf(labels map[string]string) *plan.Bounds {
	var b plan.Bounds
	if said := labels[labelBounds]; said == "" || json.Unmarshal([]byte(said), &b) != nil {
		return nil
	}
	return &b
}

// resize gives a run other bounds. What it cannot get is tried again; less memory than it uses is not even tried, for the kernel
// would kill it.
func (w *worker) resize(ctx context.Context, row *projections.DesiredPod, op plan.Resize) error {
	_, obs, _ := w.state()
	run, _ := obs.Newest(op.Container)
	c := plan.Spec(&row.Pod.Spec, op.Container)
	if c == nil || run.ID != op.ID {
		return nil // the plan knows better by now
	}
	if op.Shrinks(run.Bounds) {
		used, err := w.a.o.Runtime.Stats(ctx, op.ID)
		if err != nil {
			return w.notSized(row, op, err.Error())
		}
		// Pages of files that the kernel can drop at once are in nobody's use.
		if said := op.Starved(used.WorkingSet); said != "" {
			return w.notSized(row, op, said)
		}
	}
	err := w.a.o.Runtime.Update(ctx, op.ID, resources(*c, w.a.o.Facts.MaxProcesses), map[string]string{labelBounds: boundsLabel(op.Bounds)})
	if err != nil {
		return w.notSized(row, op, err.Error())
	}
	w.update(func(o plan.Observed) plan.Observed { return o.Sized(op.Container, op.Run, op.Bounds) })
	w.stale()
	return nil
}

func (w *worker) notSized(row *projections.DesiredPod, op plan.Resize, message string) error {
	w.log().Warn("resize container", "container", op.Container, "error", message)
	w.update(func(o plan.Observed) plan.Observed { return o.NotSized(op.Container, row.Resized, w.a.now(), message) })
	w.stale()
	return nil
}
