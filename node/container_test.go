package node

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/node/plan"
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
		{"none", nil, nil, runtime.Resources{CPUShares: 2}},
		{"both", q("500m", "1Mi"), q("1", "2Mi"), runtime.Resources{CPUShares: 512, CPUQuota: 100_000, MemoryLimit: 2 << 20}},
		{"limit alone", nil, q("2", ""), runtime.Resources{CPUShares: 2048, CPUQuota: 200_000}},
		{"least", q("1m", ""), q("1m", ""), runtime.Resources{CPUShares: 2, CPUQuota: 1000}},
	} {
		c := corev1.Container{Resources: corev1.ResourceRequirements{Requests: tt.requests, Limits: tt.limits}}
		if got := resources(c); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
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
	if got := security(pod, own); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := security(nil, nil); !reflect.DeepEqual(got, runtime.Security{}) {
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

func TestConfigIsTurnedOverAtOnce(t *testing.T) {
	dir := t.TempDir()
	read := func(name string) string { b, _ := os.ReadFile(filepath.Join(dir, name)); return string(b) }
	if err := writeConfig(dir, []plan.File{{Path: "a", Data: []byte("1"), Mode: 0o644}, {Path: "sub/b", Data: []byte("2"), Mode: 0o600}}); err != nil {
		t.Fatal(err)
	}
	if read("a") != "1" || read("sub/b") != "2" {
		t.Errorf("first: %q %q", read("a"), read("sub/b"))
	}
	if err := writeConfig(dir, []plan.File{{Path: "a", Data: []byte("3"), Mode: 0o400}, {Path: "../../c", Data: []byte("4"), Mode: 0o644}}); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(filepath.Join(dir, "a")); err != nil || fi.Mode() != 0o400 {
		t.Errorf("mode: %v %v", fi, err)
	}
	if read("a") != "3" || read("c") != "4" || read("sub/b") != "" {
		t.Errorf("second: %q %q %q", read("a"), read("c"), read("sub/b"))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "..[0-9]*")); len(left) != 1 {
		t.Errorf("old content is left: %v", left)
	}
}

func TestSubPathStaysInsideItsVolume(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"/etc", "../x", "out/passwd"} {
		if got, err := subPath(dir, bad, true); err == nil {
			t.Errorf("%s leads to %s", bad, got)
		}
	}
	if got, err := subPath(dir, "new/dir", true); err != nil || filepath.Base(got) != "dir" {
		t.Errorf("got %s, %v", got, err)
	}
	if _, err := subPath(dir, "none", false); err == nil {
		t.Error("made in a ConfigMap")
	}
}
