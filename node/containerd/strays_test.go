package containerd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/node/runtime"
)

// halfStart leaves what an agent does that is killed while containerd starts the shim of a pod: a process that listens and
// waits for somebody to read its log, and a bundle that does not say what it is.
func halfStart(t *testing.T, n *node, uid string) (pid int) {
	t.Helper()
	bundle := filepath.Join(n.options.State, "io.containerd.sandbox.controller.v1.shim", n.namespace(), uid)
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(bundle, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	address, err := shim.CreateSocketAddress(namespaces.WithNamespace(t.Context(), n.namespace()), filepath.Join(n.options.State, "s"), socketPath(n.options.State), uid, false)
	if err != nil {
		t.Fatal(err)
	}
	l, err := shim.NewSocket(address)
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(n.shim, "-namespace", n.namespace(), "-id", uid, "-address", socketPath(n.options.State))
	cmd.Dir, cmd.ExtraFiles = bundle, []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go cmd.Wait()
	l.Close()
	f.Close()
	eventually(t, "it waits for a reader of its log", func() bool { return waits(cmd.Process.Pid, "wait_for_partner") })
	return cmd.Process.Pid
}

// waits says whether a thread of the process waits there in the kernel.
func waits(pid int, where string) bool {
	for _, path := range match(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "wchan")) {
		if raw, _ := os.ReadFile(path); strings.Contains(string(raw), where) {
			return true
		}
	}
	return false
}

// TestHalfStarted: the next agent makes the pod whose shim was half started, and that of the last agent is gone.
func TestHalfStarted(t *testing.T) {
	o := options(t, "half")
	n := reopen(t, o)
	if _, err := n.Pull(t.Context(), busybox, nil, nil); err != nil {
		t.Fatal(err)
	}
	n.pod("p2")
	kept := n.start(n.spec("p2", "kept", "sleep 1000"))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	pid := halfStart(t, n, "p1")
	begin := time.Now()
	n = reopen(t, o)
	n.pod("p1")
	if out, exit := n.run(n.spec("p1", "hello", "echo hello; exit 3")); out != "hello\n" || exit.Code != 3 {
		t.Errorf("%q, %+v", out, exit)
	}
	if alive(pid) {
		t.Error("the shim that was half started lives")
	}
	if s := n.find("kept"); s.ID != kept || s.Exit != nil {
		t.Errorf("%+v", s)
	}
	if got := len(shims(t, o)); got != 2 {
		t.Errorf("%d shims after %v", got, time.Since(begin))
	}
}

// TestRemoveAlone: who removes a pod does not ask the shims of others, which may be many, or stand still.
func TestRemoveAlone(t *testing.T) {
	n := open(t, "alone")
	n.pod("p1")
	stopped, err := strconv.Atoi(shims(t, n.options)[0])
	if err != nil {
		t.Fatal(err)
	}
	n.exit(n.start(n.spec("p1", "ended", "exit 3")))
	n.pod("p2")
	n.exit(n.start(n.spec("p2", "ended", "exit 4")))
	n.start(n.spec("p2", "running", "sleep 1000"))
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(stopped, syscall.SIGCONT)
	removed := make(chan error, 1)
	go func() { removed <- n.RemoveSandbox(t.Context(), "p2") }()
	select {
	case err := <-removed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it waits for another pod's shim")
	}
}

// TestPurgeAlone purges a node whose agent has gone, with pods that run and pods that ended. Its images are left.
func TestPurgeAlone(t *testing.T) {
	n := open(t, "without")
	n.pod("p1")
	n.start(n.spec("p1", "running", "trap '' TERM; while :; do sleep 1; done"))
	n.pod("p2")
	n.exit(n.start(n.spec("p2", "ended", "exit 3")))
	if _, err := n.EnsureSandbox(t.Context(), runtime.SandboxSpec{UID: "p3", Namespace: "default", Name: "p3", Hostname: "p3", SharePID: true}); err != nil {
		t.Fatal(err)
	}
	n.start(n.spec("p3", "shared", "sleep 1000"))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Purge(t.Context(), n.options); err != nil {
		t.Fatal(err)
	}
	checkNothingLeft(t, n.options)
	n = reopen(t, n.options)
	if states, err := n.List(t.Context()); err != nil || len(states) != 0 {
		t.Errorf("%+v, %v", states, err)
	}
	if boxes, err := n.ListSandboxes(t.Context()); err != nil || len(boxes) != 0 {
		t.Errorf("%+v, %v", boxes, err)
	}
	if _, there, err := n.Lookup(t.Context(), busybox); err != nil || !there {
		t.Errorf("the image is there: %v, %v", there, err)
	}
	n.pod("p1")
	if out, exit := n.run(n.spec("p1", "running", "echo again")); out != "again\n" || exit.Code != 0 {
		t.Errorf("%q, %+v", out, exit)
	}
}

// TestRuncOfAKilledShim: what a shim ran is ended with it, that of another cluster is not.
func TestRuncOfAKilledShim(t *testing.T) {
	o := options(t, "runc")
	n := reopen(t, o)
	root := filepath.Join(n.runc().Root, n.namespace())
	run := func(root string) (ended chan struct{}) {
		cmd := exec.Command("sh", "-c", "sleep 1000; :", "runc", "--root", root)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) })
		ended = make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }()
		return ended
	}
	ours, others := run(root), run(root+"b")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Purge(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ours:
	case <-time.After(time.Minute):
		t.Error("it goes on")
	}
	select {
	case <-others:
		t.Error("another's was ended")
	default:
	}
}
