package plan

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// follows says whether another run of a container comes after an end.
func (p *planner) follows(c *corev1.Container, exit Exit) bool {
	killed := p.o.Known[c.Name].Killed
	return renewed(killed) || p.void(c.Name, p.newest(c.Name)) || p.sequel(c, exit) != projections.Stays
}

func (p *planner) sequel(c *corev1.Container, exit Exit) projections.Sequel {
	return projections.SequelOf(&p.row.Pod.Spec, c, exit.Code, p.o.Known[c.Name].Killed != nil)
}

// renew tells that all containers begin anew, when one of them asks for it and the pod is not over.
func (p *planner) renew() {
	for c := range Containers(&p.row.Pod.Spec) {
		k := p.o.Known[c.Name]
		if k.Ended && k.Run == p.newest(c.Name) && p.asks(c) && !p.coming() && !p.over() {
			p.report(events.Fact{Kind: events.FactAnew, Container: c.Name, Run: k.Run})
			return
		}
	}
}

// asks says that a container ended with a code whose rule begins all of its pod anew, which was not done yet.
func (p *planner) asks(c *corev1.Container) bool {
	exit, ended, _ := p.last(c.Name)
	return ended && !p.void(c.Name, p.newest(c.Name)) && p.sequel(c, exit) == projections.RestartsAll
}

// coming says that a container is about to begin for the first time. As with a kubelet, which starts all whose turn it is before
// it looks how others fare, that comes before all begin anew; who has to wait for something holds up nobody.
func (p *planner) coming() bool {
	s := &p.row.Pod.Spec
	for i := range s.InitContainers {
		if !p.done(&s.InitContainers[i]) {
			return false
		}
	}
	return slices.ContainsFunc(s.Containers, func(c corev1.Container) bool { return p.newest(c.Name) == 0 && p.o.Known[c.Name].Waiting == "" })
}

// void says that a run counts no more, as all of its pod's containers were to begin anew since.
func (p *planner) void(name string, run int) bool {
	k := p.o.Known[name]
	return k.Void && run == k.Run
}

// leftover are the runs that count no more and still run: nothing begins beside them. As with a kubelet they get no time, and
// none of their hooks runs.
func (p *planner) leftover() (runs []Container) {
	for _, c := range p.o.Containers {
		if _, part := p.spec(c.Name); c.Phase == Running && part != partEphemeral && p.void(c.Name, c.Run) {
			runs = append(runs, c)
		}
	}
	return runs
}

// blameless says of a container all of whose pod begins anew that it was another's end that began it.
func (p *planner) blameless(c *corev1.Container, exit Exit) bool {
	return p.void(c.Name, p.newest(c.Name)) && p.sequel(c, exit) != projections.RestartsAll
}

// anew is the pod after the log was told that all of its containers begin anew: no run that began so far counts any more.
func (o Observed) anew() Observed {
	for _, name := range slices.Sorted(maps.Keys(o.Known)) {
		o = o.Remember(name, func(k *Known) { k.Void, k.Done, k.Rose = k.Run > 0, false, false })
	}
	return o
}
