package lan

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Go runs f on a thread that is in the namespace pinned at path. Sockets made and processes
// started by f itself are in it; goroutines started by f are not.
func Go(path string, f func() error) error {
	done := make(chan error)
	go func() { done <- enter(path, f) }()
	return <-done
}

// enter leaves its thread locked when it can't go home, so that the runtime throws the
// thread away.
func enter(path string, f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	ns, err := os.Open(path)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	err = f()
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// makeNamespace pins a new network namespace at path, unless there is one.
func makeNamespace(path string) error {
	if Pinned(path) {
		return nil
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread is not to be used again
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = pin("/proc/thread-self/ns/net", path)
		}
		done <- err
	}()
	return <-done
}

// pin keeps a namespace by a mount at path.
func pin(namespace, path string) error {
	if Pinned(path) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return unix.Mount(namespace, path, "", unix.MS_BIND, "")
}

// Pinned tells whether a namespace is kept at path.
func Pinned(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// unpin lets a namespace go; it may never have been kept.
func unpin(path string) error {
	for Pinned(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// handle speaks netlink in a namespace.
type handle struct {
	*netlink.Handle
	fd int
	ns netns.NsHandle
}

func openHandle(path string) (*handle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open netlink in %s: %w", path, err), ns.Close())
	}
	return &handle{h, int(ns), ns}, nil
}

func (h *handle) close() {
	h.Handle.Close()
	_ = h.ns.Close() // it was only read from
}
