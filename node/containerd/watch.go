package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/stave-run/stave/node/runtime"
)

// Bounds of watching.
const (
	// drainPatience is how long an exit waits for the container's last output to be read.
	drainPatience = 2 * time.Second
	// askPause is the pause before a shim or a containerd that did not answer is asked again.
	askPause = 200 * time.Millisecond
	// killedCode is the exit code of a process that SIGKILL ended, and of one whose end nobody saw.
	killedCode = 137
	// signalBase is what a signal's number is added to in an exit code.
	signalBase = 128
	// lastSignal is the highest number a signal has.
	lastSignal = 64
)

// watch is one started container under this agent's eyes.
type watch struct {
	pump *pump
	// over is closed when the exit is known and recorded, before it is delivered.
	over chan struct{}
}

// makeRunDir makes the directory that holds a container's FIFOs and marks.
func (r *Runtime) makeRunDir(id string, c runtime.ContainerSpec) error {
	if err := os.MkdirAll(r.runDir(id), 0o700); err != nil {
		return fmt.Errorf("make container directory: %w", err)
	}
	return makeFIFOs(r.runDir(id), c)
}

// The marks in a container's directory. They are on the State side: a reboot takes them, as it takes the container.
func (r *Runtime) startedMark(id string) string { return filepath.Join(r.runDir(id), "started") }
func (r *Runtime) exitMark(id string) string    { return filepath.Join(r.runDir(id), "exit.json") }

// neverStarted says that a container without a task waits for its first Start. Without the directory nobody can know, so
// it counts as started and lost.
func (r *Runtime) neverStarted(id string) bool {
	_, dir := os.Stat(r.runDir(id))
	_, mark := os.Stat(r.startedMark(id))
	return dir == nil && errors.Is(mark, os.ErrNotExist)
}

func (r *Runtime) startedAt(id string) time.Time {
	fi, err := os.Stat(r.startedMark(id))
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// recordedExit reads an exit that was seen before. Whose it is comes from the container: a shim's own record has only a
// code.
func (r *Runtime) recordedExit(s runtime.ContainerState) (runtime.Exit, bool) {
	var e runtime.Exit
	if !readJSON(r.exitMark(s.ID), &e) {
		return runtime.Exit{}, false
	}
	seen := r.exitOf(s, e.Code, e.At)
	seen.Strain, seen.Lost = e.Strain, e.Lost
	return seen, true
}

// recordExit keeps an exit beyond the task it came from. It does not overrule an earlier record.
func (r *Runtime) recordExit(e runtime.Exit) {
	if _, err := os.Stat(r.exitMark(e.ContainerID)); err == nil {
		return
	}
	raw, err := json.Marshal(e)
	if err == nil {
		tmp := r.exitMark(e.ContainerID) + ".new"
		if err = os.WriteFile(tmp, raw, 0o600); err == nil {
			err = os.Rename(tmp, r.exitMark(e.ContainerID))
		}
	}
	// Without its directory (a reboot, a removal) there is nothing to keep it for.
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.log.Warn("record exit", "container", e.ContainerID, "error", err)
	}
}

// exitOf builds the exit of a container from its code. The cgroup must still be there.
func (r *Runtime) exitOf(s runtime.ContainerState, code int, at time.Time) runtime.Exit {
	e := runtime.Exit{ContainerID: s.ID, PodUID: s.PodUID, Name: s.Name, Run: s.Run, Code: code, At: at}
	if code > signalBase && code <= signalBase+lastSignal {
		e.Signal = code - signalBase
	}
	e.Strain = r.Strain(s.PodUID, s.Name, s.Run, 0)
	return e
}

func (r *Runtime) lostExit(s runtime.ContainerState) runtime.Exit {
	e := r.exitOf(s, killedCode, time.Now())
	e.Lost = true
	return e
}

