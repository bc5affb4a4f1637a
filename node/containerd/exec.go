package containerd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/stave-run/stave/node/runtime"
)

// execPatience bounds what follows after a further process was killed or has ended: silence of what it left behind,
// deleting it.
const execPatience = 10 * time.Second

// Exec runs a further process in a running container and returns its exit code. Canceling ctx kills it. An error that is
// a *StartError means that it never ran.
func (r *Runtime) Exec(ctx context.Context, id string, e runtime.ExecSpec, s runtime.Streams) (int, error) {
	ctx = r.in(ctx)
	input := &inputReader{Reader: s.Stdin, end: make(chan struct{})}
	// A start that is broken off half way leaves a process that nobody knows of: it is finished, and undone if need be.
	starting, cancel := context.WithTimeout(context.WithoutCancel(ctx), startPatience)
	defer cancel()
	var taken activity
	process, err := r.newExec(starting, id, e, taken.of(s), input)
	if err != nil {
		return 0, err
	}
	waiting, err := process.Wait(context.WithoutCancel(ctx))
	if err == nil {
		err = process.Start(starting)
	}
	if err != nil {
		r.dropExec(ctx, process)
		return 0, startError(err)
	}
	defer follow(ctx, process, s.Resize)()
	// With a terminal, closing the input would hang up: its end is a character that the client sends.
	if !e.TTY && s.Stdin != nil {
		defer closeAtEnd(ctx, process, input)()
	}
	select {
	case status := <-waiting:
		return r.endExec(ctx, process, status, &taken)
	case <-ctx.Done():
		r.dropExec(ctx, process)
		return 0, fmt.Errorf("exec in container %s: %w", id, ctx.Err())
	case <-r.life.Done():
		return 0, fmt.Errorf("exec in container %s: %w", id, ErrClosed)
	}
}

// newExec makes the process, not yet started.
func (r *Runtime) newExec(ctx context.Context, id string, e runtime.ExecSpec, s runtime.Streams, input *inputReader) (client.Process, error) {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return nil, startError(err)
	}
	spec, err := c.Spec(ctx)
	if err != nil {
		return nil, startError(err)
	}
	if err := applyExec(e, spec.Process); err != nil {
		return nil, startError(err)
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return nil, startError(err)
	}
	process, err := task.Exec(ctx, "exec-"+rand.Text(), spec.Process, r.execIO(id, e, s, input))
	if err != nil {
		return nil, startError(err)
	}
	return process, nil
}

// applyExec changes the container's own process into the one wanted.
func applyExec(e runtime.ExecSpec, p *specs.Process) error {
	p.Args, p.Terminal, p.ConsoleSize = e.Command, e.TTY, nil
	if e.TTY && e.Size.Width > 0 && e.Size.Height > 0 {
		p.ConsoleSize = &specs.Box{Width: uint(e.Size.Width), Height: uint(e.Size.Height)}
	}
	p.Env = append(append([]string{}, p.Env...), e.Env...)
	if e.TTY {
		p.Env = append(p.Env, "TERM=xterm")
	}
	if e.WorkingDir != "" {
		p.Cwd = e.WorkingDir
	}
	if e.User == "" {
		return nil
	}
	user, group, both := strings.Cut(e.User, ":")
	uid, err := strconv.ParseUint(user, 10, 31)
	if err != nil {
		return fmt.Errorf("user %q is no number: %w", user, err)
	}
	p.User = specs.User{UID: uint32(uid)}
	if both {
		gid, err := strconv.ParseUint(group, 10, 31)
		if err != nil {
			return fmt.Errorf("group %q is no number: %w", group, err)
		}
		p.User.GID = uint32(gid)
	}
	return nil
}

// execIO connects the streams.
func (r *Runtime) execIO(id string, e runtime.ExecSpec, s runtime.Streams, input *inputReader) cio.Creator {
	var stdin io.Reader
	if s.Stdin != nil {
		stdin = input
	}
	opts := []cio.Opt{cio.WithStreams(stdin, s.Stdout, s.Stderr), cio.WithFIFODir(r.execDir(id))}
	if e.TTY {
		opts = append(opts, cio.WithTerminal)
	}
	return cio.NewCreator(opts...)
}

// inputReader tells when the client's input has ended: the shim holds the FIFO open, so closing our end says nothing.
type inputReader struct {
	io.Reader
	once sync.Once
	end  chan struct{}
}

// Read reads from the client. The end is told at the call after the last data, when who called has written that.
func (i *inputReader) Read(b []byte) (int, error) {
	n, err := i.Reader.Read(b)
	if n > 0 {
		return n, nil
	}
	if err != nil {
		i.once.Do(func() { close(i.end) })
	}
	return n, err
}

// closeAtEnd closes the process's input when the client's has ended, until the returned function is called.
func closeAtEnd(ctx context.Context, p client.Process, input *inputReader) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-input.end:
			_ = p.CloseIO(ctx, client.WithStdinCloser)
		case <-ctx.Done():
		}
	}()
	return cancel
}

// follow passes terminal sizes on until the returned function is called.
func follow(ctx context.Context, p client.Process, sizes <-chan runtime.Size) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	if sizes == nil {
		return cancel
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case s, ok := <-sizes:
				if !ok {
					return
				}
				_ = p.Resize(ctx, uint32(s.Width), uint32(s.Height))
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// endExec reads the rest of an ended process's output and deletes it. In this order: containerd's Delete closes our ends
// of the FIFOs with whatever nobody has read yet.
func (r *Runtime) endExec(ctx context.Context, p client.Process, status client.ExitStatus, taken *activity) (int, error) {
	if err := status.Error(); err != nil {
		return 0, fmt.Errorf("wait for process: %w", err)
	}
	drain(ctx, p.IO(), taken, execPatience)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), execPatience)
	defer cancel()
	if _, err := p.Delete(ctx); err != nil && !errdefs.IsNotFound(err) {
		r.log.Debug("delete process", "process", p.ID(), "error", err)
	}
	return int(status.ExitCode()), nil
}

// dropExec kills a process whose client is gone, or which did not start.
func (r *Runtime) dropExec(ctx context.Context, p client.Process) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), execPatience)
	defer cancel()
	if p.IO() != nil {
		p.IO().Cancel()
	}
	if _, err := p.Delete(ctx, client.WithProcessKill); err != nil && !errdefs.IsNotFound(err) {
		r.log.Debug("drop process", "process", p.ID(), "error", err)
	}
}

// endExecs kills processes whose clients went with an earlier agent.
func (r *Runtime) endExecs(ctx context.Context, id string, task client.Task) {
	if _, err := os.Stat(r.execDir(id)); errors.Is(err, os.ErrNotExist) {
		return
	}
	processes, err := task.Pids(ctx)
	if err != nil {
		return
	}
	for _, p := range processes {
		if p.Info == nil {
			continue
		}
		var details runcoptions.ProcessDetails
		if typeurl.UnmarshalTo(p.Info, &details) != nil || details.ExecID == "" {
			continue
		}
		if err := task.Kill(ctx, syscall.SIGKILL, client.WithKillExecID(details.ExecID)); err != nil && !gone(err) {
			r.log.Warn("end process of a lost client", "container", id, "error", err)
		}
	}
	if err := os.RemoveAll(r.execDir(id)); err != nil {
		r.log.Warn("remove fifos", "container", id, "error", err)
	}
}
