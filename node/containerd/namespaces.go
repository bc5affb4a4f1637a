package containerd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// unshareFlags are the namespaces that a pod can have of its own, by the name of their file in /proc.
var unshareFlags = map[string]int{"net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS}

// pinNamespaces makes namespaces and pins each by a bind mount in dir, so that they live without a process.
func pinNamespaces(dir string, kinds []string, hostname string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("make pod directory: %w", err)
	}
	if err := onThrowawayThread(func() error { return pinHere(dir, kinds, hostname) }); err != nil {
		unpinAll(dir)
		return err
	}
	return nil
}

// onThrowawayThread calls do on an operating system thread that ends with it: Go ends a locked thread with its goroutine,
// so nothing else ever runs in the namespaces that do moves it to. The process's first thread is the exception, which
// would live on there and be what /proc/<pid>/ns shows of this process; it is kept busy while another does the work.
func onThrowawayThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			done <- onThrowawayThread(do)
			return
		}
		done <- do()
	}()
	return <-done
}

// pinHere moves the calling thread into new namespaces and pins them.
func pinHere(dir string, kinds []string, hostname string) error {
	flags := 0
	for _, k := range kinds {
		flags |= unshareFlags[k]
	}
	if err := unix.Unshare(flags); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	if flags&unix.CLONE_NEWUTS != 0 {
		if err := unix.Sethostname([]byte(hostname)); err != nil {
			return fmt.Errorf("set hostname %q: %w", hostname, err)
		}
	}
	if flags&unix.CLONE_NEWNET != 0 {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("raise loopback: %w", err)
		}
	}
	for _, k := range kinds {
		path := filepath.Join(dir, k)
		if err := os.WriteFile(path, nil, 0o444); err != nil {
			return fmt.Errorf("pin namespace: %w", err)
		}
		source := fmt.Sprintf("/proc/self/task/%d/ns/%s", unix.Gettid(), k)
		if err := unix.Mount(source, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("pin %s namespace: %w", k, err)
		}
	}
	return nil
}

// loopbackUp raises lo in the calling thread's network namespace.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// pinned says whether path is a bind mount of a namespace; after a reboot it is an empty file.
func pinned(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// isTmpfs says whether a tmpfs of its own is mounted on dir: the directory around it may be one too.
func isTmpfs(dir string) bool {
	var st, parent unix.Stat_t
	var fs unix.Statfs_t
	if unix.Stat(dir, &st) != nil || unix.Stat(filepath.Dir(dir), &parent) != nil || unix.Statfs(dir, &fs) != nil {
		return false
	}
	return fs.Type == unix.TMPFS_MAGIC && st.Dev != parent.Dev
}

// unpinAll unmounts everything in a pod's directory. What a container still uses goes with its last process.
func unpinAll(dir string) {
	for _, name := range []string{"net", "ipc", "uts", "pid", "shm"} {
		path := filepath.Join(dir, name)
		if err := unix.Unmount(path, unix.MNT_DETACH); errors.Is(err, unix.ENOENT) {
			continue
		}
		_ = os.Remove(path)
	}
}
