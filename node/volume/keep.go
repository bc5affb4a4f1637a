package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Keep makes a directory that outlives a power cut, for anybody to write to; one that is there stays as it is.
func Keep(dir string) error {
	if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.Chmod(dir, 0o777); err != nil { // whatever the umask
		return err
	}
	return errors.Join(syncDir(dir), syncDir(parent), syncDir(filepath.Dir(parent)))
}

// Erase removes a directory with all that is in it, for good. One that is not there is no error. What somebody mounted on it or
// below is an error, and then all stays: it is not the volume's data.
func Erase(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("list mounts: %w", err)
	}
	if len(mounts) > 0 {
		return fmt.Errorf("erase %s: something is mounted on %s", dir, mounts[0].Mountpoint)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("erase %s: %w", dir, err)
	}
	if err := syncDir(filepath.Dir(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Own gives a directory with all that is in it to a group. When lazily, one whose root is the group's already is left alone:
// to walk through millions of files takes a while.
func Own(dir string, group int64, lazily bool) error {
	var st unix.Stat_t
	if lazily && unix.Stat(dir, &st) == nil && int64(st.Gid) == group && st.Mode&(groupAll|groupDir|unix.S_ISGID) == groupAll|groupDir|unix.S_ISGID {
		return nil
	}
	return own(dir, &group, true)
}
