package containerd

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	ctrcgroups "github.com/containerd/cgroups/v3"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/node/runtime"
)

// cgroupRoot is where the hierarchies are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// cgroups reads and removes the cgroups that runc makes. It reads the files itself because containerd's own figures need
// every v1 hierarchy to be mounted, which is not so on every host.
type cgroups struct {
	root    string
	unified bool
}

func hostCgroups() cgroups {
	return cgroups{root: cgroupRoot, unified: ctrcgroups.Mode() == ctrcgroups.Unified}
}

// file names a file of a cgroup: v1 has one hierarchy for each controller, v2 one for all.
func (c cgroups) file(controller, group, name string) string {
	if c.unified {
		controller = ""
	}
	return filepath.Join(c.root, controller, group, name)
}

// hidden says whether a container's own cgroup is the root of all that it sees of cgroups, as under Kubernetes: programs look
// there for their bounds. In v1 it is without a namespace: each hierarchy is mounted from the container's cgroup on.
func (c cgroups) hidden(sec runtime.Security) bool { return c.unified && !sec.Privileged }

// countsSwap says whether swap can be bounded: v1 needs a kernel that was told to account for it.
func (c cgroups) countsSwap() bool {
	if c.unified {
		return true
	}
	_, err := os.Stat(c.file("memory", "", "memory.memsw.limit_in_bytes"))
	return err == nil
}

// stats reads the figures of a cgroup.
func (c cgroups) stats(group string) (runtime.Stats, error) {
	s := runtime.Stats{At: time.Now()}
	var err, cpuErr error
	if c.unified {
		var cpu map[string]uint64
		cpu, cpuErr = readCounts(c.file("", group, "cpu.stat"))
		s.CPU = time.Duration(cpu["usage_usec"]) * time.Microsecond
		s.Memory, err = readCount(c.file("", group, "memory.current"))
	} else {
		var ns uint64
		ns, cpuErr = readCount(c.file("cpuacct", group, "cpuacct.usage"))
		s.CPU = time.Duration(ns)
		s.Memory, err = readCount(c.file("memory", group, "memory.usage_in_bytes"))
	}
	if err := errors.Join(err, cpuErr); err != nil {
		return runtime.Stats{}, fmt.Errorf("read cgroup %s: %w", group, err)
	}
	memory, err := readCounts(c.file("memory", group, "memory.stat"))
	if err != nil {
		return runtime.Stats{}, fmt.Errorf("read cgroup %s: %w", group, err)
	}
	// v2 has no total_: its figures cover the cgroups below anyway.
	idle := max(memory["total_inactive_file"], memory["inactive_file"])
	s.WorkingSet = s.Memory - min(idle, s.Memory)
	s.Pids, err = readCount(c.file("pids", group, "pids.current"))
	if err != nil {
		return runtime.Stats{}, fmt.Errorf("read cgroup %s: %w", group, err)
	}
	return s, nil
}

// remove deletes a cgroup and those below it in every hierarchy, and kills what still runs in it: a container whose shim
// was killed may outlive its task. A cgroup that is not there is as good as removed.
func (c cgroups) remove(group string) error {
	dirs, err := c.dirs(group)
	if err != nil {
		return fmt.Errorf("remove cgroup %s: %w", group, err)
	}
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, removeGroup(dir))
	}
	return errors.Join(errs...)
}

// end kills everything in a cgroup and in those below it, and removes them.
func (c cgroups) end(group string, patience time.Duration) error {
	for end := time.Now().Add(patience); ; {
		dirs, err := c.dirs(group)
		if err != nil {
			return fmt.Errorf("end cgroup %s: %w", group, err)
		}
		// All before one is waited for.
		for _, dir := range dirs {
			_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					killAll(path)
				}
				return nil // what is gone meanwhile is well
			})
		}
		if err = c.remove(group); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// dirs is where a cgroup is or may be, in every hierarchy.
func (c cgroups) dirs(group string) ([]string, error) {
	dirs := []string{filepath.Join(c.root, group)}
	if !c.unified {
		// Hybrid hosts have a v2 hierarchy among the others; runc makes the cgroup in each.
		hierarchies, err := os.ReadDir(c.root)
		if err != nil {
			return nil, err
		}
		dirs = nil
		for _, h := range hierarchies {
			// cpu,cpuacct has links of its parts' names.
			if h.IsDir() {
				dirs = append(dirs, filepath.Join(c.root, h.Name(), group))
			}
		}
	}
	return dirs, nil
}

// removeTries and removePause bound the wait for the kernel to empty a cgroup after its last process was reaped.
const (
	removeTries = 20
	removePause = 10 * time.Millisecond
)

func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for range removeTries {
		if err = os.Remove(dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		killAll(dir)
		time.Sleep(removePause)
	}
	return fmt.Errorf("remove cgroup: %w", err)
}

// killAll kills the processes of a cgroup.
func killAll(dir string) {
	raw, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, field := range strings.Fields(string(raw)) {
		// 0 stands for a process of another pid namespace, and to kill would mean ourselves.
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// readCount reads a file that holds one number.
func readCount(path string) (uint64, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
}

// readCounts reads a file of lines "name number"; others are skipped.
func readCounts(path string) (map[string]uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	counts := map[string]uint64{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			counts[name] = n
		}
	}
	return counts, nil
}
