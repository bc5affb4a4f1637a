package why

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// initializing says what the init container does that the others wait for.
func (q Question) initializing(a *Answer, o *projections.Object, p *projections.Pod, name string) {
	list := o.PodSpec().InitContainers
	i := slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == name })
	c, ok := p.Container(name)
	a.fault = fault{level: levelMoving, cause: "initializing " + q.owner(o) + " " + name, since: p.Assigned.Time, next: q.command("why", o.Key)}
	switch {
	case !ok:
		a.Verdict, a.WaitsFor = fmt.Sprintf("is on %s and not started yet", p.Node), p.Node+" to start init container "+name
	case c.Phase == projections.Running && projections.Sidecar(&list[i]):
		a.Verdict = fmt.Sprintf("is being initialized: sidecar %s (%d of %d) has not started up", name, i+1, len(list))
		a.WaitsFor = "its startup probe to pass"
		a.Details = append(a.Details, failing(c)...)
	case c.Phase == projections.Running:
		a.Verdict = fmt.Sprintf("is being initialized: init container %s (%d of %d) runs", name, i+1, len(list))
		a.WaitsFor = name + " to end"
		a.Fix = fmt.Sprintf("stave logs %s%s -c %s", o.Key.Name, q.dashN(), name)
	default:
		q.container(a, o, p, list[i], c)
	}
}

// unwell names the containers that do not answer, and what their probes say.
func (q Question) unwell(a *Answer, o *projections.Object, p *projections.Pod) {
	if g := p.Gated; g != nil && !g.Since.IsZero() {
		a.WaitsFor = "its readiness gates to open: whoever set them writes conditions of these types into its status"
		a.Details = append(a.Details, o.Shut()...)
	}
	for _, c := range p.Containers {
		if c.Phase != projections.Running || c.Ready {
			continue
		}
		words := failing(c)
		a.Details = append(a.Details, words...)
		if len(words) > 0 && a.Fix == "" {
			a.WaitsFor = "container " + c.Name + " to pass its probe"
			a.Fix = fmt.Sprintf("stave logs %s%s -c %s", o.Key.Name, q.dashN(), c.Name)
		}
	}
}

// failing are the words of the probe that a container does not pass.
func failing(c projections.Container) []string {
	if c.Message == "" {
		return nil
	}
	return []string{c.Name + ", run " + fmt.Sprint(c.Run) + ": " + c.Message}
}
