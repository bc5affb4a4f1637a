package hollow

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
)

// rest is what a machine keeps of a pod of which nothing is under way, as lean is of its row: what its node observed of it is
// the same for most pods, but for an address and some times.
type rest struct {
	like    *plan.Observed // all but what follows; shared, and never changed
	ip      string
	since   time.Time
	tokens  time.Time
	started []time.Time // its runs, in their order
}

// settles makes the pod's observations lean.
func (m *machine) settles(p *pod) {
	o := *p.obs
	r := &rest{ip: o.IP, since: o.Told.Since, tokens: o.TokensDue}
	o.IP, o.Told.Since, o.TokensDue = "", time.Time{}, time.Time{}
	o.Containers = slices.Clone(o.Containers)
	for i := range o.Containers {
		c := &o.Containers[i]
		r.started = append(r.started, c.StartedAt)
		c.StartedAt = time.Time{}
		if c.ID == containerID(p.uid, c.Name, c.Run) {
			c.ID = ""
		}
	}
	p.obs, p.rest = nil, r
	for _, like := range m.rests {
		if reflect.DeepEqual(*like, o) {
			r.like = like
			return
		}
	}
	if len(m.rests) >= maxLikes {
		m.rests = m.rests[1:]
	}
	m.rests, r.like = append(m.rests, &o), &o
}

// wakes gives a pod its observations back.
func (p *pod) wakes() {
	if p.obs != nil {
		return
	}
	o := plan.Observed{}
	if r := p.rest; r != nil {
		o = *r.like
		o.IP, o.Told.Since, o.TokensDue = r.ip, r.since, r.tokens
		o.Containers = slices.Clone(o.Containers)
		for i := range o.Containers {
			c := &o.Containers[i]
			c.StartedAt = r.started[i]
			if c.ID == "" {
				c.ID = containerID(p.uid, c.Name, c.Run)
			}
		}
	}
	p.obs, p.rest = &o, nil
}

// containerID is the id of a run that is pretended.
func containerID(uid events.UID, container string, run int) string {
	return fmt.Sprintf("hollow-%s-%s-%d", uid, container, run)
}
