package why

import (
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// strains are the limits that the containers of a pod met and that ended none of them.
func strains(p *projections.Pod) []string {
	var out []string
	for _, c := range p.Containers {
		for _, s := range []*projections.Strain{c.Starved, c.Crowded} {
			if s != nil && c.Phase == projections.Running {
				out = append(out, fmt.Sprintf("%s, run %d: %s", c.Name, c.Run, s.Message))
			}
		}
	}
	return out
}

// strainedLately makes a fault of a pod that answers, and of which a container met a limit a short while ago.
func (q Question) strainedLately(a *Answer, o *projections.Object, p *projections.Pod) {
	for _, c := range p.Containers {
		if c.Phase != projections.Running || a.fault.level > levelMoving {
			continue
		}
		if s := c.Starved; s != nil && q.Now.Sub(s.Time) <= lately {
			a.Fix = "raise the memory limit of container " + c.Name + " in " + q.owner(o)
			a.fault = fault{level: levelWaiting, cause: "starved " + q.owner(o) + " " + c.Name, since: s.Time,
				next: q.mendExit(o, p, c, &projections.Exit{OOM: true, StartedAt: c.StartedAt}), said: fmt.Sprintf("container %s runs short of memory", c.Name)}
		} else if s := c.Crowded; s != nil && q.Now.Sub(s.Time) <= lately {
			a.fault = fault{level: levelWaiting, cause: "crowded " + q.owner(o) + " " + c.Name, since: s.Time,
				next: q.logs(o, c.Name, ""), said: fmt.Sprintf("container %s has as many processes as it may", c.Name)}
		}
	}
}

// strain is one telling of a limit that was met. After a new lease a node says again what it is not sure of, and its count
// says that it is the same.
type strain struct {
	pod       events.UID
	kind      events.FactKind
	container string
	run       int
	count     int
}

func (t *telling) strain(p events.PodSeen, x events.Fact, at time.Time) {
	told := strain{p.UID, x.Kind, x.Container, x.Run, x.Count}
	if t.met[told] {
		return
	}
	if t.met == nil {
		t.met = map[strain]bool{}
	}
	t.met[told] = true
	reason := "OOMKilling"
	if x.Kind == events.FactCrowded {
		reason = "ForkRefused"
	}
	t.add(at, warning, reason, fromKubelet, "Container %s: %s", x.Container, x.Message)
}
