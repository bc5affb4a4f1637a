package node

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/stave-run/stave/node/runtime"
)

// double is a runtime in memory, for what real containers do not do on demand: pulls that fail and heal, containers that
// end at a word, sandboxes that cannot be removed.
type double struct {
	mu         sync.Mutex
	exits      chan runtime.Exit
	containers map[string]*runtime.ContainerState
	boxes      map[string]runtime.SandboxState
	images     map[string]bool
	// faults is asked before each call, by its name.
	faults func(call string) error
	calls  map[string]int
	// ending holds up who stops a container, until it is closed; nil: nobody.
	ending chan struct{}
}

func newDouble() *double {
	return &double{exits: make(chan runtime.Exit, 64), containers: map[string]*runtime.ContainerState{}, boxes: map[string]runtime.SandboxState{},
		images: map[string]bool{}, calls: map[string]int{}, faults: func(string) error { return nil }}
}

// open is the same node for every agent.
func (d *double) open() (Runtime, func()) { return d, func() {} }

func (d *double) fail(f func(call string) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
}

func (d *double) count(call string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[call]
}

func (d *double) called(call string) error {
	d.calls[call]++
	return d.faults(call)
}

// end lets the running containers of a pod exit.
func (d *double) end(uid string, code int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.containers {
		if c.PodUID == uid && c.Status == runtime.StatusRunning {
			d.endLocked(c, code)
		}
	}
}

func (d *double) endLocked(c *runtime.ContainerState, code int) {
	c.Status, c.Exit = runtime.StatusExited, &runtime.Exit{ContainerID: c.ID, PodUID: c.PodUID, Name: c.Name, Run: c.Run, Code: code, At: time.Now()}
	d.exits <- *c.Exit
}

func (d *double) Stats(_ context.Context, id string) (runtime.Stats, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.containers[id]; !ok || c.Status != runtime.StatusRunning {
		return runtime.Stats{}, errors.New("not running")
	}
	return runtime.Stats{At: time.Now(), CPU: time.Second, Memory: 2, WorkingSet: 1}, nil
}

func (d *double) Update(_ context.Context, id string, _ runtime.Resources, labels map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("update"); err != nil {
		return err
	}
	c, ok := d.containers[id]
	if !ok || c.Status != runtime.StatusRunning {
		return errors.New("not running")
	}
	c.Labels = maps.Clone(c.Labels)
	maps.Copy(c.Labels, labels)
	return nil
}

func (d *double) Collect(context.Context, []string) ([]runtime.Image, error) { return nil, nil }
func (d *double) DiskUsage(context.Context, string) (int64, error)           { return 0, nil }

// Strain and Strained: nothing in memory meets a limit.
func (d *double) Strain(string, string, int, int) runtime.Strain { return runtime.Strain{} }
func (d *double) Strained() <-chan string                        { return nil }

func (d *double) Root(context.Context, string) (runtime.Root, error) {
	return runtime.Root{}, errors.New("containers in memory have no files")
}

func (d *double) Adopt(context.Context) error { return nil }

func (d *double) Exits() <-chan runtime.Exit { return d.exits }

func (d *double) Pull(_ context.Context, ref string, _ []runtime.Login, _ func(runtime.PullProgress)) (runtime.Image, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("pull"); err != nil {
		return runtime.Image{}, &runtime.PullError{Ref: ref, Reason: runtime.PullUnreachable, Err: err}
	}
	d.images[ref] = true
	return runtime.Image{Ref: ref, Digest: "sha256:00"}, nil
}

func (d *double) Lookup(_ context.Context, ref string) (runtime.Image, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return runtime.Image{Ref: ref, Digest: "sha256:00"}, d.images[ref], nil
}

func (d *double) MountImage(context.Context, string, string, string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.called("mount")
}

func (d *double) ImageMount(podUID, volume string) string { return "/images/" + podUID + "/" + volume }

func (d *double) Import(context.Context, io.Reader) ([]runtime.Image, error) {
	return nil, errors.New("not here")
}

func (d *double) EnsureSandbox(ctx context.Context, s runtime.SandboxSpec) (runtime.Sandbox, error) {
	box, err := d.box(s)
	if err == nil && s.Beside != nil {
		err = s.Beside(ctx, box)
	}
	return box, err
}

func (d *double) box(s runtime.SandboxSpec) (runtime.Sandbox, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("sandbox"); err != nil {
		return runtime.Sandbox{}, err
	}
	_, ok := d.boxes[s.UID]
	d.boxes[s.UID] = runtime.SandboxState{Sandbox: runtime.Sandbox{UID: s.UID}, Namespace: s.Namespace, Name: s.Name, Ready: true}
	return runtime.Sandbox{UID: s.UID, Created: !ok}, nil
}

func (d *double) RemoveSandbox(_ context.Context, uid string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("remove"); err != nil {
		return err
	}
	delete(d.boxes, uid)
	for id, c := range d.containers {
		if c.PodUID == uid {
			delete(d.containers, id)
		}
	}
	return nil
}

func (d *double) ListSandboxes(context.Context) ([]runtime.SandboxState, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []runtime.SandboxState
	for _, b := range d.boxes {
		out = append(out, b)
	}
	return out, nil
}

func (d *double) Create(_ context.Context, c runtime.ContainerSpec) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("create"); err != nil {
		return "", &runtime.CreateError{Name: c.Name, Reason: runtime.CreateFailed, Err: err}
	}
	id := runtime.ContainerID(c.PodUID, c.Name, c.Run)
	if d.containers[id] == nil {
		d.containers[id] = &runtime.ContainerState{ID: id, PodUID: c.PodUID, Namespace: c.Namespace, Pod: c.Pod, Name: c.Name, Run: c.Run,
			Labels: c.Labels, Status: runtime.StatusCreated}
	}
	return id, nil
}

func (d *double) Start(_ context.Context, id string) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("start"); err != nil {
		return 0, &runtime.StartError{Message: err.Error(), Err: err}
	}
	c := d.containers[id]
	c.Status, c.StartedAt = runtime.StatusRunning, time.Now()
	return 1, nil
}

func (d *double) Stop(_ context.Context, id string, _ time.Duration, _ syscall.Signal) error {
	if d.ending != nil {
		<-d.ending
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.called("stop"); err != nil {
		return err
	}
	if c := d.containers[id]; c != nil && c.Status == runtime.StatusRunning {
		d.endLocked(c, 143)
	}
	return nil
}

func (d *double) Remove(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.containers, id)
	return nil
}

func (d *double) List(context.Context) ([]runtime.ContainerState, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []runtime.ContainerState
	for _, c := range d.containers {
		out = append(out, *c)
	}
	return out, nil
}

func (d *double) Exec(context.Context, string, runtime.ExecSpec, runtime.Streams) (int, error) {
	return 0, errors.New("not here")
}

func (d *double) Attach(context.Context, string, runtime.Streams) error {
	return errors.New("not here")
}

func (d *double) Dial(context.Context, string, uint16) (net.Conn, error) {
	return nil, errors.New("not here")
}
