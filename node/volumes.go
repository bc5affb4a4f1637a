package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/node/volume"
	"github.com/stave-run/stave/projections"
)

func (a *Agent) volumeDir(uid events.UID, name string) string {
	return filepath.Join(a.podDir(uid), "volumes", name)
}

// memoryDir is where volumes in memory are mounted, subPathDir where parts of volumes are until a container has them: not
// below the data, so that nobody removes a tree with a mount in it.
func (a *Agent) memoryDir(uid events.UID, name string) string {
	return filepath.Join(a.o.StateDir, "memory", string(uid), name)
}

func (a *Agent) subPathDir(uid events.UID, container string) string {
	return filepath.Join(a.o.StateDir, "subpaths", string(uid), container)
}

// writeVolumes makes the pod's volumes, or, where they are there, writes what has changed in them.
func (w *worker) writeVolumes(ctx context.Context, row *projections.DesiredPod, obs plan.Observed, op plan.WriteVolumes) error {
	if err := w.fillVolumes(ctx, row, obs, op.Fingerprint); err != nil {
		w.failedMount(err)
	}
	return nil
}

// fillVolumes writes what the fingerprint stands for.
func (w *worker) fillVolumes(ctx context.Context, row *projections.DesiredPod, obs plan.Observed, fingerprint string) error {
	plain, err := w.opened(ctx, row)
	if err == nil {
		plain, err = w.withTokens(ctx, w.withKeys(plain))
	}
	if err != nil {
		return err
	}
	for _, v := range row.Pod.Spec.Volumes {
		if obs.Volumes != "" && (!plan.Refreshed(v) || !plan.Certified(plain, v)) || v.Image != nil {
			continue // a directory is the containers' once they have it, a key that is lost is in its file all the same, and an image is brought when one mounts it
		}
		if d, ok := claimed(row, v); ok {
			err = w.openClaim(ctx, row, d)
		} else {
			err = w.a.writeVolume(plain, v)
		}
		if err != nil {
			return plan.MountError(v.Name, err)
		}
	}
	w.update(func(o plan.Observed) plan.Observed {
		o.Volumes, o.TokensDue, o.Setup = fingerprint, w.due, plan.Retry{}
		return o
	})
	w.stale()
	return nil
}

func (w *worker) failedMount(err error) {
	w.log().Warn("write volumes", "error", err)
	w.update(func(o plan.Observed) plan.Observed {
		o.Setup = o.Setup.FailedMount(w.a.now(), err.Error())
		return o
	})
}

func (a *Agent) writeVolume(row *projections.DesiredPod, v corev1.Volume) error {
	var group *int64
	if sc := row.Pod.Spec.SecurityContext; sc != nil {
		group = sc.FSGroup
	}
	n, _, _ := a.describe()
	switch {
	case v.HostPath != nil:
		return volume.HostPath(v.HostPath)
	case plan.Refreshed(v) || v.Projected != nil:
		files, err := plan.Files(row, v, n)
		if err != nil {
			return err
		}
		if plan.Secret(v) {
			return volume.WriteSecrets(a.memoryDir(row.UID, v.Name), files, group)
		}
		return volume.WriteFiles(a.volumeDir(row.UID, v.Name), files, group)
	case inMemory(v):
		return volume.Memory(a.memoryDir(row.UID, v.Name), plan.MemorySize(&row.Pod.Spec, v.EmptyDir, n), group)
	}
	return volume.Directory(a.volumeDir(row.UID, v.Name), group)
}

func inMemory(v corev1.Volume) bool {
	return v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumMemory
}

// mounts are what a container finds in its file system beside its image: the pod's own files, and its volumes.
func (a *Agent) mounts(row *projections.DesiredPod, c corev1.Container, env plan.Environment) ([]runtime.Mount, error) {
	out := a.etcMounts(row.UID, c.SecurityContext != nil && isTrue(c.SecurityContext.ReadOnlyRootFilesystem))
	for i, m := range c.VolumeMounts {
		at := slices.IndexFunc(row.Pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if at < 0 {
			return nil, fmt.Errorf("volume mount %q: no such volume", m.Name)
		}
		path, readOnly := a.volumePath(row, row.Pod.Spec.Volumes[at])
		sub, err := subPathOf(m, env)
		if err == nil && sub != "" {
			target := filepath.Join(a.subPathDir(row.UID, c.Name), fmt.Sprint(i))
			err = volume.SubPath(path, sub, target, !readOnly)
			path = target
		}
		if err != nil {
			return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", m.Name, c.Name, err)
		}
		mount := runtime.Mount{HostPath: path, ContainerPath: m.MountPath, ReadOnly: m.ReadOnly || readOnly}
		if p := m.MountPropagation; p != nil && *p != corev1.MountPropagationNone {
			if err := volume.Spreads(path, *p == corev1.MountPropagationBidirectional); err != nil {
				return nil, fmt.Errorf("volume mount %q: %w", m.Name, err)
			}
			mount.Propagation = string(*p)
		}
		// A mount over one of the pod's own files wins over it.
		out = slices.DeleteFunc(out, func(x runtime.Mount) bool { return x.ContainerPath == mount.ContainerPath })
		out = append(out, mount)
	}
	return out, nil
}

func subPathOf(m corev1.VolumeMount, env plan.Environment) (string, error) {
	if m.SubPathExpr == "" {
		return m.SubPath, nil
	}
	return env.ExpandPath(m.SubPathExpr)
}

func (a *Agent) volumePath(row *projections.DesiredPod, v corev1.Volume) (path string, readOnly bool) {
	if d, ok := claimed(row, v); ok {
		return a.claimPath(d), d.ReadOnly
	}
	switch {
	case v.HostPath != nil:
		return v.HostPath.Path, false
	case v.Image != nil:
		return a.o.Runtime.ImageMount(string(row.UID), v.Name), true
	case inMemory(v):
		return a.memoryDir(row.UID, v.Name), false
	case plan.Secret(v):
		return a.memoryDir(row.UID, v.Name), true
	}
	return a.volumeDir(row.UID, v.Name), plan.Refreshed(v) || v.Projected != nil
}

// handedOver lets go of what a container's mounts were made from: a container that has been started has its own hold.
func (a *Agent) handedOver(uid events.UID, container string) error {
	return unmountIn(a.subPathDir(uid, container))
}

// unmountIn unmounts what is mounted directly in a directory, and removes it.
func unmountIn(dir string) error {
	mounts, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, m := range mounts {
		path := filepath.Join(dir, m.Name())
		if err := volume.Unmount(path); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil { // and never what was mounted there
			return err
		}
	}
	return os.Remove(dir)
}

// removeFiles removes the pod's volumes and files; its record stays until nobody needs it.
func (a *Agent) removeFiles(uid events.UID) error {
	containers, err := os.ReadDir(a.subPathDir(uid, ""))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, c := range containers {
		if err := a.handedOver(uid, c.Name()); err != nil {
			return err
		}
	}
	if err := unmountIn(a.memoryDir(uid, "")); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(a.subPathDir(uid, "")), os.RemoveAll(a.etcDir(uid)), os.RemoveAll(filepath.Join(a.podDir(uid), "messages")), os.RemoveAll(filepath.Join(a.podDir(uid), "volumes")))
}

// removeRecord removes the last of a pod but its logs: they are kept for a while.
func (a *Agent) removeRecord(uid events.UID) error { return os.RemoveAll(a.podDir(uid)) }
