package hollow

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/ledger"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// pod is one pretended pod. The plan for it is node/plan's, as on a real node; only the doing is pretended.
type pod struct {
	uid events.UID
	row *lean // nil for what the node shall not have
	// obs is nil while nothing is under way: rest has it then, or it is as if nothing had been seen.
	obs   *plan.Observed
	rest  *rest
	doing *doing // nil when nothing is
	// ends is when the newest run of a container ends by itself, and with what.
	ends map[string]ending
	// tries counts pulls, so that each has its own chance.
	tries int
}

// doing is an operation that is under way until at.
type doing struct {
	op plan.Op
	at time.Time
}

type ending struct {
	at   time.Time
	run  int
	code int
}

// wish gives the pod its row, nil for one that the node shall not have. What is under way for a wish that is over ends.
func (p *pod) wish(row *lean) {
	before := p.row
	p.row = row
	switch {
	case before == nil || row == nil:
		p.doing = nil
	case before.like.Stop != row.like.Stop || !before.like.Deadline.Equal(row.like.Deadline):
		p.doing = nil
	}
}

// maxOps bounds what one pod does without time passing: a plan that never comes to rest must not hold up the others.
const maxOps = 100

// advance does what is due of a pod, and what follows from it, as far as it takes no time.
func (m *machine) advance(p *pod, now time.Time) {
	var row *projections.DesiredPod
	if p.row != nil {
		row = p.row.row(p.uid)
	}
	p.wakes()
	for range maxOps {
		if d := p.doing; d != nil {
			if d.at.After(now) {
				m.wakes.add(d.at, p.uid)
				return
			}
			p.doing = nil
			m.do(p, d.op, now)
		}
		next := m.happens(p, now)
		p.obs.Evidence = p.row == nil && m.holds(p.uid)
		d := plan.Decide(row, *p.obs, m.host, now)
		if len(d.Ops) == 0 {
			m.wakes.add(soonest(next, d.WakeAt), p.uid)
			m.settles(p)
			return
		}
		if _, over := d.Ops[0].(plan.Forget); over {
			delete(m.pods, p.uid)
			return
		}
		p.doing = &doing{d.Ops[0], now.Add(m.takes(p, d.Ops[0]))}
	}
	m.wakes.add(now.Add(time.Second), p.uid)
}

// happens lets runs end and probes pass whose time has come, and tells when the next will.
func (m *machine) happens(p *pod, now time.Time) (next time.Time) {
	for _, c := range p.obs.Containers {
		if c.Phase != plan.Running {
			continue
		}
		if e, ok := p.ends[c.Name]; ok && e.run == c.Run {
			if !e.at.After(now) {
				c.Phase, c.Exit = plan.Exited, plan.Exit{Code: e.code, At: e.at}
				*p.obs = p.obs.Put(c)
				continue
			}
			next = soonest(next, e.at)
		}
		if c.Health.Up && c.Health.Ready {
			continue
		}
		lag := m.model.Ready.at(chance(p.uid, "ready", c.Name, c.Run))
		for _, step := range []struct {
			at   time.Time
			done *bool
		}{{c.StartedAt.Add(lag), &c.Health.Up}, {c.StartedAt.Add(2 * lag), &c.Health.Ready}} {
			if !step.at.After(now) {
				*step.done = true
			} else {
				next = soonest(next, step.at)
			}
		}
		*p.obs = p.obs.Put(c)
	}
	return next
}

func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// takes is how long an operation is pretended to take.
func (m *machine) takes(p *pod, op plan.Op) time.Duration {
	switch op := op.(type) {
	case plan.Pull:
		if op.Policy == "Always" || !m.images[op.Image] {
			return m.model.Pull.at(chance(p.uid, "pull", op.Container, p.tries))
		}
	case plan.Start:
		return m.model.Start.at(chance(p.uid, "start", op.Container, op.Run))
	case plan.Stop:
		return min(op.Grace, m.model.Stop.at(chance(p.uid, "stop", "", 0)))
	}
	return 0
}

// do pretends that an operation was done.
func (m *machine) do(p *pod, op plan.Op, now time.Time) {
	switch op := op.(type) {
	case plan.Pull:
		m.pull(p, op, now)
	case plan.MakeSandbox:
		m.sandbox(p, now)
	case plan.WriteVolumes:
		m.open(p, now)
		p.obs.Volumes, p.obs.TokensDue = op.Fingerprint, plan.TokensDue(now, tokenLife)
	case plan.AskCertificate:
		*p.obs = p.obs.Certify(op.Place, func(c *plan.Cert) { c.Have, c.RefreshAt = "pretended", now.Add(tokenLife) })
	case plan.Start:
		m.start(p, op, now)
	case plan.Resize:
		*p.obs = p.obs.Sized(op.Container, op.Run, op.Bounds)
	case plan.Stop:
		m.stop(p, op, now)
	case plan.Remove:
		*p.obs = p.obs.Drop(op.Container, op.Run)
	case plan.Clean:
		m.pool.give(p.obs.IP)
		*p.obs = p.obs.Cleaned()
	case plan.Report:
		m.report(p, op.Facts...)
	}
}

