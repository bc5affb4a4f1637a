package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// making begins the name of a directory that is not whole yet; no volume's name begins so.
const making = ".making-"

// Keep makes a directory that outlives a power cut, for anybody to write to; one that is there stays as it is. It has its name
// when it is whole: a process that was killed in the middle left nothing that the next takes for a volume.
func Keep(dir string) error {
	parent := filepath.Dir(dir)
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		if err := os.MkdirAll(parent, 0o711); err != nil {
			return err
		}
		unnamed := unwhole(dir)
		if err := os.Mkdir(unnamed, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := os.Chmod(unnamed, 0o777); err != nil { // whatever the umask
			return err
		}
		if err := os.Rename(unnamed, dir); err != nil {
			return err
		}
	}
	// Also of one that is there: who made it may not have lived to this.
	return errors.Join(syncDir(dir), syncDir(parent), syncDir(filepath.Dir(parent)))
}

func unwhole(dir string) string { return filepath.Join(filepath.Dir(dir), making+filepath.Base(dir)) }

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
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(unwhole(dir))); err != nil {
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
