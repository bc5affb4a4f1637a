package plan

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// Kubernetes' scores of who goes first when the machine's memory is used up, from -1000, never, to 1000.
const (
	// OOMFirst is of pods that were promised nothing.
	OOMFirst = 1000
	oomLast  = -997 // of pods that were promised all that they may take
)

// nodeCritical is the class of pods without which a node is none.
const nodeCritical = "system-node-critical"

// OOMScore is how readily the kernel shall end a container when the machine's memory, of so many bytes, is used up: as under
// Kubernetes, by what its pod was promised, and among those that were promised a part, the more the later.
func OOMScore(spec *corev1.PodSpec, c *corev1.Container, memory int64) int {
	if spec.PriorityClassName == nodeCritical {
		return oomLast
	}
	switch projections.QOSClass(spec) {
	case corev1.PodQOSGuaranteed:
		return oomLast
	case corev1.PodQOSBestEffort:
		return OOMFirst
	}
	if memory <= 0 {
		return OOMFirst - 1
	}
	score := partly(c, memory)
	if projections.Sidecar(c) && Find(spec.InitContainers, c.Name) != nil {
		highest := oomLast
		for i := range spec.Containers {
			highest = max(highest, partly(&spec.Containers[i], memory))
		}
		score = min(score, highest) // who stands beside the others goes no sooner than all of them
	}
	return min(max(score, OOMFirst+oomLast), OOMFirst-1)
}

// partly is the score of a container that was promised a part of the memory.
func partly(c *corev1.Container, memory int64) int {
	return OOMFirst - int(OOMFirst*c.Resources.Requests.Memory().Value()/memory)
}