// watch registers a container and follows it by run, which returns its exit, or false when the runtime was closed first.
// After Close the next agent will find the container.
func (r *Runtime) watch(id string, p *pump, run func() (runtime.Exit, bool)) {
	w := &watch{pump: p, over: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		p.stop()
		return
	}
	r.watched[id] = w
	r.running.Go(func() {
		exit, ok := run()
		if !ok {
			return
		}
		r.recordExit(exit)
		p.end(drainPatience)
		close(w.over)
		r.deliver(exit)
	})
}

// follow watches a task until it ends and delivers its exit.
func (r *Runtime) follow(s runtime.ContainerState, task client.Task, p *pump, waiting <-chan client.ExitStatus) {
	r.watch(s.ID, p, func() (runtime.Exit, bool) { return r.await(s, task, waiting) })
}

// deliver hands an exit to the reader of Exits, however long that takes.
func (r *Runtime) deliver(e runtime.Exit) {
	select {
	case r.exits <- e:
	case <-r.life.Done():
	}
}

// await waits for a task's end; false when the runtime was closed first.
func (r *Runtime) await(s runtime.ContainerState, task client.Task, waiting <-chan client.ExitStatus) (runtime.Exit, bool) {
	for {
		status := <-waiting
		if r.life.Err() != nil {
			return runtime.Exit{}, false
		}
		if status.Error() == nil {
			return r.exitOf(s, int(status.ExitCode()), status.ExitTime()), true
		}
		// The question failed, which says nothing about the container: ask until somebody answers.
		now, err := task.Status(r.life)
		switch {
		case errdefs.IsNotFound(err):
			return r.lostExit(s), true
		case err == nil && now.Status == client.Stopped:
			return r.exitOf(s, int(now.ExitStatus), now.ExitTime), true
		}
		select {
		case <-r.life.Done():
			return runtime.Exit{}, false
		case <-time.After(askPause):
		}
		if waiting, err = task.Wait(r.life); err != nil {
			return runtime.Exit{}, false
		}
	}
}

// Adopt takes up every container that is here: output is read on, and what ended, while watched or not, is delivered by
// Exits. Call it once after Open, with somebody reading Exits.
func (r *Runtime) Adopt(ctx context.Context) error {
	states, err := r.List(ctx)
	if err != nil {
		return fmt.Errorf("adopt containers: %w", err)
	}
	known := map[string]bool{}
	for _, s := range states {
		known[s.ID] = true
		if err := r.adopt(r.in(ctx), s); err != nil {
			return fmt.Errorf("adopt container %s of pod %s/%s: %w", s.Name, s.Namespace, s.Pod, err)
		}
	}
	return r.removeStrayDirs(known)
}

// removeStrayDirs removes the directories of containers that a crash left half removed.
func (r *Runtime) removeStrayDirs(known map[string]bool) error {
	dirs, err := os.ReadDir(r.runDir(""))
	if err != nil {
		return fmt.Errorf("adopt containers: %w", err)
	}
	for _, d := range dirs {
		if known[d.Name()] {
			continue
		}
		if err := os.RemoveAll(r.runDir(d.Name())); err != nil {
			return fmt.Errorf("remove remains of a container: %w", err)
		}
	}
	return nil
}

func (r *Runtime) adopt(ctx context.Context, s runtime.ContainerState) error {
	if s.Status == runtime.StatusCreated {
		return nil
	}
	c, err := r.client.LoadContainer(ctx, s.ID)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.runDir(s.ID), 0o700); err != nil {
		return err
	}
	p, err := startPump(r.runDir(s.ID), s.LogPath, false, r.log)
	if err != nil {
		return err
	}
	if s.Status == runtime.StatusExited {
		// Ended before this agent began: what is left of its output comes before its exit all the same.
		r.watch(s.ID, p, func() (runtime.Exit, bool) { return *s.Exit, true })
		return nil
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		p.stop()
		return err
	}
	r.endExecs(ctx, s.ID, task)
	waiting, err := task.Wait(r.life)
	if err != nil {
		p.stop()
		return err
	}
	r.follow(s, task, p, waiting)
	return nil
}

// watchOf finds the watch of a started container.
func (r *Runtime) watchOf(id string) (*watch, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, ok := r.watched[id]
	return w, ok
}
