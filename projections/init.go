package projections

import (
	corev1 "k8s.io/api/core/v1"
)

// Sidecar tells whether an init container goes on beside the others.
func Sidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// uninitialized are the init containers that the others still wait for. When one of the others has begun, none is: what
// happens to a sidecar later changes nothing about the past.
func (p *Pod) uninitialized(spec *corev1.PodSpec) []string {
	for i := range spec.Containers {
		if c, ok := p.Container(spec.Containers[i].Name); ok && c.Run > 0 {
			return nil
		}
	}
	var names []string
	for i := range spec.InitContainers {
		w := &spec.InitContainers[i]
		c, ok := p.Container(w.Name)
		done := ok && c.Phase == Terminated && c.Exit != nil && c.Exit.Code == 0
		if Sidecar(w) {
			done = ok && c.Phase == Running && (c.Up || c.Ready)
		}
		if !done {
			names = append(names, w.Name)
		}
	}
	return names
}

// NotInitialized is the first init container that the others wait for, if there is one.
func (p *Pod) NotInitialized(spec *corev1.PodSpec) (string, bool) {
	names := p.uninitialized(spec)
	if len(names) == 0 {
		return "", false
	}
	return names[0], true
}

// initFailed tells whether an init container failed that will not be tried again.
func (p *Pod) initFailed(spec *corev1.PodSpec) bool {
	for i := range spec.InitContainers {
		w := &spec.InitContainers[i]
		c, ok := p.Container(w.Name)
		if ok && c.Exit != nil && c.Exit.Code != 0 && c.Phase != Running && c.sequel(spec, w) == Stays {
			return true
		}
	}
	return false
}

// sidecarsRun tells whether a sidecar still runs: until all have ended, the pod has not.
func (p *Pod) sidecarsRun(spec *corev1.PodSpec) bool {
	for i := range spec.InitContainers {
		if c, ok := p.Container(spec.InitContainers[i].Name); ok && Sidecar(&spec.InitContainers[i]) && c.Phase == Running {
			return true
		}
	}
	return false
}
