package statefulset

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// failWait is how long a pod that failed as a whole stays, counted from when it was
// made: one that fails at once would else be made anew without a pause.
const failWait = 10 * time.Second

// move brings the set nearer to what is wished: first the pods that shall be there,
// then those that shall not, then those of an older template.
func (p *pass) move() {
	if !p.serve() && !p.shrink() {
		p.roll()
	}
}

// serve makes the pods that are missing, from the lowest ordinal on. In order, each
// waits until all before it are available; it tells whether somebody has to wait.
func (p *pass) serve() bool {
	for i, m := range p.replicas {
		var held bool
		if m == nil {
			if !p.create(p.first + i) {
				return true
			}
			held = true
		} else {
			if held = p.tend(m); !held || !p.ordered && !m.Over {
				p.retain(m)
			}
		}
		if held && p.ordered {
			p.clear()
			return true
		}
	}
	p.clear()
	return false
}

// clear takes back what was written down of a refusal when nothing that is missing is refused any more.
func (p *pass) clear() {
	if !p.refused && len(p.d.Wishes) == 0 && (p.desk == nil || p.desk.Open()) {
		birth.Clear(&p.d, p.v, p.o)
	}
}

// tend looks at a pod that shall be there, and tells whether those behind it wait for it.
func (p *pass) tend(m *projections.SetMember) bool {
	switch {
	case m.Pod.Deletion != nil:
		p.waits(m, "Stopping", "to be gone")
		return true
	case m.Over:
		p.replace(m)
		return true
	case !m.Ready:
		if m.Row.Node == "" {
			p.furnish(m.Ordinal) // somebody may have taken a claim from under it
		}
		p.waits(m, "NotReady", "to be ready")
		return true
	case !m.Available:
		p.waits(m, "NotAvailable", "to be ready for minReadySeconds")
		return true
	}
	p.named(m)
	return false
}

// replace lets go of a pod of which nothing will run again: its name is free when it
// is gone.
func (p *pass) replace(m *projections.SetMember) {
	if at := m.Pod.Created.Time.Add(failWait); at.After(p.now) {
		p.waits(m, "BackOff", "some time since it was made")
		p.d.Wake(at)
		return
	}
	p.retire(m)
}

func (p *pass) retire(m *projections.SetMember) bool {
	return p.d.Emit(reconcilers.RequestDeletion(m.Pod, events.DeletionRequested{Grace: reconcilers.GraceOf(m.Pod)}))
}

// shrink takes the pods away that are beyond the ordinals, the highest first. In
// order, it takes none while another is not available, unless that is the one to go,
// or it is over: that one never becomes available, and nobody waits for it.
func (p *pass) shrink() bool {
	first := p.unhealthy()
	for _, m := range p.condemned {
		p.retain(m)
	}
	for _, m := range p.condemned {
		switch {
		case m.Pod.Deletion != nil:
			p.waits(m, "Stopping", "to be gone")
		case p.ordered && !m.Available && !m.Over && m != first:
			p.waits(first, "NotAvailable", "to be available before others go")
		default:
			p.retire(m)
		}
		if p.ordered {
			return true
		}
	}
	return false
}

// unhealthy is the pod of the lowest ordinal that is not available, of those that
// shall be there before the others; nil when there is none.
func (p *pass) unhealthy() *projections.SetMember {
	for _, m := range p.replicas {
		if m != nil && away(m) {
			return m
		}
	}
	for i := len(p.condemned) - 1; i >= 0; i-- {
		if m := p.condemned[i]; away(m) && !m.Over {
			return m
		}
	}
	return nil
}

// away tells whether a pod does not serve, or will not for long.
func away(m *projections.SetMember) bool { return m == nil || !m.Available || m.Pod.Deletion != nil }

// roll asks pods of an older template to go, from the highest ordinal down to the
// partition, as many as may be missing at a time.
func (p *pass) roll() {
	if p.set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return
	}
	room := p.mostAway()
	for _, m := range p.replicas {
		if away(m) {
			room--
		}
	}
	if !p.ordered { // those that do not serve cost nothing
		p.take(len(p.replicas), func(m *projections.SetMember) bool { return !m.Available })
		p.take(room, func(m *projections.SetMember) bool { return m.Available })
		return
	}
	p.take(room, func(*projections.SetMember) bool { return true })
}

// take asks up to n pods of older templates to go, of those that a test picks.
func (p *pass) take(n int, picks func(*projections.SetMember) bool) {
	for i := len(p.replicas) - 1; i >= p.partition() && n > 0; i-- {
		m := p.replicas[i]
		if m == nil || m.Revision == p.update || m.Pod.Deletion != nil || !picks(m) || p.writes(m) {
			continue
		}
		if !p.retire(m) {
			return
		}
		n--
	}
}

// writes tells whether the decision writes a pod already: no decision does so twice, and the next one sees to it.
func (p *pass) writes(m *projections.SetMember) bool {
	return slices.ContainsFunc(p.d.Events, func(d reconcilers.Draft) bool { return d.Subject == events.SpecSubject(m.Pod.Key) })
}

// partition is how many of the first pods stay as they are.
func (p *pass) partition() int {
	if r := p.set.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		return int(*r.Partition)
	}
	return 0
}

// mostAway is how many pods may be missing while templates change, one at least.
func (p *pass) mostAway() int {
	r := p.set.Spec.UpdateStrategy.RollingUpdate
	if r == nil || r.MaxUnavailable == nil {
		return 1
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(r.MaxUnavailable, p.size, false)
	if err != nil {
		return 1 // admission refuses what cannot be read
	}
	return max(n, 1)
}