// open pretends that the directories behind a pod's claims were made.
func (m *machine) open(p *pod, now time.Time) {
	for _, v := range p.row.like.Pod.Spec.Volumes {
		d, ok := p.row.like.Claims[v.Name]
		if ok && d.HostPath == nil && d.Local == "" && !d.Made && p.obs.Volumes == "" {
			m.tell(ledger.Piece{Volume: &events.VolumeSeen{Name: d.Name, UID: d.UID, Kind: events.VolumeMade, At: now}})
		}
	}
}

func (m *machine) report(p *pod, facts ...events.Fact) {
	m.tell(ledger.Piece{Pod: &events.PodSeen{Namespace: p.row.like.Pod.Namespace, Name: p.row.name, UID: p.uid, Assigned: p.row.assigned, Facts: facts}})
	*p.obs = p.obs.Tell(facts)
}

func (m *machine) pull(p *pod, op plan.Pull, now time.Time) {
	fact := events.Fact{Kind: events.FactPulled, At: now, Container: op.Container, Run: op.Run, Image: op.Image, Volume: op.Volume}
	p.tries++
	if op.Policy == "Always" || !m.images[op.Image] {
		if words := m.model.pullError(op.Image, chance(p.uid, "fail", op.Container, p.tries)); words != "" {
			fact.Kind, fact.Reason, fact.Message = events.FactPullFailed, plan.ErrImagePull, words
			m.report(p, fact)
			*p.obs = p.obs.NotBrought(op, now, plan.ImagePullBackOff, fmt.Sprintf("back-off pulling image %q: %s: %s", op.Image, fact.Reason, words))
			return
		}
		fact.Took = m.takes(p, op).Milliseconds()
	}
	m.images[op.Image] = true
	fact.ImageID = op.Image
	m.report(p, fact)
	*p.obs = p.obs.Brought(op)
}

func (m *machine) sandbox(p *pod, now time.Time) {
	p.obs.Remains = true
	ip := m.host.IP
	if !p.row.like.Pod.Spec.HostNetwork {
		a, ok := m.pool.take()
		if !ok {
			p.obs.Setup = p.obs.Setup.Failed(now, plan.ContainerCreating, "failed to create pod sandbox: no address is free in "+m.pool.cidr.String())
			return
		}
		ip = a.String()
	}
	if p.obs.IP != ip {
		m.report(p, events.Fact{Kind: events.FactSandbox, At: now, IP: ip, HostIP: m.host.IP})
	}
	*p.obs = p.obs.Afresh()
	p.obs.Sandbox, p.obs.IP, p.obs.Setup = true, ip, plan.Retry{}
}

func (m *machine) start(p *pod, op plan.Start, now time.Time) {
	c := plan.Container{Name: op.Container, Run: op.Run, ID: containerID(p.uid, op.Container, op.Run), Phase: plan.Running,
		Image: op.Image, StartedAt: now, Crashes: op.Crashes}
	if spec := plan.Spec(&p.row.like.Pod.Spec, op.Container); spec != nil {
		b := plan.BoundsOf(spec)
		c.Bounds = &b
	}
	at, code, ends := m.model.end(now, chance(p.uid, "length", op.Container, op.Run), chance(p.uid, "crash", op.Container, op.Run))
	if !ends {
		at, code, ends = reads(p, op.Container, now)
	}
	if ends {
		if p.ends == nil {
			p.ends = map[string]ending{}
		}
		p.ends[op.Container] = ending{at, op.Run, code}
	}
	*p.obs = p.obs.Put(c)
}

// tokenLife is how long the tokens last that a pod is pretended to have: what Kubernetes gives them when nothing else is asked for.
const tokenLife = time.Hour

// reads is when a run ends by what its spec says, and with what; an init container that says nothing that
// can be read ends at once, as it is there to end.
func reads(p *pod, container string, now time.Time) (at time.Time, code int, ends bool) {
	spec := &p.row.like.Pod.Spec
	c := plan.Spec(spec, container)
	if c == nil {
		return time.Time{}, 0, false
	}
	after, code, ok := readable(c)
	if !ok {
		init := plan.Find(spec.InitContainers, container)
		return now, 0, init != nil && !projections.Sidecar(init)
	}
	return now.Add(after), code, true
}

// terminated is the code of who ends on TERM.
const terminated = 143

func (m *machine) stop(p *pod, op plan.Stop, now time.Time) {
	for _, c := range op.Runs {
		c.Phase, c.Exit = plan.Exited, plan.Exit{Code: terminated, Signal: 15, At: now}
		*p.obs = p.obs.Put(c)
	}
}

// hostOf is the part of the facts that pods can ask for.
func hostOf(name string, f events.NodeFacts) plan.Node {
	n := plan.Node{Name: name, Hostname: f.Hostname}
	if len(f.Addresses) > 0 {
		n.IP = f.Addresses[0]
	}
	if q, err := resource.ParseQuantity(f.Allocatable["cpu"]); err == nil {
		n.CPU = q
	}
	if q, err := resource.ParseQuantity(f.Allocatable["memory"]); err == nil {
		n.Memory = q
	}
	return n
}
