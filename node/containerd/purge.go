package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	// Shims that containerd knows nothing of: its database was removed while they ran.
	if err := r.killShims(func(string) bool { return true }); err != nil {
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
