package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// Directory makes a directory that every user of every container may write to, whatever this process's umask; what it
// holds already is given to group, when not nil.
func Directory(dir string, group *int64) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		return err
	}
	return own(dir, group, true)
}

// Memory is Directory on a file system in memory of at most size bytes; 0 means no bound but the machine's.
func Memory(dir string, size int64, group *int64) error {
	data := "mode=1777" // as in Kubernetes: everybody's, and each file for its owner to remove
	if size > 0 {
		data += ",size=" + strconv.FormatInt(size, 10)
	}
	if err := mountMemory(dir, data); err != nil {
		return err
	}
	return own(dir, group, true)
}

// mountMemory makes a directory a file system in memory, if it is none yet.
func mountMemory(dir, data string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if isMemory(dir) {
		return nil
	}
	if err := unix.Mount("stave", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, data); err != nil {
		return fmt.Errorf("mount memory: %w", err)
	}
	return nil
}

// Usage is what a directory takes of its disk, in bytes. What has two names counts once, what goes meanwhile not at all.
func Usage(dir string) (int64, error) {
	var sum int64
	linked := map[uint64]bool{}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		switch {
		case errors.Is(err, os.ErrNotExist) && path != dir:
			return nil
		case err != nil:
			return err
		case st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR && linked[st.Ino]:
			return nil
		}
		linked[st.Ino] = true
		const block = 512 // bytes, whatever the file system's own
		sum += st.Blocks * block
		return nil
	})
	return sum, err
}

func isMemory(dir string) bool {
	var fs unix.Statfs_t
	mounted, err := mountinfo.Mounted(dir)
	return err == nil && mounted && unix.Statfs(dir, &fs) == nil && fs.Type == unix.TMPFS_MAGIC
}

// Unmount takes away what is mounted on a path, if anything is; whoever has it open keeps it.
func Unmount(path string) error {
	mounted, err := mountinfo.Mounted(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !mounted {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for a mount on %s: %w", path, err)
	}
	if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}

// hostKind is what a path of the host has to be.
type hostKind struct {
	is   func(os.FileMode) bool
	word string
}

var hostKinds = map[corev1.HostPathType]hostKind{
	corev1.HostPathDirectory:         {os.FileMode.IsDir, "a directory"},
	corev1.HostPathDirectoryOrCreate: {os.FileMode.IsDir, "a directory"},
	corev1.HostPathFile:              {os.FileMode.IsRegular, "a file"},
	corev1.HostPathFileOrCreate:      {os.FileMode.IsRegular, "a file"},
	corev1.HostPathSocket:            {func(m os.FileMode) bool { return m&os.ModeSocket != 0 }, "a socket file"},
	corev1.HostPathCharDev:           {func(m os.FileMode) bool { return m&os.ModeCharDevice != 0 }, "a character device"},
	corev1.HostPathBlockDev:          {func(m os.FileMode) bool { return m&os.ModeDevice != 0 && m&os.ModeCharDevice == 0 }, "a block device"},
}

// HostPath makes a path of the host if its type says so, and checks that it is what its type says. Without a type a
// directory is made where nothing is, as container runtimes do.
func HostPath(src *corev1.HostPathVolumeSource) error {
	kind := corev1.HostPathUnset
	if src.Type != nil {
		kind = *src.Type
	}
	fi, err := os.Stat(src.Path)
	if os.IsNotExist(err) {
		if err := create(src.Path, kind); err != nil {
			return err
		}
		fi, err = os.Stat(src.Path)
	}
	want, typed := hostKinds[kind]
	switch {
	case err != nil && !os.IsNotExist(err):
		return err
	case typed && (err != nil || !want.is(fi.Mode())):
		return fmt.Errorf("hostPath type check failed: %s is not %s", src.Path, want.word)
	}
	return nil
}

func create(path string, kind corev1.HostPathType) error {
	switch kind {
	case corev1.HostPathUnset, corev1.HostPathDirectoryOrCreate:
		return os.MkdirAll(path, 0o755)
	case corev1.HostPathFileOrCreate:
		f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return err
		}
		return f.Close()
	}
	return nil
}
