package plan

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// changed says that a container's image is another now than that of a run. A run of which nobody wrote down its image, by an
// older agent, is taken to be as it should be.
func changed(run Container, c *corev1.Container) bool {
	return c != nil && run.Image != "" && run.Image != c.Image
}

// condemn ends the runs whose container has got another image, or other resources that it wants a new run for, and those of a
// pod all of which begins anew: at once and whatever the restart policy says, as a kubelet does. Of the first two, what prepares a pod or looks into it runs once and is left alone. A run that was condemned stays so, also when its image is
// changed back before it ended: the log was told.
func (p *planner) condemn() {
	for _, run := range p.o.Containers {
		c, part := p.spec(run.Name)
		if run.Phase != Running || part == partEphemeral {
			continue
		}
		if p.void(run.Name, run.Run) {
			run.Health.Kill = &Kill{Reason: events.RestartingAll, Message: "all containers of the pod are restarted"}
			p.o = p.o.Put(run)
			continue
		}
		if run.Health.Kill != nil || part == partInit {
			continue
		}
		kill := p.o.Known[run.Name].Killed
		if p.o.Known[run.Name].Run != run.Run {
			kill = nil
		}
		if kill == nil && changed(run, c) {
			kill = &Kill{Reason: events.ImageChanged, Message: fmt.Sprintf("its image is to be %s, and was %s", c.Image, run.Image)}
		}
		if kill == nil && p.restarts(run, c) {
			kill = &Kill{Reason: events.ResizeRestarts, Message: fmt.Sprintf("Container %s resize requires restart", c.Name)}
		}
		if kill != nil {
			run.Health.Kill = kill
			p.o = p.o.Put(run)
		}
	}
}

// renewed says that a run was ended so that its container begins anew with what it is to have: no crash of its own.
func renewed(k *Kill) bool {
	return k != nil && (k.Reason == events.ImageChanged || k.Reason == events.ResizeRestarts)
}
