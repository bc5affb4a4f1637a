package main

import (
	"context"
	"syscall"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
)

// Bounds of what goes on when the agent that asked for it has gone.
const (
	// runcPatience is how long runc may go on. It is less than the time that the next containerd gives a shim to answer,
	// and this shim does not answer about a process while runc is about to start it.
	runcPatience = 15 * time.Second
	// endPatience is how long what is ended here may take to be gone.
	endPatience = 10 * time.Second
)

// whole is the context of a step that is not broken off half way. A request's own context ends with the agent's
// connection, and with it runc is killed: a process that it has started already would be known to nobody. A request that
// nobody waits for any more is not begun.
func whole(asked context.Context) (context.Context, context.CancelFunc, error) {
	if err := asked.Err(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(asked))
	stop := context.AfterFunc(asked, func() {
		late := time.AfterFunc(runcPatience, cancel)
		context.AfterFunc(ctx, func() { late.Stop() })
	})
	return ctx, func() { stop(); cancel() }, nil
}

// end kills and forgets a container or a further process that was started for an agent that has gone.
func (t *tasks) end(id, exec string) {
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	// What fails here has ended, or the next agent finds it as it is.
	_, _ = t.TTRPCTaskService.Kill(ctx, &taskapi.KillRequest{ID: id, ExecID: exec, Signal: uint32(syscall.SIGKILL), All: exec == ""})
	_, _ = t.TTRPCTaskService.Wait(ctx, &taskapi.WaitRequest{ID: id, ExecID: exec})
	_, _ = t.Delete(ctx, &taskapi.DeleteRequest{ID: id, ExecID: exec})
}

// making notes that a container is being made, until the returned function is called.
func (t *tasks) making(id string) (over func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	made := make(chan struct{})
	t.made[id] = made
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		close(made)
		if t.made[id] == made {
			delete(t.made, id)
		}
	}
}

// awaitMade waits while a container is being made.
func (t *tasks) awaitMade(id string) {
	t.mu.Lock()
	made := t.made[id]
	t.mu.Unlock()
	if made != nil {
		<-made
	}
}
