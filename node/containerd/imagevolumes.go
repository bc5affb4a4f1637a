package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/image-spec/identity"
	"golang.org/x/sys/unix"
)

// ImageMount is where MountImage mounts: below the pod's directory, so that what takes that away finds it.
func (r *Runtime) ImageMount(podUID, volume string) string {
	return filepath.Join(r.imageMounts(podUID), volume)
}

func (r *Runtime) imageMounts(podUID string) string { return filepath.Join(r.podDir(podUID), "images") }

// volumesLease holds what the image volumes of a pod are made of: without it the layers would be garbage as soon as the image
// has another name.
func volumesLease(podUID string) string { return "volumes-" + podUID }

// MountImage makes what is in an image the content of a pod's volume, read-only, at ImageMount. One that is mounted already
// stays as it is, whatever the image's name means now; RemoveSandbox ends it.
func (r *Runtime) MountImage(ctx context.Context, podUID, volume, ref string) error {
	defer r.pods.lock(podUID)()
	at := r.ImageMount(podUID, volume)
	if mounted, err := mountinfo.Mounted(at); err == nil && mounted {
		return nil
	}
	if err := os.MkdirAll(at, 0o711); err != nil {
		return fmt.Errorf("make directory for image volume %s: %w", volume, err)
	}
	from, err := r.imageView(r.in(ctx), podUID, volume, ref)
	if err == nil {
		err = mount.All(from, at)
	}
	if err != nil {
		return fmt.Errorf("mount image %s as volume %s: %w", ref, volume, err)
	}
	return nil
}

// imageView is a read-only view of an image's layers, which the pod's lease holds.
func (r *Runtime) imageView(ctx context.Context, podUID, volume, ref string) ([]mount.Mount, error) {
	lease := volumesLease(podUID)
	_, err := r.client.LeasesService().Create(ctx, leases.WithID(lease), leases.WithLabel(labelPodUID, podUID))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, err
	}
	img, err := r.image(ctx, ref)
	if err != nil {
		return nil, err
	}
	layers, err := img.RootFS(ctx)
	if err != nil {
		return nil, err
	}
	snapshots, key := r.client.SnapshotService(snapshotter), "volume-"+podUID+"-"+volume
	// Of a room that is gone: the image may be another now.
	if err := snapshots.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
		return nil, err
	}
	return snapshots.View(leases.WithLease(ctx, lease), key, identity.ChainID(layers).String())
}

// unmountImages ends the image volumes of a pod; the layers that they were made of are garbage then, if no image has them.
func (r *Runtime) unmountImages(ctx context.Context, podUID string) error {
	dir := r.imageMounts(podUID)
	mounts, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("list image volumes: %w", err)
	}
	for _, m := range mounts {
		at := filepath.Join(dir, m.Name())
		if err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("unmount image volume %s: %w", at, err)
		}
		if err := os.Remove(at); err != nil { // and never what was mounted there
			return fmt.Errorf("remove image volume: %w", err)
		}
	}
	return forgetVolumes(ctx, r.client, leases.Lease{ID: volumesLease(podUID)})
}

// forgetVolumes removes what a pod's image volumes were made of. A lease alone would leave that to containerd's collector,
// which comes after a hundred changes of its database.
func forgetVolumes(ctx context.Context, c *client.Client, lease leases.Lease) error {
	held, err := c.LeasesService().ListResources(ctx, lease)
	if errdefs.IsNotFound(err) {
		return nil // most pods have none
	}
	for _, h := range held {
		if err := c.SnapshotService(snapshotter).Remove(ctx, h.ID); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove image volume: %w", err)
		}
	}
	if err == nil {
		err = c.LeasesService().Delete(ctx, lease)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("let go of image volumes: %w", err)
	}
	return nil
}

// forgetAllVolumes lets go of all pods' image volumes.
func forgetAllVolumes(ctx context.Context, c *client.Client) error {
	found, err := c.LeasesService().List(ctx, fmt.Sprintf("labels.%q", labelPodUID))
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, l := range found {
		if err := forgetVolumes(ctx, c, l); err != nil {
			return err
		}
	}
	return nil
}
