package plan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// TestOOMScore has what a kubelet gives on a machine of 10 GiB.
func TestOOMScore(t *testing.T) {
	const machine = 10 << 30
	always := corev1.ContainerRestartPolicyAlways
	asks := func(name, cpu, memory string, limited bool) corev1.Container {
		r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}}
		if cpu != "" {
			r.Requests[corev1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			r.Requests[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		if limited {
			r.Limits = r.Requests
		}
		return corev1.Container{Name: name, Resources: r}
	}
	pod := func(main ...corev1.Container) *corev1.PodSpec { return &corev1.PodSpec{Containers: main} }
	beside := func(memory string, main ...corev1.Container) *corev1.PodSpec {
		side := asks("side", "", memory, false)
		side.RestartPolicy = &always
		return &corev1.PodSpec{InitContainers: []corev1.Container{side}, Containers: main}
	}
	critical := pod(asks("a", "", "", false))
	critical.PriorityClassName = "system-node-critical"
	for _, tt := range []struct {
		name string
		spec *corev1.PodSpec
		of   string
		want int
	}{
		{"nothing is asked for", pod(asks("a", "", "", false)), "a", 1000},
		{"all is promised", pod(asks("a", "1", "1Gi", true)), "a", -997},
		{"the node needs it", critical, "a", -997},
		{"a part", pod(asks("a", "", "1Gi", false)), "a", 900},
		{"processors alone", pod(asks("a", "1", "", false)), "a", 999},
		{"beside one that asks", pod(asks("a", "", "1Gi", false), asks("b", "", "", false)), "b", 999},
		{"more than there is", pod(asks("a", "", "20Gi", false)), "a", 3},
		{"a sidecar that asks for less than all others", beside("1Gi", asks("a", "", "2Gi", false), asks("b", "", "3Gi", false)), "side", 800},
		{"a sidecar that asks for more", beside("4Gi", asks("a", "", "2Gi", false)), "side", 600},
	} {
		if got := OOMScore(tt.spec, Spec(tt.spec, tt.of), machine); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if got := OOMScore(pod(asks("a", "", "1Gi", false)), &corev1.Container{}, 0); got != 999 {
		t.Errorf("on a machine of which nobody knows the memory: %d", got)
	}
}
