package containerd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// purgeWorkers is how many pods are removed at a time.
const purgeWorkers = 4

// Purge removes everything that runs or is mounted for this cluster: containers, sandboxes with their shims and
// namespaces, cgroups, the State directory. Images stay below Root. The runtime is closed afterwards.
func (r *Runtime) Purge(ctx context.Context) error {
	var err error
	if r.daemon == nil {
		// It is others' too: what is ours is taken out of it piece by piece.
		err = r.removeAll(ctx)
	}
	if err = errors.Join(err, r.Close()); err == nil {
		err = r.sweep(ctx)
	}
	if err != nil {
		return fmt.Errorf("purge runtime: %w", err)
	}
	return nil
}

// Purge is [Runtime.Purge] where no runtime is open. It does not start a containerd for what still runs: that would ask
// every shim how it is, only to end it.
func Purge(ctx context.Context, o Options) error {
	if o.ContainerdAddress != "" {
		r, err := Open(ctx, o)
		if err != nil {
			return err
		}
		return r.Purge(ctx)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	forwardLogs(o.Log)
	r := &Runtime{options: o, log: o.Log, cgroups: hostCgroups()}
	if err := r.sweep(ctx); err != nil {
		return fmt.Errorf("purge runtime: %w", err)
	}
	return nil
}

// sweep ends and removes what is there, while no containerd looks: one that sees a shim end cleans up after it with two
// further processes for each container, which takes longer than the containers took to start. Then it removes the records
// of them.
func (r *Runtime) sweep(ctx context.Context) error {
	if err := r.killShims(func(string) bool { return true }); err != nil {
		return err
	}
	if err := r.killRunc(); err != nil {
		return err
	}
	if err := r.cgroups.end(r.group(), killPatience); err != nil {
		return err
	}
	if err := removeMounted(r.options.State); err != nil {
		return err
	}
	if r.options.ContainerdAddress != "" {
		return nil
	}
	return errors.Join(r.forgetAll(ctx), removeMounted(r.options.State))
}

// forgetAll removes the records of containers and sandboxes, and the containers' snapshots, from containerd's database.
func (r *Runtime) forgetAll(ctx context.Context) error {
	root := filepath.Join(r.options.Root, "containerd")
	if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
		return nil // the data is gone, and is not made again
	}
	d, err := embed(root, r.options.State)
	if err != nil {
		return err
	}
	defer d.stop()
	ctx = r.in(ctx)
	found, err := d.client.ContainerService().List(ctx)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	for _, c := range found {
		if err := d.client.ContainerService().Delete(ctx, c.ID); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("forget container %s: %w", c.ID, err)
		}
		if err := d.client.SnapshotService(snapshotter).Remove(ctx, c.SnapshotKey); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove snapshot of container %s: %w", c.ID, err)
		}
	}
	boxes, err := d.client.SandboxStore().List(ctx)
	if err != nil {
		return fmt.Errorf("list sandboxes: %w", err)
	}
	for _, b := range boxes {
		if err := d.client.SandboxStore().Delete(ctx, b.ID); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("forget sandbox %s: %w", b.ID, err)
		}
	}
	return forgetAllVolumes(ctx, d.client)
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
			if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
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
