package plan

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Health is what probes and hooks found of a run that runs.
type Health struct {
	Up    bool   // its startup probe has passed
	Ready bool   // its readiness probe passes
	Words string // of a probe that fails; empty when none does
	// Kill is why the run is to be ended, when it is.
	Kill *Kill
}

// Kill is why a run is ended though its pod goes on.
type Kill struct {
	Reason  string `json:"reason"` // events.LivenessFailed and the like
	Message string `json:"message"`
	// Grace is the probe's own, in seconds; nil takes the pod's.
	Grace *int64 `json:"grace,omitempty"`
}

// Adopt puts a run that was found: how it was is what the log was told.
func (o Observed) Adopt(c Container) Observed {
	if k := o.Known[c.Name]; k.Run == c.Run {
		c.Health = Health{Up: k.Up, Ready: k.Ready, Words: k.Words, Kill: k.Killed}
	}
	return o.Put(c)
}

// Heed is the pod after one of its probes has something to say.
func (o Observed) Heed(id string, t Track) Observed {
	return o.Heal(id, func(h *Health) {
		switch t.Role {
		case Startup:
			h.Up = t.Passed
		case Readiness:
			h.Ready = t.Passed
		}
		if t.Words != "" || strings.HasPrefix(h.Words, string(t.Role)+" probe ") {
			h.Words = t.Words
		}
		if t.Failed && t.Role != Readiness {
			reason := events.LivenessFailed
			if t.Role == Startup {
				reason = events.StartupFailed
			}
			h.Kill = &Kill{Reason: reason, Message: t.Words, Grace: t.Probe.TerminationGracePeriodSeconds}
		}
	})
}

// Heal changes what is known of a run's health, if it still runs.
func (o Observed) Heal(id string, edit func(*Health)) Observed {
	for _, c := range o.Containers {
		if c.ID == id && c.Phase == Running {
			edit(&c.Health)
			return o.Put(c)
		}
	}
	return o
}

// Listens says whether a track has anything to say that an earlier one of the same probe had not.
func (t Track) Listens(before Track) bool {
	return t.Passed != before.Passed || t.Failed != before.Failed || t.Words != before.Words
}

// up says that a run's startup is over.
func up(c *corev1.Container, run Container) bool {
	return run.Phase == Running && (c == nil || c.StartupProbe == nil || run.Health.Up)
}

// answers says that a run takes work.
func answers(c *corev1.Container, run Container) bool {
	return up(c, run) && run.Health.Kill == nil && (c == nil || c.ReadinessProbe == nil || run.Health.Ready)
}

// feelings are the facts about a run that runs: changes only.
func (p *planner) feelings(c Container, k Known) []events.Fact {
	spec, kind := p.spec(c.Name)
	if kind == partInit || kind == partEphemeral {
		return nil // nobody asks for work of them
	}
	var facts []events.Fact
	if p.row.Stop {
		if !answers(spec, c) && k.Ready { // it was told to end, and has no more to say
			facts = append(facts, events.Fact{Kind: events.FactUnready, Container: c.Name, Run: c.Run, Reason: events.Unhealthy, Message: c.Health.Words})
		}
		return facts
	}
	tell := func(kind events.FactKind, reason, message string) {
		facts = append(facts, events.Fact{Kind: kind, Container: c.Name, Run: c.Run, Reason: reason, Message: message})
	}
	if up(spec, c) && !k.Up && (kind == partSidecar || spec.StartupProbe != nil) {
		tell(events.FactUp, "", "")
	}
	h := c.Health
	switch ready := answers(spec, c); {
	case ready && !k.Ready:
		tell(events.FactReady, "", "")
	case !ready && k.Ready && h.Kill != nil:
		tell(events.FactUnready, "", "the container is being ended")
	case !ready && k.Ready:
		tell(events.FactUnready, events.Unhealthy, h.Words)
	case h.Words != "" && h.Words != k.Words && h.Kill == nil:
		tell(events.FactUnhealthy, unwell(h.Words), h.Words)
	}
	if h.Kill != nil && k.Killed == nil {
		tell(events.FactKilling, h.Kill.Reason, h.Kill.Message)
	}
	return facts
}

// unwell is the reason of a fact by a probe's words.
func unwell(words string) string {
	if strings.Contains(words, warned) {
		return events.ProbeWarning
	}
	return events.Unhealthy
}

// mercy ends the runs that probes or hooks condemned, and together those of a pod that begins anew.
func (p *planner) mercy() {
	if runs := p.leftover(); len(runs) > 0 {
		p.do(Stop{Runs: runs})
	}
	for _, c := range p.o.Containers {
		if c.Phase == Running && c.Health.Kill != nil && !p.void(c.Name, c.Run) {
			grace := p.ownGrace()
			if g := c.Health.Kill.Grace; g != nil {
				grace = time.Duration(*g) * time.Second
			}
			p.do(Stop{Runs: []Container{c}, Grace: grace})
		}
	}
}

// ownGrace is what the pod gives its containers when nobody says otherwise.
func (p *planner) ownGrace() time.Duration {
	if g := p.row.Pod.Spec.TerminationGracePeriodSeconds; g != nil {
		return time.Duration(*g) * time.Second
	}
	return corev1.DefaultTerminationGracePeriodSeconds * time.Second
}
