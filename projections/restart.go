package projections

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Sequel is what follows the end of a container's run, while its pod is to go on.
type Sequel int

// What can follow.
const (
	Stays    Sequel = iota // nothing: the container is not started again
	Restarts               // another run of the container
)

// SequelOf says what follows a run that ended with a code: the first of the container's rules that speaks of the code has the
// word, then the container's policy, then the pod's. A run that its node ended because a probe or hook failed has not succeeded,
// whatever its code.
func SequelOf(s *corev1.PodSpec, c *corev1.Container, code int, killed bool) Sequel {
	policy := s.RestartPolicy
	if c.RestartPolicy != nil {
		if ruled(c, code) {
			return Restarts
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

// ruled tells whether one of a container's rules starts it again after a code.
func ruled(c *corev1.Container, code int) bool {
	return slices.ContainsFunc(c.RestartPolicyRules, func(r corev1.ContainerRestartRule) bool {
		return r.ExitCodes != nil && slices.Contains(r.ExitCodes.Values, int32(code)) == (r.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn)
	})
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

// sequel is what follows this end of a container.
func (x *Exit) sequel(s *corev1.PodSpec, c *corev1.Container) Sequel {
	return SequelOf(s, c, x.Code, x.Killed != "")
}
