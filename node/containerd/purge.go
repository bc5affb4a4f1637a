package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// purgeWorkers is how many pods are removed at a time.
const purgeWorkers = 4

// Purge removes everything that runs or is mounted for this cluster: containers, sandboxes with their shims and
// namespaces, cgroups, the State directory. Images stay below Root. The runtime is closed afterwards.
func (r *Runtime) Purge(ctx context.Context) error {
	err := r.removeAll(ctx)
	err = errors.Join(err, r.Close())
	if err != nil {
		return fmt.Errorf("purge runtime: %w", err)
	}
	if err := r.killStrayShims(); err != nil {
		return fmt.Errorf("purge runtime: %w", err)
	}
	if err := r.cgroups.remove(r.group()); err != nil {
		return fmt.Errorf("purge runtime: %w", err)
	}
	if err := removeMounted(r.options.State); err != nil {
		return fmt.Errorf("purge runtime: %w", err)
	}
	return nil
}

// removeMounted removes a directory, and unmounts what is left mounted below it: root filesystems of containers whose
// shim was killed. It tries again while the last helper of containerd is still at work there.
func removeMounted(dir string) error {
	var err error
	for range removeTries {
		var mounts []*mountinfo.Info
		if mounts, err = mountinfo.GetMounts(mountinfo.PrefixFilter(dir)); err != nil {
			return fmt.Errorf("list mounts: %w", err)
		}
		for _, m := range slices.Backward(mounts) {
			if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("unmount %s: %w", m.Mountpoint, err)
			}
		}
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(removePause)
	}
	return err
}

// removeAll removes the pods, then what no pod owns: what a crash left half made.
func (r *Runtime) removeAll(ctx context.Context) error {
	uids, err := r.podUIDs(ctx)
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(purgeWorkers)
	for uid := range uids {
		group.Go(func() error { return r.RemoveSandbox(ctx, uid) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	left, err := r.List(ctx)
	if err != nil {
		return err
	}
	for _, c := range left {
		if err := r.Remove(ctx, c.ID); err != nil {
			return err
		}
	}
	return nil
}

// podUIDs are the pods that anything here belongs to.
func (r *Runtime) podUIDs(ctx context.Context) (map[string]bool, error) {
	uids := map[string]bool{}
	boxes, err := r.ListSandboxes(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range boxes {
		uids[b.UID] = true
	}
	containers, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range containers {
		uids[c.PodUID] = true
	}
	delete(uids, "")
	return uids, nil
}

// killStrayShims ends shims of this cluster that containerd knows nothing of: its database was removed while they ran.
// They are told by their arguments, which name this cluster and this node's socket.
func (r *Runtime) killStrayShims() error {
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, path := range commands {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		args := strings.Split(string(raw), "\x00")
		if !follows(args, "-namespace", r.namespace()) || !follows(args, "-address", socketPath(r.options.State)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill stray shim %d: %w", pid, err)
		}
	}
	return nil
}

// follows says whether value comes right after flag.
func follows(args []string, flag, value string) bool {
	i := slices.Index(args, flag)
	return i >= 0 && i+1 < len(args) && args[i+1] == value
}
