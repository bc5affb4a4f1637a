package projections

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// waitCreating is what a container waits for before its first run.
const waitCreating = "ContainerCreating"

// fact folds one thing that a node saw into a pod's row. Runs and phases only
// move forward; what comes too late changes nothing.
func (f *folding) fact(p *Pod, x events.Fact) {
	switch x.Kind {
	case events.FactSandbox:
		if p.Sandbox.IsZero() || p.IP != x.IP || p.HostIP != x.HostIP {
			p.IP, p.HostIP, p.Sandbox = x.IP, x.HostIP, f.mark()
		}
	case events.FactStopping:
		if p.Stopping.IsZero() {
			own := p.own()
			own.Stopping, own.StopReason = f.mark(), x.Message
		}
	case events.FactStopped:
		if p.Stopped.IsZero() {
			p.own().Stopped = f.mark()
		}
	case events.FactFailed:
		if p.Failed == nil {
			why := x // else every fact would be moved to the heap for this one
			own := p.own()
			own.Failed, own.FailedAt = &why, f.mark()
		}
	case events.FactResized, events.FactNotResized:
		f.resizing(p, x)
	case events.FactAnew:
		f.anew(p, x)
	case events.FactObserved:
		if told := int64(x.Count); told > p.Observed {
			p.own().Observed = told
		}
	default:
		f.containerFact(p, x)
	}
}

func (f *folding) containerFact(p *Pod, x events.Fact) {
	i := p.containerIndex(x.Container)
	c := p.Containers[i]
	if x.Run != 0 && (x.Run < c.Run || x.Run == c.Run && waits(x.Kind) && c.begun()) {
		return // of a run that is over, or of what came before it began
	}
	switch x.Kind {
	case events.FactPulling:
		if x.Volume == "" {
			c.Image = x.Image
		}
	case events.FactPulled:
		if x.Volume == "" {
			c.Image, c.ImageID = x.Image, x.ImageID
		}
		c.wait(f.mark(), waitCreating, "")
	case events.FactPullFailed:
		c.wait(f.mark(), x.Reason, x.Message)
	case events.FactBackoff:
		c.wait(f.mark(), x.Reason, x.Message)
		c.Until = x.Until
	case events.FactNotStarted:
		f.notStarted(&c, x)
	case events.FactStarted:
		waited := c.Anew
		if f.started(&c, x); waited && !c.Anew {
			f.begunAnew(p)
		}
	case events.FactExited:
		f.exited(&c, x)
	case events.FactStarved:
		f.strain(&c, &c.Starved, x)
	case events.FactCrowded:
		f.strain(&c, &c.Crowded, x)
	case events.FactReady, events.FactUnready, events.FactUp, events.FactUnhealthy, events.FactKilling:
		c.feel(x)
	default:
		f.s.Unknown++
	}
	p.Containers[i] = c
}

// feel folds how a run that runs is. Its message is what fails, as long as something does.
func (c *Container) feel(x events.Fact) {
	switch {
	case x.Kind == events.FactUnready:
		c.Ready, c.Message = false, x.Message
	case c.Phase != Running:
	case x.Kind == events.FactReady:
		c.Ready, c.Up, c.Message = true, true, ""
	case x.Kind == events.FactUp:
		c.Up, c.Message = true, ""
	case x.Kind == events.FactUnhealthy:
		c.Message = x.Message
	case x.Kind == events.FactKilling:
		c.Killing, c.Message = x.Message, x.Message
	}
}

// strain is a limit that a run met, told by a count that only grows.
func (f *folding) strain(c *Container, told **Strain, x events.Fact) {
	if c.Phase != Running || x.Run != c.Run || *told != nil && x.Count <= (*told).Count {
		return // late, or said twice
	}
	*told = &Strain{Count: x.Count, Limit: x.Limit, Message: x.Message, Mark: f.mark()}
}

// waits tells whether a fact is about the time before a run.
func waits(k events.FactKind) bool {
	return k == events.FactPulling || k == events.FactPulled || k == events.FactPullFailed || k == events.FactBackoff
}

// begun tells whether the present run has begun or already ended.
func (c *Container) begun() bool {
	return c.Phase != Waiting || c.Exit != nil && c.Exit.Run == c.Run
}

