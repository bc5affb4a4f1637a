package daemonset

import (
	"strconv"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// surges tells whether a node gets its new pod before it loses its old one.
func (p *pass) surges() bool {
	surge, _ := p.limits()
	return surge > 0
}

// limits are how many nodes may have a pod more, and how many one that does not answer.
func (p *pass) limits() (surge, away int) {
	r := p.ds.Spec.UpdateStrategy.RollingUpdate
	if r == nil {
		return 0, 1
	}
	surge, away = scaled(r.MaxSurge, p.want), scaled(r.MaxUnavailable, p.want)
	if surge == 0 && away == 0 {
		away = 1 // as Kubernetes: a rollout that may neither add nor remove could not move
	}
	return surge, away
}

func scaled(v *intstr.IntOrString, of int) int {
	if v == nil {
		return 0
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(v, of, true)
	if err != nil {
		return 0 // admission refuses what cannot be read
	}
	return max(n, 0)
}

// roll moves nodes to the present template, as many at a time as may be.
func (p *pass) roll() {
	if surge, away := p.limits(); surge > 0 {
		p.add(surge)
	} else {
		p.replace(away)
	}
}

// of is the new and the old pod of a node; false while it has more of a kind.
func (p *pass) of(at *place) (fresh, old *projections.Daemon, ok bool) {
	for i := range at.pods {
		d := &at.pods[i]
		mine := &old
		if p.present(*d) {
			mine = &fresh
		}
		switch {
		case d.Leaving():
		case *mine != nil:
			return nil, nil, false
		default:
			*mine = d
		}
	}
	return fresh, old, true
}

// replace takes old pods away: those that do not answer, and others as long as no more
// than away nodes are without one that does. A node that would get no new pod keeps its old one.
func (p *pass) replace(away int) {
	var idle, serving []projections.Daemon
	out := 0
	for _, at := range p.places {
		if !at.run {
			continue
		}
		fresh, old, ok := p.of(at)
		switch {
		case !ok, (fresh == nil) == (old == nil):
			out++
		case fresh != nil:
			if !p.available(*fresh) {
				out++
			}
		case !p.available(*old):
			idle = append(idle, *old)
			out++
		default:
			serving = append(serving, *old)
		}
	}
	if !p.clear(idle) || len(serving) == 0 {
		return
	}
	n := min(max(0, away-out), len(serving))
	if p.clear(serving[:n]) && n < len(serving) {
		p.waits("unavailable nodes", away, out+n)
	}
}

// add gives nodes a new pod beside their old one, and takes the old one when the new one answers.
func (p *pass) add(surge int) {
	var idle, serving []*place
	var gone []projections.Daemon
	extra := 0
	for _, at := range p.places {
		if !at.run {
			continue
		}
		fresh, old, ok := p.of(at)
		switch {
		case !ok:
			extra++
		case old == nil:
		case fresh == nil && !p.available(*old):
			idle = append(idle, at)
		case fresh == nil:
			serving = append(serving, at)
		case !p.available(*fresh):
			extra++
		default:
			gone = append(gone, *old)
		}
	}
	n := min(max(0, surge-extra), len(serving))
	if !p.clear(gone) {
		return
	}
	for _, at := range append(idle, serving[:n]...) {
		if !p.create(at, 0) {
			return
		}
	}
	if n < len(serving) {
		p.waits("nodes with two pods", surge, extra+n)
	}
}

func (p *pass) waits(what string, most, have int) {
	p.because(events.Reason{Code: "RolloutWaiting", About: p.o.Key, What: what, Need: "at most " + strconv.Itoa(most), Have: strconv.Itoa(have)})
}
