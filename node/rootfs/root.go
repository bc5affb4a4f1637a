// Package rootfs reads and writes files below the root of a container, as tar archives. The container may be hostile: every
// path is resolved by the kernel as if that root were the file system's (openat2 with RESOLVE_IN_ROOT), so that neither an
// absolute link nor "..", nor a link that is exchanged meanwhile, leads to the host.
package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Owner is as whom files are looked at and made.
type Owner struct {
	UID    int
	GID    int
	Groups []int
}

// Root is a container's root directory. It is used within As only.
type Root struct{ dir *os.File }

// As calls f on a thread of its own that has the file system rights of the owner and no more: with a uid other than 0 the
// kernel checks permissions as it does for the container's own processes, and what is made belongs to them. dir is the root,
// opened before with the rights that this takes.
func As(dir *os.File, who Owner, f func(Root) error) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and its rights with it.
		runtime.LockOSThread()
		if err := become(who); err != nil {
			done <- fmt.Errorf("take the rights of user %d: %w", who.UID, err)
			return
		}
		done <- f(Root{dir})
	}()
	return <-done
}

// become changes the calling thread alone; the system calls of package unix that change users change all threads.
func become(who Owner) error {
	if who.UID == 0 {
		return nil
	}
	groups := make([]uint32, len(who.Groups)+1)
	for i, g := range who.Groups {
		groups[i+1] = uint32(g)
	}
	groups[0] = uint32(who.GID)
	if err := setThreadGroups(groups); err != nil {
		return err
	}
	// Neither call says whether it worked; asked for what cannot be, they answer with what is.
	_, _ = unix.SetfsgidRetGid(who.GID)
	_, _ = unix.SetfsuidRetUid(who.UID)
	gid, _ := unix.SetfsgidRetGid(-1)
	uid, _ := unix.SetfsuidRetUid(-1)
	if gid != who.GID || uid != who.UID {
		return unix.EPERM
	}
	return nil
}

// open resolves a path below the root to a descriptor that can only be looked at. With follow the last step may be a link.
func (r Root) open(name string, follow bool, flags uint64) (*os.File, error) {
	how := &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC | flags, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if !follow {
		how.Flags |= unix.O_NOFOLLOW
	}
	rel := strings.TrimLeft(path.Clean("/"+name), "/")
	if rel == "" {
		rel = "."
	}
	for {
		fd, err := unix.Openat2(int(r.dir.Fd()), rel, how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue // a rename was under way somewhere above
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// child opens one name of a directory, itself and not what it links to.
func child(dir *os.File, name string) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path.Join(dir.Name(), name), Err: err}
	}
	return os.NewFile(uintptr(fd), path.Join(dir.Name(), name)), nil
}

// reopen makes a descriptor that can only be looked at one that can be read. It is the same file, whatever its name has
// become, and only a file or a directory: to open a device does something.
func reopen(f *os.File, st fs.FileInfo) (*os.File, error) {
	if !st.Mode().IsRegular() && !st.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: f.Name(), Err: errors.New("neither a file nor a directory")}
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: f.Name(), Err: err}
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
