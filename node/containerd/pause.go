package containerd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A pod whose containers share their process ids has one process of ours beside its shim: such a namespace ends with its
// first process, and no container may be that one, for containers come and go. Its id lies beside the namespace's pin.

func (r *Runtime) pauseFile(uid string) string { return filepath.Join(r.podDir(uid), "pause") }

// startPause starts that process and pins its namespace. It gets the arguments by which a purge tells shims.
func (r *Runtime) startPause(uid string) error {
	cmd := exec.Command(r.shim, "pause", "-namespace", r.namespace(), "-address", socketPath(r.options.State))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start pause process: %w", err)
	}
	go func() { _ = cmd.Wait() }() // it is killed, or outlives us
	path := r.namespacePath(uid, "pid")
	err := os.WriteFile(path, nil, 0o444)
	if err == nil {
		err = unix.Mount(fmt.Sprintf("/proc/%d/ns/pid", cmd.Process.Pid), path, "", unix.MS_BIND, "")
	}
	if err == nil {
		err = os.WriteFile(r.pauseFile(uid), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("pin pid namespace: %w", err), cmd.Process.Kill())
	}
	return nil
}

// pausePID is the process that holds the pod's process ids, if it lives: one that is in the pinned namespace, so that
// nobody else is taken for it who was given its number.
func (r *Runtime) pausePID(uid string) (int, bool) {
	raw, err := os.ReadFile(r.pauseFile(uid))
	if err != nil || !pinned(r.namespacePath(uid, "pid")) {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0, false
	}
	var own, held unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &own) != nil || unix.Stat(r.namespacePath(uid, "pid"), &held) != nil {
		return 0, false
	}
	return pid, own.Ino == held.Ino && own.Dev == held.Dev
}

// endPause ends it, and with it whatever still runs in the namespace.
func (r *Runtime) endPause(uid string) error {
	pid, lives := r.pausePID(uid)
	if !lives {
		return nil
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end pause process: %w", err)
	}
	awaitEnd(pid)
	return nil
}