func (f *folding) started(c *Container, x events.Fact) {
	if x.Run == c.Run && c.begun() {
		return // said twice
	}
	if c.Exit != nil {
		c.Last, c.Exit = c.Exit, nil
	}
	c.Run, c.Phase, c.Reason, c.Message, c.Until = x.Run, Running, "", "", time.Time{}
	c.ContainerID, c.StartedAt, c.Ready, c.Since = x.ContainerID, x.At, false, f.mark()
	c.Up, c.Killing, c.Starved, c.Crowded, c.Anew = false, "", nil, nil, false
}

func (f *folding) exited(c *Container, x events.Fact) {
	if c.Exit != nil && x.Run <= c.Exit.Run {
		return // said twice
	}
	if c.Exit != nil && c.Exit.Run < x.Run {
		c.Last = c.Exit
	}
	c.Anew = c.Anew && c.Run == x.Run
	c.Run, c.Phase, c.Ready, c.Since = x.Run, Terminated, false, f.mark()
	c.Reason, c.Message = x.Reason, x.Message
	c.Exit = f.exit(x)
	c.Exit.Killed = c.Killing
	if c.Crowded != nil {
		c.Exit.Crowded = c.Crowded.Message
	}
	if c.Anew {
		c.wait(f.mark(), events.RestartingAll, removedAnew)
	}
}

// notStarted is a run that ended before it began: the container waits, and the
// run counts as one that exited.
func (f *folding) notStarted(c *Container, x events.Fact) {
	if c.Exit != nil && x.Run <= c.Exit.Run {
		return // said twice
	}
	if c.Exit != nil {
		c.Last = c.Exit
	}
	c.Run, c.Exit, c.Phase, c.Anew = x.Run, f.exit(x), Waiting, false
	c.wait(f.mark(), x.Reason, x.Message)
}

func (f *folding) exit(x events.Fact) *Exit {
	return &Exit{Run: x.Run, Code: x.Code, Signal: x.Signal, Reason: x.Reason, Message: x.Message, Tail: x.Tail,
		OOM: x.OOM, ContainerID: x.ContainerID, StartedAt: x.StartedAt, FinishedAt: x.At, Mark: f.mark()}
}

// wait says why nothing of the container runs. A running container waits for
// nothing: such a fact is late.
func (c *Container) wait(m Mark, reason, message string) {
	if c.Phase == Running || c.Phase == Waiting && c.Reason == reason && c.Message == message && !c.Since.IsZero() {
		return
	}
	c.Phase, c.Ready, c.Reason, c.Message, c.Since = Waiting, false, reason, message, m
}

// containerIndex finds a container, adding it when the node speaks of it first.
func (p *Pod) containerIndex(name string) int {
	for i := range p.Containers {
		if p.Containers[i].Name == name {
			return i
		}
	}
	p.Containers = append(p.Containers, Container{Name: name, Reason: waitCreating})
	return len(p.Containers) - 1
}

// settle derives when the pod as a whole was initialized and became ready.
func (f *folding) settle(before, p *Pod) {
	o, ok := f.s.Get(p.Key)
	if !ok {
		return
	}
	spec := o.PodSpec()
	if len(spec.InitContainers) > 0 && p.Initialized.IsZero() && len(p.uninitialized(spec)) == 0 {
		p.own().Initialized = f.mark()
	}
	ready := p.Stopped.IsZero() && allReady(p, spec)
	if len(spec.ReadinessGates) > 0 {
		ready = f.gated(o, p, ready)
	}
	if ready == !before.ReadySince.IsZero() {
		return
	}
	p.ReadyTurned, p.ReadySince = f.mark(), Mark{}
	if ready {
		p.ReadySince = f.mark()
	}
}

func allReady(p *Pod, spec *corev1.PodSpec) bool {
	for i := range spec.InitContainers {
		if w := &spec.InitContainers[i]; Sidecar(w) {
			if c, ok := p.Container(w.Name); !ok || !c.Ready {
				return false
			}
		}
	}
	for _, w := range spec.Containers {
		if c, ok := p.Container(w.Name); !ok || !c.Ready {
			return false
		}
	}
	return len(spec.Containers) > 0
}
