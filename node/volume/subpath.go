package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// SubPath mounts a file or directory inside a volume at target, and makes a directory of it when it is not there and the
// volume can be written. A container that writes to the volume can put links there, at any moment: so the path is walked
// by the kernel, which lets no link lead out of the volume, and what it led to is held open until it is mounted.
func SubPath(volume, sub, target string, writable bool) error {
	if filepath.IsAbs(sub) || slices.Contains(strings.Split(sub, "/"), "..") {
		return fmt.Errorf("subPath %q must be relative and may not contain '..'", sub)
	}
	root, err := os.Open(volume)
	if err != nil {
		return err
	}
	defer root.Close()
	fd, err := beneath(root, sub)
	if errors.Is(err, unix.ENOENT) && writable {
		if err := makeBeneath(volume, sub); err != nil {
			return fmt.Errorf("make subPath %q: %w", sub, err)
		}
		fd, err = beneath(root, sub)
	}
	switch {
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.ELOOP):
		return fmt.Errorf("subPath %q leads out of its volume", sub)
	case err != nil:
		return fmt.Errorf("open subPath %q: %w", sub, err)
	}
	defer unix.Close(fd)
	return bind(fd, target)
}

func beneath(root *os.File, sub string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	return unix.Openat2(int(root.Fd()), sub, &how)
}

// makeBeneath makes directories like the volume's own: who may write to it may write to them.
func makeBeneath(volume, sub string) error {
	fi, err := os.Stat(volume)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(volume)
	if err != nil {
		return err
	}
	defer root.Close()
	var path string
	for part := range strings.SplitSeq(filepath.Clean(sub), "/") {
		path = filepath.Join(path, part)
		switch err := root.Mkdir(path, 0o755); {
		case errors.Is(err, os.ErrExist):
			continue
		case err != nil:
			return err
		}
		if err := root.Chmod(path, fi.Mode()&(os.ModePerm|os.ModeSetgid|os.ModeSticky)); err != nil {
			return err
		}
	}
	return nil
}

// bind mounts what is open at target, which becomes a file or a directory to suit.
func bind(fd int, target string) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := place(target, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	// Without what is mounted below it, as in Kubernetes, and never the other way round: to unmount a copy of a mount that
	// the host shares would take what is below it from the host.
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount subPath: %w", err)
	}
	if err := unix.Mount("", target, "", unix.MS_SLAVE, ""); err != nil {
		return errors.Join(fmt.Errorf("mount subPath: %w", err), Unmount(target))
	}
	return nil
}

// place makes an empty file or directory to mount on.
func place(target string, dir bool) error {
	if err := Unmount(target); err != nil {
		return err
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o711); err != nil {
		return err
	}
	if dir {
		return os.Mkdir(target, 0o711)
	}
	return os.WriteFile(target, nil, 0o600)
}

// Spreads says whether mounts made below a path on the host can come to a container, and with both also go the other way.
func Spreads(path string, both bool) error {
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(path))
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	var at *mountinfo.Info
	for _, m := range mounts {
		if at == nil || len(m.Mountpoint) >= len(at.Mountpoint) {
			at = m
		}
	}
	switch {
	case at == nil:
		return fmt.Errorf("path %q is on no mount", path)
	case strings.Contains(at.Optional, "shared:"), !both && strings.Contains(at.Optional, "master:"):
		return nil
	case both:
		return fmt.Errorf("path %q is mounted on %q but it is not a shared mount", path, at.Mountpoint)
	}
	return fmt.Errorf("path %q is mounted on %q but it is not a shared or slave mount", path, at.Mountpoint)
}
