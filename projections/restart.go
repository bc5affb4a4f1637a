package projections

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Sequel is what follows the end of a container's run, while its pod is to go on.
type Sequel int

// What can follow.
const (
	Stays       Sequel = iota // nothing: the container is not started again
	Restarts                  // another run of the container
	RestartsAll               // another run of all of the pod's containers
)

// SequelOf says what follows a run that ended with a code: the first of the container's rules that speaks of the code has the
// word, then the container's policy, then the pod's. A run that its node ended because a probe or hook failed has not succeeded,
// whatever its code.
func SequelOf(s *corev1.PodSpec, c *corev1.Container, code int, killed bool) Sequel {
	policy := s.RestartPolicy
	if c.RestartPolicy != nil {
		switch ruled(c, code) {
		case corev1.ContainerRestartRuleActionRestart:
			return Restarts
		case corev1.ContainerRestartRuleActionRestartAllContainers:
			return RestartsAll
		}
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	}
	switch {
	case policy == corev1.RestartPolicyNever:
		return Stays
	case policy == corev1.RestartPolicyOnFailure && code == 0 && !killed:
		return Stays
	}
	return Restarts
}

// ruled is what the first of a container's rules that speaks of a code says; empty when none does.
func ruled(c *corev1.Container, code int) corev1.ContainerRestartRuleAction {
	for _, r := range c.RestartPolicyRules {
		if r.ExitCodes != nil && slices.Contains(r.ExitCodes.Values, int32(code)) == (r.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn) {
			return r.Action
		}
	}
	return ""
}

// endless tells whether every container of a pod is started again whatever its code: then the pod never comes to its end.
func endless(s *corev1.PodSpec) bool {
	may := func(c *corev1.Container) bool { return c.RestartPolicy != nil && !Sidecar(c) }
	for i := range s.InitContainers {
		if may(&s.InitContainers[i]) {
			return false
		}
	}
	for i := range s.Containers {
		if may(&s.Containers[i]) {
			return false
		}
	}
	return s.RestartPolicy == corev1.RestartPolicyAlways || s.RestartPolicy == ""
}

// OverAt is when a pod failed as a whole, or the last of its containers came to its end; false while neither is so.
func (p *Pod) OverAt(o *Object) (at time.Time, over bool) {
	if p.Failed != nil {
		return p.FailedAt.Time, true
	}
	for i := range p.Containers {
		if x := p.Containers[i].Exit; x != nil && x.Time.After(at) {
			at = x.Time
		}
	}
	return at, p.Finished(o)
}

// sequel is what follows the last end of a container.
func (c *Container) sequel(s *corev1.PodSpec, w *corev1.Container) Sequel {
	if c.Anew {
		return Restarts
	}
	return SequelOf(s, w, c.Exit.Code, c.Exit.Killed != "")
}

// Anew is a time when all containers of a pod were to begin anew.
type Anew struct {
	Since Mark `cbor:",omitzero"`
	Begun Mark `cbor:",omitzero"` // when the first of them began; zero while what runs is still ended
}

// removedAnew is what is said of a container that waits for all to begin anew, in the kubelet's words.
const removedAnew = "The container is removed because RestartAllContainers in place"

// anew begins all containers of a pod anew but those that look into it. Of a run that began since, the node said it before.
func (f *folding) anew(p *Pod, x events.Fact) {
	i := p.containerIndex(x.Container)
	if c := &p.Containers[i]; x.Run < c.Run || c.Anew {
		return // said twice
	}
	o, ok := f.s.Get(p.Key)
	if !ok {
		return
	}
	for i := range p.Containers {
		if c := &p.Containers[i]; c.Run > 0 && !looks(o.PodSpec(), c.Name) {
			c.Anew = true
			if c.Phase == Terminated {
				c.wait(f.mark(), events.RestartingAll, removedAnew)
			}
		}
	}
	p.own().Anew = &Anew{Since: f.mark()}
}

func looks(s *corev1.PodSpec, name string) bool {
	for c := range Ephemeral(s) {
		if c.Name == name {
			return true
		}
	}
	return false
}

// begunAnew notes that the first container of a pod began after all were to begin anew.
func (f *folding) begunAnew(p *Pod) {
	if p.Anew != nil && p.Anew.Begun.IsZero() {
		next := *p.Anew
		next.Begun = f.mark()
		p.own().Anew = &next
	}
}

// anewCondition is that of a pod whose containers may all have to begin anew.
func (p *Pod) anewCondition(s *corev1.PodSpec, phase corev1.PodPhase) []corev1.PodCondition {
	if !mayBeginAnew(s) {
		return nil
	}
	over := map[corev1.PodPhase]string{corev1.PodSucceeded: "PodCompleted", corev1.PodFailed: "PodFailed"}[phase]
	c := condition(corev1.AllContainersRestarting, false, p.Assigned.Time, over, "")
	if a := p.Anew; a != nil {
		c.LastTransitionTime = stamp(a.Since.Time)
		if !a.Begun.IsZero() {
			c.LastTransitionTime = stamp(a.Begun.Time)
		} else if over == "" {
			c.Status, c.Reason, c.Message = corev1.ConditionTrue, "RestartAllContainersStarted", "container exited with restart policy rule"
		}
	}
	return []corev1.PodCondition{c}
}

// mayBeginAnew tells whether a container of a pod has a rule that begins all of them anew.
func mayBeginAnew(s *corev1.PodSpec) bool {
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			for _, r := range list[i].RestartPolicyRules {
				if r.Action == corev1.ContainerRestartRuleActionRestartAllContainers {
					return true
				}
			}
		}
	}
	return false
}
