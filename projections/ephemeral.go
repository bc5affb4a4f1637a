package projections

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
)

// Ephemeral are the containers that were added to a pod while it was there, to look into it; what only they can say is left
// out. They are shared: never change them.
func Ephemeral(spec *corev1.PodSpec) iter.Seq[*corev1.Container] {
	return func(yield func(*corev1.Container) bool) {
		for i := range spec.EphemeralContainers {
			if !yield((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)) {
				return
			}
		}
	}
}

// ephemeralStatus is that of one of them: nobody asks whether it is ready.
func ephemeralStatus(p *Pod, spec *corev1.Container) corev1.ContainerStatus {
	st := containerStatus(p, spec, waitCreating)
	st.Ready, st.Started = false, nil
	return st
}
