package node

import (
	"context"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
)

// strainPause is what lies between a hint that a limit was met and the look at the count: the kernel speaks before it
// counts, and a container that ends of it tells so with its end.
const strainPause = 500 * time.Millisecond

// watchStrain looks at the pods of which the kernel spoke.
func (a *Agent) watchStrain(ctx context.Context) {
	for {
		var uid string
		select {
		case <-ctx.Done():
			return
		case uid = <-a.o.Runtime.Strained():
		}
		wait(ctx, nil, a.now().Add(strainPause), a.now())
		if w, known := a.worker(events.UID(uid), false); known {
			w.lookForStrain()
		}
	}
}

// lookForStrain observes which limits the running containers of a pod met. What of it is told is the plan's matter.
func (w *worker) lookForStrain() {
	_, obs, _ := w.state()
	for _, c := range obs.Containers {
		if c.Phase != plan.Running {
			continue
		}
		s := strainOf(w.a.o.Runtime.Strain(string(w.uid), c.Name, c.Run-1, c.Strain.Kills))
		if s.Kills == c.Strain.Kills {
			s.Starved, s.Machine = c.Strain.Starved, c.Strain.Machine
		}
		if s.Kills != c.Strain.Kills || s.Refused != c.Strain.Refused {
			w.update(func(o plan.Observed) plan.Observed { return o.Strained(c.ID, s) })
		}
	}
}

func strainOf(s runtime.Strain) plan.Strain {
	return plan.Strain{Kills: s.Kills, Starved: s.Starved, Machine: s.Machine, Refused: s.Refused, Pids: s.PidsLimit}
}
