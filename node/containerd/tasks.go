package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"

	"github.com/stave-run/stave/node/runtime"
)

// killPatience is how long a container may take to be gone after SIGKILL: a process in the middle of a long disk
// operation ends when that does.
const killPatience = 30 * time.Second

// startPatience bounds the start of a process, which its caller cannot break off: half a start would be a process that
// nobody knows of.
const startPatience = 2 * time.Minute

// Start runs a created container and returns the pid of its first process. Its exit comes by Exits, also when it has
// ended before Start returns; after an error no exit comes, and the container may be removed. The error is a *StartError.
func (r *Runtime) Start(ctx context.Context, id string) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.in(ctx)), startPatience)
	defer cancel()
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return 0, startError(err)
	}
	info, err := c.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil {
		return 0, startError(err)
	}
	state := stateOf(info)
	input := info.Labels[labelStdin]
	p, err := startPump(r.runDir(id), state.LogPath, input != stdinNone, r.log)
	if err != nil {
		return 0, startError(err)
	}
	err = r.dropUnstarted(ctx, c)
	if err != nil {
		p.stop()
		return 0, startError(err)
	}
	task, waiting, err := r.startTask(ctx, c, newTaskIO(r.runDir(id), state.TTY, input != stdinNone))
	if err != nil {
		p.stop()
		return 0, startError(err)
	}
	r.follow(state, task, p, waiting)
	return int(task.Pid()), nil
}

// dropUnstarted removes a task that an agent made and did not live to start.
func (r *Runtime) dropUnstarted(ctx context.Context, c client.Container) error {
	task, err := c.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	status, err := task.Status(ctx)
	if err != nil {
		return err
	}
	if status.Status != client.Created {
		return fmt.Errorf("container is %s: %w", status.Status, errdefs.ErrFailedPrecondition)
	}
	_, err = task.Delete(ctx, client.WithProcessKill)
	return err
}

// startTask makes the task and starts it; what failed leaves no task.
func (r *Runtime) startTask(ctx context.Context, c client.Container, io taskIO) (client.Task, <-chan client.ExitStatus, error) {
	task, err := c.NewTask(ctx, func(string) (cio.IO, error) { return io, nil })
	if err != nil {
		return nil, nil, err
	}
	waiting, err := task.Wait(r.life)
	if err == nil {
		// Before the start: a mark without a process is lost, a process without a mark would be started twice.
		err = os.WriteFile(r.startedMark(c.ID()), nil, 0o600)
	}
	if err == nil {
		err = task.Start(ctx)
	}
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), killPatience)
		defer cancel()
		_, derr := task.Delete(undo, client.WithProcessKill)
		if errdefs.IsNotFound(derr) {
			derr = nil
		}
		merr := os.Remove(r.startedMark(c.ID()))
		if errors.Is(merr, os.ErrNotExist) {
			merr = nil
		}
		return nil, nil, errors.Join(err, derr, merr)
	}
	return task, waiting, nil
}

// startError gives runc's words without containerd's wrapping, and sorts them.
func startError(err error) *runtime.StartError {
	e := &runtime.StartError{Reason: runtime.StartFailed, Message: runcWords(err.Error()), Err: err}
	switch {
	case strings.Contains(e.Message, "executable file not found"), strings.Contains(e.Message, "no such file or directory") && strings.Contains(e.Message, "exec"):
		e.Reason = runtime.StartNotFound
	case strings.Contains(e.Message, "exec") && strings.Contains(e.Message, "permission denied"):
		e.Reason = runtime.StartDenied
	}
	return e
}

// runcWords cuts what containerd put before and after runc's message.
func runcWords(s string) string {
	if i := strings.Index(s, "OCI runtime "); i >= 0 {
		s = s[i:]
	}
	return strings.TrimSuffix(strings.TrimSpace(s), ": unknown")
}

// Stop asks a container to end by signal (0: the one its image names, or SIGTERM), gives it grace, then kills every
// process in it. It returns when the container has ended; one that has already, or never started, is fine.
func (r *Runtime) Stop(ctx context.Context, id string, grace time.Duration, signal syscall.Signal) error {
	ctx = r.in(ctx)
	w, ok := r.watchOf(id)
	if !ok {
		return nil
	}
	task, err := r.task(ctx, id)
	if errdefs.IsNotFound(err) {
		return r.waitOver(ctx, id, w, killPatience)
	}
	if err != nil {
		return fmt.Errorf("stop container %s: %w", id, err)
	}
	if grace > 0 {
		if err := r.ask(ctx, id, task, signal); err != nil {
			return err
		}
		if r.waitOver(ctx, id, w, grace) == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("stop container %s: %w", id, ctx.Err())
		}
	}
	if err := task.Kill(ctx, syscall.SIGKILL, client.WithKillAll); err != nil && !gone(err) {
		return fmt.Errorf("kill container %s: %w", id, err)
	}
	return r.waitOver(ctx, id, w, killPatience)
}

// ask sends the polite signal.
func (r *Runtime) ask(ctx context.Context, id string, task client.Task, signal syscall.Signal) error {
	if signal == 0 {
		c, err := r.client.LoadContainer(ctx, id)
		if err == nil {
			signal, err = client.GetStopSignal(ctx, c, syscall.SIGTERM)
		}
		if err != nil {
			return fmt.Errorf("find stop signal of container %s: %w", id, err)
		}
	}
	if err := task.Kill(ctx, signal); err != nil && !gone(err) {
		return fmt.Errorf("signal container %s: %w", id, err)
	}
	return nil
}

// gone says that there is no process left to signal.
func gone(err error) bool {
	return errdefs.IsNotFound(err) || strings.Contains(err.Error(), "process already finished")
}

// waitOver waits until the container's exit is recorded.
func (r *Runtime) waitOver(ctx context.Context, id string, w *watch, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for container %s: %w", id, ctx.Err())
	case <-r.life.Done():
		return fmt.Errorf("wait for container %s: %w", id, ErrClosed)
	case <-timer.C:
		return fmt.Errorf("container %s did not end within %v", id, patience)
	}
}

// Remove deletes a container, killed first if it runs, with its task, snapshot, cgroup and FIFOs; its log stays. What is
// gone already is fine.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	ctx = r.in(ctx)
	c, err := r.client.LoadContainer(ctx, id)
	if err == nil {
		err = r.remove(ctx, c)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	r.mu.Lock()
	w := r.watched[id]
	delete(r.watched, id)
	r.mu.Unlock()
	if w != nil {
		w.pump.stop()
	}
	if err := errors.Join(os.RemoveAll(r.runDir(id)), os.RemoveAll(r.execDir(id))); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	return nil
}

func (r *Runtime) remove(ctx context.Context, c client.Container) error {
	task, err := c.Task(ctx, nil)
	if err == nil {
		if _, watched := r.watchOf(c.ID()); watched {
			err = r.Stop(ctx, c.ID(), 0, syscall.SIGKILL)
		}
		if err == nil {
			_, err = task.Delete(ctx, client.WithProcessKill)
		}
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	info, err := c.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil {
		return err
	}
	if err := c.Delete(ctx, client.WithSnapshotCleanup); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	// runc removes it with the task; a shim that was killed left it behind.
	s := stateOf(info)
	return r.cgroups.remove(r.containerGroup(s.PodUID, s.Name, s.Run))
}
