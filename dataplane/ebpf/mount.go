package ebpf

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mountMark is a directory in a bpffs that says that we mounted it. No cluster can have
// this name.
const mountMark = "_mounted"

// ensureBPF mounts bpffs when there is none at the root, and makes the pin directory.
func ensureBPF(o Options) error {
	var st unix.Statfs_t
	if err := unix.Statfs(o.BPFRoot, &st); err != nil {
		return fmt.Errorf("look at %s: %w", o.BPFRoot, err)
	}
	if st.Type != unix.BPF_FS_MAGIC {
		if err := unix.Mount("bpf", o.BPFRoot, "bpf", 0, "mode=0700"); err != nil {
			return fmt.Errorf("mount bpffs on %s: %w", o.BPFRoot, err)
		}
		if err := os.MkdirAll(filepath.Join(o.home(), mountMark), 0o700); err != nil {
			return fmt.Errorf("mark bpffs as ours: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(o.dir(), linksDir), 0o700); err != nil {
		return fmt.Errorf("make pin directory: %w", err)
	}
	return nil
}

// releaseBPF removes the common directory after the last cluster, and unmounts the bpffs
// if it was ours and nobody else uses it.
func releaseBPF(o Options) error {
	left, err := os.ReadDir(o.home())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list clusters: %w", err)
	}
	ours := len(left) == 1 && left[0].Name() == mountMark
	if len(left) > 0 && !ours {
		return nil
	}
	if err := removeTree(o.home()); err != nil {
		return err
	}
	if !ours {
		return nil
	}
	if used, err := usedByOthers(o.BPFRoot); err != nil || used {
		return err
	}
	if err := unix.Unmount(o.BPFRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", o.BPFRoot, err)
	}
	return nil
}

// usedByOthers looks for pins beside the kernel's own two (maps.debug, progs.debug).
func usedByOthers(root string) (bool, error) {
	pins, err := os.ReadDir(root)
	if err != nil {
		return false, fmt.Errorf("list bpffs: %w", err)
	}
	for _, p := range pins {
		if !strings.HasSuffix(p.Name(), ".debug") {
			return true, nil
		}
	}
	return false, nil
}

// removeTree unpins everything below a directory. bpffs knows unlink and rmdir, which is
// all that is needed.
func removeTree(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove pins in %s: %w", dir, err)
	}
	return nil
}

// cgroupRoot finds the root of the mounted cgroup2, or mounts one. The hierarchy is the
// same wherever it is mounted, and a hook on its root sees processes of v1 groups too.
func cgroupRoot(o Options) (string, error) {
	if o.CgroupRoot != "" {
		return o.CgroupRoot, nil
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("look for cgroup2: %w", err)
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		// id parent major:minor root mountpoint options … - type source options
		before, after, _ := strings.Cut(sc.Text(), " - ")
		fields := strings.Fields(before)
		if strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 && fields[3] == "/" {
			return fields[4], nil
		}
	}
	return mountCgroup(o)
}

func ownCgroup(o Options) string { return filepath.Join(o.StateDir, "cgroup2") }

func mountCgroup(o Options) (string, error) {
	if o.StateDir == "" {
		return "", errors.New("find cgroup2: it is not mounted, and no state directory is given to mount it in")
	}
	dir := ownCgroup(o)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make cgroup2 mount point: %w", err)
	}
	if err := unix.Mount("cgroup2", dir, "cgroup2", 0, ""); err != nil {
		return "", fmt.Errorf("mount cgroup2 on %s: %w", dir, err)
	}
	return dir, nil
}

// releaseCgroup unmounts the cgroup2 that mountCgroup mounted, if it did.
func releaseCgroup(o Options) error {
	if o.StateDir == "" {
		return nil
	}
	dir := ownCgroup(o)
	err := unix.Unmount(dir, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove cgroup2 mount point: %w", err)
	}
	return nil
}
