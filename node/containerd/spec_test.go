package containerd

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/stave-run/stave/node/runtime"
)

// TestCommandLine is the table of Kubernetes' documentation.
func TestCommandLine(t *testing.T) {
	image := ocispec.ImageConfig{Entrypoint: []string{"/ep-1"}, Cmd: []string{"foo", "bar"}}
	for _, c := range []struct{ command, args, want []string }{
		{nil, nil, []string{"/ep-1", "foo", "bar"}},
		{[]string{"/ep-2"}, nil, []string{"/ep-2"}},
		{nil, []string{"zoo", "boo"}, []string{"/ep-1", "zoo", "boo"}},
		{[]string{"/ep-2"}, []string{"zoo", "boo"}, []string{"/ep-2", "zoo", "boo"}},
	} {
		if got := commandLine(image, c.command, c.args); !slices.Equal(got, c.want) {
			t.Errorf("command %q, args %q: %q, want %q", c.command, c.args, got, c.want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	for _, c := range []struct {
		names, want []string
		all         bool
	}{
		{nil, nil, false},
		{[]string{"NET_ADMIN", "cap_sys_time"}, []string{"CAP_NET_ADMIN", "CAP_SYS_TIME"}, false},
		{[]string{"all", "KILL"}, []string{"CAP_KILL"}, true},
	} {
		if got, all := capabilities(c.names); !slices.Equal(got, c.want) || all != c.all {
			t.Errorf("%q: %q, %v", c.names, got, all)
		}
	}
}

func TestMountOptions(t *testing.T) {
	for _, c := range []struct {
		mount runtime.Mount
		kind  string
		want  []string
	}{
		{runtime.Mount{HostPath: "/a", ContainerPath: "/b"}, "bind", []string{"rbind", "rprivate", "rw"}},
		{runtime.Mount{HostPath: "/a", ContainerPath: "/b", ReadOnly: true, Propagation: "HostToContainer"}, "bind", []string{"rbind", "rslave", "ro"}},
		{runtime.Mount{HostPath: "/a", ContainerPath: "/b", Propagation: "Bidirectional"}, "bind", []string{"rbind", "rshared", "rw"}},
		{runtime.Mount{ContainerPath: "/b", Size: 10}, "tmpfs", []string{"nosuid", "nodev", "mode=1777", "rw", "size=10"}},
	} {
		if got := ociMount(c.mount); got.Type != c.kind || !slices.Equal(got.Options, c.want) {
			t.Errorf("%+v: %+v", c.mount, got)
		}
	}
	if got := propagation(propagation("", "Bidirectional"), "HostToContainer"); got != "rshared" {
		t.Error(got)
	}
}

func TestStartError(t *testing.T) {
	const before = "failed to create task for container: failed to create shim task: "
	for _, c := range []struct {
		err, message string
		reason       runtime.StartReason
	}{
		{before + `OCI runtime create failed: runc create failed: exec: "x": executable file not found in $PATH: unknown`,
			`OCI runtime create failed: runc create failed: exec: "x": executable file not found in $PATH`, runtime.StartNotFound},
		{before + `OCI runtime create failed: exec /a: no such file or directory`, `OCI runtime create failed: exec /a: no such file or directory`, runtime.StartNotFound},
		{before + `OCI runtime create failed: exec: "/a": permission denied: unknown`, `OCI runtime create failed: exec: "/a": permission denied`, runtime.StartDenied},
		{before + `OCI runtime create failed: error mounting "/a" to rootfs: not a directory: unknown`, `OCI runtime create failed: error mounting "/a" to rootfs: not a directory`, runtime.StartFailed},
		{"connection refused", "connection refused", runtime.StartFailed},
	} {
		cause := errors.New(c.err)
		if got := startError(cause); got.Reason != c.reason || got.Message != c.message || !errors.Is(got, cause) {
			t.Errorf("%s: %+v", c.err, got)
		}
	}
}

func TestExitSignal(t *testing.T) {
	r := &Runtime{cgroups: cgroups{root: t.TempDir()}}
	for code, signal := range map[int]int{0: 0, 1: 0, 127: 0, 128: 0, 137: 9, 143: 15, 255: 0} {
		if got := r.exitOf(runtime.ContainerState{}, code, time.Time{}); got.Code != code || got.Signal != signal || got.Strain.Kills > 0 {
			t.Errorf("%d: %+v", code, got)
		}
	}
}

func TestContainerID(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []string{runtime.ContainerID("p", "c", 1), runtime.ContainerID("p", "c", 11), runtime.ContainerID("p", "c1", 1), runtime.ContainerID("q", "c", 1)} {
		if len(id) != 64 || seen[id] {
			t.Error(id)
		}
		seen[id] = true
	}
}

// tree writes files below a new directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// A container finds its own bounds where it looks for them, and does not see the host's tree.
func TestCgroupsAreHidden(t *testing.T) {
	for _, c := range []struct {
		unified, privileged, want bool
	}{{true, false, true}, {true, true, false}, {false, false, false}} {
		r := &Runtime{cgroups: cgroups{unified: c.unified}}
		s := &oci.Spec{Linux: &specs.Linux{}}
		ctx := namespaces.WithNamespace(t.Context(), "test")
		for _, opt := range r.cgroupOptions(runtime.ContainerSpec{PodUID: "u", Name: "c", Run: 1, Security: runtime.Security{Privileged: c.privileged}}) {
			if err := opt(ctx, nil, &containers.Container{}, s); err != nil {
				t.Fatal(err)
			}
		}
		own := slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace && n.Path == "" })
		if own != c.want || s.Linux.CgroupsPath == "" {
			t.Errorf("%+v: %v in %s", c, s.Linux.Namespaces, s.Linux.CgroupsPath)
		}
	}
}

// TestCgroupFiles reads both versions' files, of which a host has one.
func TestCgroupFiles(t *testing.T) {
	v2 := cgroups{unified: true, root: tree(t, map[string]string{
		"g/memory.events":  "low 0\noom 3\noom_kill 2\n",
		"g/memory.current": "1000\n",
		"g/memory.stat":    "anon 600\ninactive_file 300\n",
		"g/cpu.stat":       "usage_usec 1500\nuser_usec 1000\n",
		"g/pids.current":   "4\n",
		"g/pids.events":    "max 7\n",
		"g/pids.max":       "40\n",
	})}
	v1 := cgroups{root: tree(t, map[string]string{
		"memory/g/memory.oom_control":    "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
		"memory/g/memory.usage_in_bytes": "1000\n",
		"memory/g/memory.stat":           "inactive_file 100\ntotal_inactive_file 300\n",
		"cpuacct/g/cpuacct.usage":        "1500000\n",
		"pids/g/pids.current":            "4\n",
		"pids/g/pids.events":             "max 7\n",
		"pids/g/pids.max":                "40\n",
	})}
	for name, c := range map[string]cgroups{"v1": v1, "v2": v2} {
		if got := c.strain("g", "/nowhere", 0); got != (runtime.Strain{Kills: 2, Refused: 7, PidsLimit: 40}) {
			t.Errorf("%s: %+v", name, got)
		}
		got, err := c.stats("g")
		if err != nil || got.CPU != 1500*time.Microsecond || got.Memory != 1000 || got.WorkingSet != 700 || got.Pids != 4 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if c.strain("gone", "/nowhere", 0) != (runtime.Strain{}) {
			t.Errorf("%s: strain of a cgroup that is gone", name)
		}
		if _, err := c.stats("gone"); err == nil {
			t.Errorf("%s: figures of a cgroup that is gone", name)
		}
	}
}
