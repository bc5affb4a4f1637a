package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

func (a *Agent) volumeDir(uid events.UID, name string) string {
	return filepath.Join(a.podDir(uid), "volumes", name)
}

// memoryDir is where volumes in memory are mounted: not below the data, so that nobody removes a tree with a mount in it.
func (a *Agent) memoryDir(uid events.UID, name string) string {
	return filepath.Join(a.o.StateDir, "memory", string(uid), name)
}

// writeVolumes makes the pod's volumes and writes what has changed in them.
func (w *worker) writeVolumes(row *projections.DesiredPod, op plan.WriteVolumes) error {
	for _, v := range row.Pod.Spec.Volumes {
		if err := w.a.writeVolume(row, v); err != nil {
			w.log().Warn("write volume", "volume", v.Name, "error", err)
			w.update(func(o plan.Observed) plan.Observed {
				o.Setup = o.Setup.Failed(w.a.now(), "ContainerCreating", fmt.Sprintf("failed to set up volume %q: %v", v.Name, err))
				return o
			})
			return nil
		}
	}
	w.update(func(o plan.Observed) plan.Observed { o.Volumes, o.Setup = op.Fingerprint, plan.Retry{}; return o })
	w.save()
	return nil
}

func (a *Agent) writeVolume(row *projections.DesiredPod, v corev1.Volume) error {
	switch {
	case v.HostPath != nil:
		return makeHostPath(v.HostPath)
	case v.ConfigMap != nil:
		files, err := plan.ConfigFiles(row, v.ConfigMap)
		if err != nil {
			return err
		}
		return writeConfig(a.volumeDir(row.UID, v.Name), files)
	case v.EmptyDir != nil && v.EmptyDir.Medium == corev1.StorageMediumMemory:
		return mountMemory(a.memoryDir(row.UID, v.Name), v.EmptyDir)
	}
	return makeOpenDir(a.volumeDir(row.UID, v.Name))
}

// makeOpenDir makes a directory that every user of every container may write to, whatever the agent's umask.
func makeOpenDir(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.Chmod(dir, 0o777)
}

func mountMemory(dir string, src *corev1.EmptyDirVolumeSource) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err == nil && fs.Type == unix.TMPFS_MAGIC && mounted(dir) {
		return nil
	}
	data := "mode=0777"
	if src.SizeLimit != nil && src.SizeLimit.Value() > 0 {
		data += ",size=" + strconv.FormatInt(src.SizeLimit.Value(), 10)
	}
	if err := unix.Mount("stave", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return fmt.Errorf("mount memory: %w", err)
	}
	return nil
}

// mounted says that a directory is on another file system than its parent.
func mounted(dir string) bool {
	var here, above unix.Stat_t
	if unix.Stat(dir, &here) != nil || unix.Stat(filepath.Dir(dir), &above) != nil {
		return false
	}
	return here.Dev != above.Dev
}

// makeHostPath checks a directory or file of the host as its type asks.
func makeHostPath(src *corev1.HostPathVolumeSource) error {
	kind := corev1.HostPathUnset
	if src.Type != nil {
		kind = *src.Type
	}
	fi, err := os.Stat(src.Path)
	switch kind {
	case corev1.HostPathDirectoryOrCreate:
		return os.MkdirAll(src.Path, 0o755)
	case corev1.HostPathFileOrCreate:
		if err == nil {
			return nil
		}
		f, err := os.OpenFile(src.Path, os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	case corev1.HostPathUnset:
		return nil
	}
	if err != nil {
		return fmt.Errorf("hostPath type check failed: %w", err)
	}
	if kind == corev1.HostPathDirectory && !fi.IsDir() || kind == corev1.HostPathFile && !fi.Mode().IsRegular() {
		return fmt.Errorf("hostPath type check failed: %s is not a %s", src.Path, kind)
	}
	return nil
}

// dataLink is Kubernetes' name of the link to the present content of a ConfigMap's volume.
const dataLink = "..data"

// writeConfig writes a new directory beside the old one and turns one link over to it, so that a reader sees either all of
// the old content or all of the new.
func writeConfig(dir string, files []plan.File) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	next, err := os.MkdirTemp(dir, "..")
	if err != nil {
		return err
	}
	if err := fill(next, files); err != nil {
		return errors.Join(err, os.RemoveAll(next))
	}
	link := filepath.Join(dir, dataLink)
	before, _ := os.Readlink(link)
	tmp := link + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(filepath.Base(next), tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, link); err != nil {
		return err
	}
	if err := linkNames(dir, files); err != nil {
		return err
	}
	if before != "" {
		return os.RemoveAll(filepath.Join(dir, before))
	}
	return nil
}

func fill(dir string, files []plan.File) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for _, f := range files {
		path := filepath.Join(dir, filepath.Clean("/"+f.Path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.Data, os.FileMode(f.Mode)); err != nil {
			return err
		}
		if err := os.Chmod(path, os.FileMode(f.Mode)); err != nil {
			return err
		}
	}
	return nil
}

// linkNames makes the names by which people know the files, and removes those whose file is gone.
func linkNames(dir string, files []plan.File) error {
	want := map[string]bool{}
	for _, f := range files {
		top := filepath.Clean("/" + f.Path)[1:]
		for filepath.Dir(top) != "." {
			top = filepath.Dir(top)
		}
		want[top] = true
	}
	have, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range have {
		switch name := e.Name(); {
		case want[name]:
			delete(want, name)
		case len(name) < 2 || name[:2] != "..":
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name := range want {
		if err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// removeFiles removes the pod's volumes and files; its record stays until nobody needs it.
func (a *Agent) removeFiles(uid events.UID) error {
	memory := a.memoryDir(uid, "")
	mounts, err := os.ReadDir(memory)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, m := range mounts {
		dir := filepath.Join(memory, m.Name())
		if !mounted(dir) {
			continue
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
	}
	return errors.Join(os.RemoveAll(memory), os.RemoveAll(a.etcDir(uid)), os.RemoveAll(filepath.Join(a.podDir(uid), "volumes")))
}

// removeRecord removes the last of a pod: its record and its logs.
func (a *Agent) removeRecord(uid events.UID) error {
	logs, err := filepath.Glob(filepath.Join(a.logsDir(), "*_"+string(uid)))
	if err != nil {
		return err
	}
	errs := []error{os.RemoveAll(a.podDir(uid))}
	for _, dir := range logs {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
