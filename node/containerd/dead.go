package containerd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/stave-run/stave/node/runtime"
)

// recordDead keeps the exits that shims left in their bundles. containerd removes the bundle, and with it the exit code
// and the cgroup, of a task whose shim has gone, as soon as it starts; so this runs before.
func (r *Runtime) recordDead() {
	bundles := filepath.Join(r.options.State, "io.containerd.runtime.v2.task", r.namespace())
	entries, err := os.ReadDir(bundles)
	if err != nil {
		return
	}
	for _, e := range entries {
		if r.neverStarted(e.Name()) {
			continue // it was made and undone, which is no end of a container
		}
		fate, ok := readBundle(filepath.Join(bundles, e.Name()))
		if !ok {
			continue
		}
		r.recordExit(runtime.Exit{ContainerID: e.Name(), Code: fate.code, At: fate.at, Strain: r.cgroups.strain(fate.group, kernelMessages, 0)})
	}
}

// bundleFate is what a bundle says of its container's end.
type bundleFate struct {
	code  int
	at    time.Time
	group string
}

// readBundle reads a shim's exit record, and from the container's spec where its cgroup is.
func readBundle(dir string) (bundleFate, bool) {
	var exit struct {
		Timestamp time.Time
		Status    int
	}
	var spec struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	if !readJSON(filepath.Join(dir, "exit.json"), &exit) || exit.Timestamp.IsZero() {
		return bundleFate{}, false
	}
	// Without it the out-of-memory figures are missing, the code is not.
	_ = readJSON(filepath.Join(dir, "config.json"), &spec)
	return bundleFate{code: exit.Status, at: exit.Timestamp, group: spec.Linux.CgroupsPath}, true
}

func readJSON(path string, into any) bool {
	raw, err := os.ReadFile(path)
	return err == nil && json.Unmarshal(raw, into) == nil
}
