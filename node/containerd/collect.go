package containerd

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"

	"github.com/stave-run/stave/node/runtime"
)

// Of an image that somebody brought here by hand, which no registry could give again: it is never collected. The label is
// CRI's, so that images that others pinned stay too.
const (
	labelPinned = "io.cri-containerd.pinned"
	isPinned    = "pinned"
)

// pinImage keeps an image from being collected.
func (r *Runtime) pinImage(ctx context.Context, img images.Image) error {
	if img.Labels == nil {
		img.Labels = map[string]string{}
	}
	img.Labels[labelPinned] = isPinned
	if _, err := r.client.ImageService().Update(ctx, img, "labels."+labelPinned); err != nil {
		return fmt.Errorf("pin image %s: %w", img.Name, err)
	}
	return nil
}

// Collect removes the images that no container here has, but those that are pinned and those of keep, under their short or
// full names; it gives what was removed. Their room is free when it returns.
func (r *Runtime) Collect(ctx context.Context, keep []string) ([]runtime.Image, error) {
	ctx = r.in(ctx)
	used := map[string]bool{}
	for _, ref := range keep {
		if name, err := Normalize(ref); err == nil { // one that is no name has no image
			used[name] = true
		}
	}
	containers, err := r.client.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("collect images: %w", err)
	}
	for _, c := range containers {
		used[c.Image] = true
	}
	all, err := r.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("collect images: %w", err)
	}
	var gone []runtime.Image
	for _, img := range all {
		if used[img.Name] || img.Labels[labelPinned] == isPinned {
			continue
		}
		err := r.client.ImageService().Delete(ctx, img.Name, images.SynchronousDelete())
		if err != nil && !errdefs.IsNotFound(err) {
			return gone, fmt.Errorf("collect image %s: %w", img.Name, err)
		}
		gone = append(gone, runtime.Image{Ref: img.Name, Digest: img.Target.Digest.String()})
	}
	return gone, nil
}

// DiskUsage is what a container has written into its root, in bytes. It walks the files.
func (r *Runtime) DiskUsage(ctx context.Context, id string) (int64, error) {
	u, err := r.client.SnapshotService(snapshotter).Usage(r.in(ctx), id)
	if err != nil {
		return 0, fmt.Errorf("measure container %s: %w", id, err)
	}
	return u.Size, nil
}
