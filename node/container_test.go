package node

import (
	"reflect"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/node/runtime"
)

func TestResources(t *testing.T) {
	q := func(cpu, memory string) corev1.ResourceList {
		l := corev1.ResourceList{}
		if cpu != "" {
			l[corev1.ResourceCPU] = resource.MustParse(cpu)
		}
		if memory != "" {
			l[corev1.ResourceMemory] = resource.MustParse(memory)
		}
		return l
	}
	for _, tt := range []struct {
		name             string
		requests, limits corev1.ResourceList
		want             runtime.Resources
	}{
		{"none", nil, nil, runtime.Resources{PidsLimit: maxProcesses, CPUShares: 2}},
		{"both", q("500m", "1Mi"), q("1", "2Mi"), runtime.Resources{PidsLimit: maxProcesses, CPUShares: 512, CPUQuota: 100_000, MemoryLimit: 2 << 20}},
		{"limit alone", nil, q("2", ""), runtime.Resources{PidsLimit: maxProcesses, CPUShares: 2048, CPUQuota: 200_000}},
		{"least", q("1m", ""), q("1m", ""), runtime.Resources{PidsLimit: maxProcesses, CPUShares: 2, CPUQuota: 1000}},
	} {
		c := corev1.Container{Resources: corev1.ResourceRequirements{Requests: tt.requests, Limits: tt.limits}}
		if got := resources(c, maxProcesses); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// Whatever a container is promised, the kernel spares this process before it.
func TestOOMScore(t *testing.T) {
	own, err := strconv.Atoi(firstLine("/proc/self/oom_score_adj"))
	if err != nil {
		t.Fatal(err)
	}
	for wanted, want := range map[int]int{-997: max(own+1, -997), 1000: 1000} {
		if got := oomScore(wanted); got == nil || *got != want {
			t.Errorf("%d: %v, want %d", wanted, got, want)
		}
	}
}

func TestSecurity(t *testing.T) {
	one, two, yes, no := int64(1), int64(2), true, false
	pod := &corev1.PodSecurityContext{RunAsUser: &one, RunAsGroup: &one, FSGroup: &two, RunAsNonRoot: &yes}
	own := &corev1.SecurityContext{RunAsUser: &two, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"CAP_NET_ADMIN"}, Drop: []corev1.Capability{"all"}}}
	want := runtime.Security{User: &two, Group: &one, ExtraGroups: []int64{2}, NonRoot: true, NoNewPrivileges: true, ReadOnlyRoot: true,
		AddCapabilities: []string{"NET_ADMIN"}, DropCapabilities: []string{"ALL"}}
	if got := (&Agent{}).security(pod, own); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := (&Agent{}).security(nil, nil); !reflect.DeepEqual(got, runtime.Security{}) {
		t.Errorf("nothing asked: %+v", got)
	}
}

func TestImageID(t *testing.T) {
	for ref, want := range map[string]string{
		"docker.io/library/nginx:alpine":    "docker.io/library/nginx@sha256:1",
		"localhost:5000/x":                  "localhost:5000/x@sha256:1",
		"docker.io/library/nginx@sha256:00": "docker.io/library/nginx@sha256:1",
	} {
		if got := imageID(runtime.Image{Ref: ref, Digest: "sha256:1"}); got != want {
			t.Errorf("%s: %s", ref, got)
		}
	}
}
