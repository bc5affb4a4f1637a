package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/stave-run/stave/dataplane/lan"
)

// sitter starts the process of one node of this machine in the node's own
// network namespace. It does not stay: a node outlives who started it.
type sitter struct {
	layout     layout // the cluster's
	fleet      fleet
	node       fleetNode
	token      []byte
	registries string
	bounds     boundFlags
	containerd string
	anew       bool // also when it runs: the cluster does not know it any more
}

// start makes what is missing of the node's seat, and starts its process unless
// one runs that has the same program and the same token.
func (s sitter) start(ctx context.Context) error {
	at := s.layout.of(s.node.Name)
	if err := at.makeMember(); err != nil {
		return err
	}
	if err := s.layout.wire(s.fleet).Take(s.layout.seat(s.node)); err != nil {
		return err
	}
	have, err := os.ReadFile(at.token())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read token: %w", err)
	}
	if pid := at.running(); pid != 0 && !s.anew && bytes.Equal(have, s.token) && sameProgram(pid) {
		return nil
	}
	lock, err := at.takeOver(ctx, func(string, ...any) {})
	if err != nil {
		return err
	}
	if err := errors.Join(replaceFile(at.token(), s.token), lock.Close()); err != nil {
		return fmt.Errorf("keep token: %w", err)
	}
	return s.spawn(ctx, at)
}

// makeMember makes a node's directories.
func (l layout) makeMember() error {
	for _, d := range []string{l.data, l.containers(), l.node(), l.run} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	return nil
}

// running is the process that holds the layout; 0 is none.
func (l layout) running() int {
	lock, err := l.tryLock()
	if errors.Is(err, errRunning) {
		return l.holder()
	}
	if err == nil {
		_ = lock.Close() // it was only tried
	}
	return 0
}

// sameProgram tells whether a process runs the file that this one runs: after
// an upgrade it does not.
func sameProgram(pid int) bool {
	a, errA := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	b, errB := os.Stat("/proc/self/exe")
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// spawn starts the process and waits until it has joined.
func (s sitter) spawn(ctx context.Context, at layout) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	out, err := os.OpenFile(at.output(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	defer out.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	defer r.Close()
	child := exec.Command(self, s.args(at)...)
	child.Args[0] = "stave"
	child.Stdout, child.Stderr, child.ExtraFiles = out, out, []*os.File{w}
	child.Env = append(os.Environ(), progressEnv+"=3")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = lan.Go(at.netns(), child.Start)
	_ = w.Close() // the child has its own
	if err != nil {
		return fmt.Errorf("start node %s: %w", s.node.Name, err)
	}
	// Whoever is the parent has to ask how it ended, or it stays as a zombie.
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	return s.await(ctx, at, r, ended)
}

func (s sitter) args(at layout) []string {
	args := append([]string{"node", "join", "--token=" + at.token(), "--outside=" + at.outside(), "--data-dir=" + at.data}, s.bounds.args()...)
	for _, f := range []struct{ flag, value string }{{"--registry-hosts", s.registries}, {"--containerd-address", s.containerd}} {
		if f.value != "" {
			args = append(args, f.flag+"="+f.value)
		}
	}
	return args
}

// await reads how far the process is until it is ready.
func (s sitter) await(ctx context.Context, at layout, progress *os.File, ended <-chan error) error {
	if err := progress.SetReadDeadline(time.Now().Add(startTime)); err != nil {
		return fmt.Errorf("wait for node %s: %w", s.node.Name, err)
	}
	defer context.AfterFunc(ctx, func() { _ = progress.SetReadDeadline(time.Now()) })()
	lines := bufio.NewScanner(progress)
	for lines.Scan() {
		if lines.Text() == readyLine {
			return nil
		}
	}
	if err := errors.Join(lines.Err(), ctx.Err()); err != nil {
		return fmt.Errorf("wait for node %s: %w", s.node.Name, err)
	}
	return fmt.Errorf("node %s did not start: %w\n%s\nhelp: the whole story is in %s", s.node.Name, orEnded(<-ended), lastLines(at.output(), 0, 5), at.output())
}
