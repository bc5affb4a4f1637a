package plan

import (
	"iter"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// part is what a container is in its pod.
type part int

const (
	partMain      part = iota // one of those that the pod is there for
	partInit                  // an init container: it runs to its end before the next begins
	partSidecar               // a sidecar: an init container that goes on beside the others
	partEphemeral             // an ephemeral container: it was added to look into the pod, and runs once
)

// spec finds a container of the pod; nil for one that the pod no longer has.
func (p *planner) spec(name string) (*corev1.Container, part) {
	s := &p.row.Pod.Spec
	if c := Find(s.Containers, name); c != nil {
		return c, partMain
	}
	for c := range projections.Ephemeral(s) {
		if c.Name == name {
			return c, partEphemeral
		}
	}
	c := Find(s.InitContainers, name)
	if c != nil && !projections.Sidecar(c) {
		return c, partInit
	}
	return c, partSidecar
}

// Spec is a container's, whatever its part in the pod; nil when the pod has none of that name.
func Spec(s *corev1.PodSpec, name string) *corev1.Container {
	for c := range Containers(s) {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Containers are all of a pod: those that prepare it, those that it is there for, and those that look into it.
func Containers(s *corev1.PodSpec) iter.Seq[*corev1.Container] {
	return func(yield func(*corev1.Container) bool) {
		for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
		projections.Ephemeral(s)(yield)
	}
}

// Find is the container of a name, nil when there is none.
func Find(list []corev1.Container, name string) *corev1.Container {
	if i := slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}

// wanted are the containers that have to begin a run, now or later: of the init containers the first whose turn it is, of
// the others all once those are done. What is still to be stopped comes before anything.
func (p *planner) wanted() []corev1.Container {
	s := &p.row.Pod.Spec
	if p.over() {
		p.dismiss()
		return nil
	}
	list := p.lookers()
	if len(p.leftover()) > 0 {
		return list
	}
	for i := range s.InitContainers {
		c := &s.InitContainers[i]
		done := p.done(c)
		if (projections.Sidecar(c) || !done) && p.again(c) && !p.asks(c) {
			list = append(list, *c)
		}
		if !done {
			return list
		}
	}
	for i := range s.Containers {
		if c := &s.Containers[i]; p.due(c) && !p.asks(c) {
			list = append(list, s.Containers[i])
		}
	}
	return list
}

// done says that what comes after an init container may begin. A sidecar with a startup probe has to have been up for that: to
// have ended well is not enough.
func (p *planner) done(c *corev1.Container) bool {
	k := p.o.Known[c.Name]
	return k.Done && (!projections.Sidecar(c) || c.StartupProbe == nil || k.Rose || k.Up)
}

// lookers are the ephemeral containers that are still to run: each does so once, whatever became of it.
func (p *planner) lookers() (list []corev1.Container) {
	for c := range projections.Ephemeral(&p.row.Pod.Spec) {
		here, ok := p.o.Newest(c.Name)
		if ok && here.Phase == Created || !ok && p.o.Known[c.Name].Run == 0 && p.row.Runs[c.Name] == 0 {
			list = append(list, *c)
		}
	}
	return list
}

// target is the run whose processes a container is to see; false when it names one that does not run.
func (p *planner) target(name string) (Container, bool) {
	of := Target(&p.row.Pod.Spec, name)
	run, ok := p.o.Newest(of)
	return run, of == "" || ok && run.Phase == Running
}

// Target names the container whose processes an ephemeral one is to see; empty when it sees its own.
func Target(s *corev1.PodSpec, name string) string {
	for i := range s.EphemeralContainers {
		if s.EphemeralContainers[i].Name == name {
			return s.EphemeralContainers[i].TargetContainerName
		}
	}
	return ""
}

// again says whether an init container has to begin a run: it does until it is done.
func (p *planner) again(c *corev1.Container) bool {
	if here, ok := p.o.Newest(c.Name); ok && here.Phase != Exited {
		return here.Phase == Created
	}
	exit, ended, _ := p.last(c.Name)
	return !ended || exit.Code == 0 || p.follows(c, exit)
}

// over says that nothing of the pod will be started again: all that it is there for has ended, or cannot begin.
func (p *planner) over() bool {
	s := &p.row.Pod.Spec
	for i := range s.InitContainers {
		if c := &s.InitContainers[i]; !p.done(c) {
			here, running := p.o.Newest(c.Name)
			_, ended, _ := p.last(c.Name)
			return !projections.Sidecar(c) && ended && !(running && here.Phase != Exited) && !p.again(c)
		}
	}
	for i := range s.Containers {
		c := &s.Containers[i]
		here, ok := p.o.Newest(c.Name)
		if ok && here.Phase != Exited || p.due(c) {
			return false
		}
	}
	return true
}

// dismiss ends the sidecars of a pod that is over.
func (p *planner) dismiss() {
	if runs := p.leaving(); len(runs) > 0 {
		p.do(Stop{Runs: runs, Grace: p.ownGrace()})
	}
}

// leaving are the runs that are stopped next: first all that the pod is there for and what prepares it, then the sidecars,
// the last one first.
func (p *planner) leaving() []Container {
	var first []Container
	beside := map[string]Container{}
	for _, c := range p.o.Containers {
		switch {
		case c.Phase != Running:
		case p.row != nil && p.isSidecar(c.Name):
			beside[c.Name] = c
		default:
			first = append(first, c)
		}
	}
	if len(first) > 0 || len(beside) == 0 {
		return first
	}
	inits := p.row.Pod.Spec.InitContainers
	for i := len(inits) - 1; i >= 0; i-- {
		if c, ok := beside[inits[i].Name]; ok {
			return []Container{c}
		}
	}
	return nil
}

func (p *planner) isSidecar(name string) bool {
	c, part := p.spec(name)
	return c != nil && part == partSidecar
}

// First is the container that begins first in a pod that is new here, when it can be made before anybody has looked further:
// its image is not fetched anew, and none of its mounts is a part of a volume or an image.
func First(row *projections.DesiredPod, o Observed) (container string, ok bool) {
	spec := &row.Pod.Spec
	all := allContainers(spec)
	if len(o.Containers) > 0 || len(o.Known) > 0 || len(row.Runs) > 0 || len(all) == 0 {
		return "", false
	}
	if len(imageVolumes(spec, &all[0])) > 0 {
		return "", false
	}
	for _, m := range all[0].VolumeMounts {
		if m.SubPath != "" || m.SubPathExpr != "" {
			return "", false
		}
	}
	return all[0].Name, PullPolicy(all[0]) != string(corev1.PullAlways)
}
