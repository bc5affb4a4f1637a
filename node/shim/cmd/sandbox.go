package main

import (
	"context"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	sandboxapi "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// shutdownAnswer is how long the shim lives on after ShutdownSandbox, so that the answer leaves before the socket closes.
const shutdownAnswer = 20 * time.Millisecond

// pod answers containerd's sandbox service. The pod's namespaces are pinned by the agent's bind mounts, so there is no
// process to start or to wait for: the sandbox is ready while this shim lives.
type pod struct {
	// id is set by CreateSandbox: without it this is an ordinary shim of one container.
	id      atomic.Pointer[string]
	created time.Time
	once    sync.Once
	stopped chan struct{}
	exit    func()
}

func newPod() *pod {
	return &pod{created: time.Now(), stopped: make(chan struct{})}
}

// RegisterTTRPC adds the sandbox service to the shim's server.
func (p *pod) RegisterTTRPC(s *ttrpc.Server) error {
	sandboxapi.RegisterTTRPCSandboxService(s, p)
	return nil
}

// CreateSandbox makes this the shim of a whole pod.
func (p *pod) CreateSandbox(_ context.Context, r *sandboxapi.CreateSandboxRequest) (*sandboxapi.CreateSandboxResponse, error) {
	p.id.Store(&r.SandboxID)
	return &sandboxapi.CreateSandboxResponse{}, nil
}

// StartSandbox reports the shim itself as the sandbox's process.
func (p *pod) StartSandbox(context.Context, *sandboxapi.StartSandboxRequest) (*sandboxapi.StartSandboxResponse, error) {
	return &sandboxapi.StartSandboxResponse{Pid: uint32(os.Getpid()), CreatedAt: timestamppb.New(p.created)}, nil
}

// Platform says what the containers run on.
func (p *pod) Platform(context.Context, *sandboxapi.PlatformRequest) (*sandboxapi.PlatformResponse, error) {
	return &sandboxapi.PlatformResponse{Platform: &types.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH}}, nil
}

// StopSandbox ends WaitSandbox; containers are stopped one by one by the agent before.
func (p *pod) StopSandbox(context.Context, *sandboxapi.StopSandboxRequest) (*sandboxapi.StopSandboxResponse, error) {
	p.stop()
	return &sandboxapi.StopSandboxResponse{}, nil
}

// WaitSandbox blocks until the sandbox is stopped.
func (p *pod) WaitSandbox(ctx context.Context, _ *sandboxapi.WaitSandboxRequest) (*sandboxapi.WaitSandboxResponse, error) {
	select {
	case <-p.stopped:
		return &sandboxapi.WaitSandboxResponse{ExitedAt: timestamppb.Now()}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// SandboxStatus says that the shim is there, which is all there is to know.
func (p *pod) SandboxStatus(_ context.Context, r *sandboxapi.SandboxStatusRequest) (*sandboxapi.SandboxStatusResponse, error) {
	return &sandboxapi.SandboxStatusResponse{
		SandboxID: r.SandboxID,
		Pid:       uint32(os.Getpid()),
		State:     "SANDBOX_READY",
		CreatedAt: timestamppb.New(p.created),
	}, nil
}

// PingSandbox answers.
func (p *pod) PingSandbox(context.Context, *sandboxapi.PingRequest) (*sandboxapi.PingResponse, error) {
	return &sandboxapi.PingResponse{}, nil
}

// ShutdownSandbox ends the shim.
func (p *pod) ShutdownSandbox(context.Context, *sandboxapi.ShutdownSandboxRequest) (*sandboxapi.ShutdownSandboxResponse, error) {
	p.stop()
	time.AfterFunc(shutdownAnswer, p.exit)
	return &sandboxapi.ShutdownSandboxResponse{}, nil
}

// SandboxMetrics has nothing to add: the agent reads the pod's cgroup.
func (p *pod) SandboxMetrics(context.Context, *sandboxapi.SandboxMetricsRequest) (*sandboxapi.SandboxMetricsResponse, error) {
	return &sandboxapi.SandboxMetricsResponse{}, nil
}

// UpdateSandbox accepts what it is told: the shim keeps none of it.
func (p *pod) UpdateSandbox(context.Context, *sandboxapi.UpdateSandboxRequest) (*sandboxapi.UpdateSandboxResponse, error) {
	return &sandboxapi.UpdateSandboxResponse{}, nil
}

func (p *pod) active() bool { return p.id.Load() != nil }

func (p *pod) is(id string) bool {
	own := p.id.Load()
	return own != nil && *own == id
}

func (p *pod) stop() { p.once.Do(func() { close(p.stopped) }) }
