package main

import (
	"context"
	"os"
	"sync"
	"syscall"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	ptypes "github.com/containerd/containerd/v2/pkg/protobuf/types"
	"github.com/containerd/ttrpc"
)

// tasks is containerd's runc task service with four differences, each of which keeps something that an agent away from
// home would lose.
type tasks struct {
	taskapi.TTRPCTaskService
	pod *pod

	mu sync.Mutex
	// held are read ends of output FIFOs, by the id of the container or the further process.
	held map[string][]*os.File
	// made are the containers that are being made; closed when that is over.
	made map[string]chan struct{}
}

func newTasks(inner taskapi.TTRPCTaskService, p *pod) *tasks {
	return &tasks{TTRPCTaskService: inner, pod: p, held: map[string][]*os.File{}, made: map[string]chan struct{}{}}
}

// RegisterTTRPC adds the task service to the shim's server.
func (t *tasks) RegisterTTRPC(s *ttrpc.Server) error {
	taskapi.RegisterTTRPCTaskService(s, t)
	return nil
}

// Create holds the output FIFOs open until Delete: with the last descriptor the kernel drops what is in a pipe, and a
// container's last words would go when it ends while no agent reads.
//
// A container whose agent has gone meanwhile is undone: the next agent finds one that waits to be started.
func (t *tasks) Create(asked context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	defer t.making(r.ID)()
	ctx, cancel, err := whole(asked)
	if err != nil {
		return nil, err
	}
	defer cancel()
	t.hold(r.ID, r.Stdout, r.Stderr)
	resp, err := t.TTRPCTaskService.Create(ctx, r)
	if err == nil && asked.Err() != nil {
		t.end(r.ID, "")
		return nil, asked.Err()
	}
	if err != nil {
		t.release(r.ID)
	}
	return resp, err
}

// Start starts the container, or a further process in it. A further process whose agent has gone meanwhile is ended here:
// who wanted it went too.
func (t *tasks) Start(asked context.Context, r *taskapi.StartRequest) (*taskapi.StartResponse, error) {
	ctx, cancel, err := whole(asked)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if r.ExecID == "" {
		return t.TTRPCTaskService.Start(ctx, r)
	}
	// Without a reader the start would wait for one, and give up on a process that runs.
	if st, err := t.TTRPCTaskService.State(ctx, &taskapi.StateRequest{ID: r.ID, ExecID: r.ExecID}); err == nil {
		t.hold(r.ExecID, st.Stdout, st.Stderr)
		defer t.release(r.ExecID)
	}
	resp, err := t.TTRPCTaskService.Start(ctx, r)
	if err == nil && asked.Err() != nil {
		t.end(r.ID, r.ExecID)
		return nil, asked.Err()
	}
	return resp, err
}

// Delete lets go of the FIFOs once containerd has forgotten the container.
func (t *tasks) Delete(asked context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	ctx, cancel, err := whole(asked)
	if err != nil {
		return nil, err
	}
	defer cancel()
	resp, err := t.TTRPCTaskService.Delete(ctx, r)
	if err == nil && r.ExecID == "" {
		t.release(r.ID)
	}
	return resp, err
}

// Pids names the first process of a container that has ended but is not deleted. A containerd that starts deletes tasks
// without processes, exit code and all; the agent is the one to decide when an exit has been heard. The
// pod itself, about which it is asked too, is this process. A container that is being made is waited for: it would be taken
// for nothing, and its bundle removed under runc's feet.
func (t *tasks) Pids(ctx context.Context, r *taskapi.PidsRequest) (*taskapi.PidsResponse, error) {
	if t.pod.is(r.ID) {
		return &taskapi.PidsResponse{Processes: []*tasktypes.ProcessInfo{{Pid: uint32(os.Getpid())}}}, nil
	}
	t.awaitMade(r.ID)
	resp, err := t.TTRPCTaskService.Pids(ctx, r)
	if err == nil && len(resp.Processes) > 0 {
		return resp, nil
	}
	st, stErr := t.TTRPCTaskService.State(ctx, &taskapi.StateRequest{ID: r.ID})
	if stErr != nil || st.Status != tasktypes.Status_STOPPED {
		return resp, err
	}
	return &taskapi.PidsResponse{Processes: []*tasktypes.ProcessInfo{{Pid: st.Pid}}}, nil
}

// Shutdown is sent after each deleted container; a pod's shim stays until its sandbox is shut down, or the first
// container that ends before the second begins would take it along.
func (t *tasks) Shutdown(ctx context.Context, r *taskapi.ShutdownRequest) (*ptypes.Empty, error) {
	if t.pod.active() {
		return &ptypes.Empty{}, nil
	}
	return t.TTRPCTaskService.Shutdown(ctx, r)
}

func (t *tasks) hold(id string, paths ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range paths {
		// Anything but a FIFO is a log URI: nothing to hold. O_NONBLOCK because there is no writer yet.
		if fi, err := os.Stat(p); err != nil || fi.Mode()&os.ModeNamedPipe == 0 {
			continue
		}
		if f, err := os.OpenFile(p, os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
			t.held[id] = append(t.held[id], f)
		}
	}
}

func (t *tasks) release(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.held[id] {
		f.Close()
	}
	delete(t.held, id)
}
