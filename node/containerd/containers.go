package containerd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"

	"github.com/stave-run/stave/node/runtime"
)

// Create makes a container with its root filesystem, ready to Start, and returns its id. A container that is there
// already, from a call before a crash, is left as it is. The error is a *CreateError.
func (r *Runtime) Create(ctx context.Context, c runtime.ContainerSpec) (string, error) {
	id := runtime.ContainerID(c.PodUID, c.Name, c.Run)
	ctx = r.in(ctx)
	if _, err := r.client.LoadContainer(ctx, id); err == nil {
		return id, nil
	}
	img, err := r.image(ctx, c.Image)
	if errdefs.IsNotFound(err) {
		return "", &runtime.CreateError{Name: c.Name, Reason: runtime.CreateImageMissing, Err: fmt.Errorf("image %q is not on this node", c.Image)}
	}
	if err != nil {
		return "", &runtime.CreateError{Name: c.Name, Reason: runtime.CreateConfig, Err: err}
	}
	pod, err := r.sharedBy(ctx, c.PodUID)
	if err != nil {
		return "", &runtime.CreateError{Name: c.Name, Reason: runtime.CreateFailed, Err: err}
	}
	if c.ProcessesOf != "" {
		if pod.pid, err = r.processIDs(ctx, c.ProcessesOf); err != nil {
			return "", &runtime.CreateError{Name: c.Name, Reason: runtime.CreateConfig, Err: err}
		}
	}
	if err := r.makeRunDir(id, c); err != nil {
		return "", &runtime.CreateError{Name: c.Name, Reason: runtime.CreateFailed, Err: err}
	}
	if err := r.create(ctx, id, c, img, pod); err != nil {
		// The snapshot of a container that was not made is garbage to containerd, the directory is ours to remove.
		return "", errors.Join(err, os.RemoveAll(r.runDir(id)))
	}
	return id, nil
}

// create writes the container's record; snapshot and record are made under one lease, or the snapshot could be collected
// in between.
func (r *Runtime) create(ctx context.Context, id string, c runtime.ContainerSpec, img client.Image, pod shared) error {
	var specErr error
	_, err := r.client.NewContainer(ctx, id,
		client.WithImage(img),
		client.WithSnapshotter(snapshotter),
		client.WithNewSnapshot(id, img),
		client.WithImageStopSignal(img, "SIGTERM"),
		client.WithAdditionalContainerLabels(containerLabels(c)),
		client.WithRuntime(r.shim, r.runc()),
		client.WithSandbox(c.PodUID),
		func(ctx context.Context, cl *client.Client, ctr *containers.Container) error {
			specErr = client.WithSpec(&oci.Spec{}, r.specOptions(c, img, pod)...)(ctx, cl, ctr)
			return specErr
		})
	if err == nil {
		return nil
	}
	if serr := r.client.SnapshotService(snapshotter).Remove(ctx, id); serr != nil && !errdefs.IsNotFound(serr) {
		r.log.Warn("remove snapshot", "container", id, "error", serr)
	}
	reason := runtime.CreateFailed
	if specErr != nil {
		reason = runtime.CreateConfig
	}
	return &runtime.CreateError{Name: c.Name, Reason: reason, Err: err}
}

// making lets containers be made for a sandbox whose namespaces are there and whose shim is being started, until made.
func (r *Runtime) making(s runtime.SandboxSpec) (made func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unmade[s.UID] = r.sandboxLabels(s)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.unmade, s.UID)
	}
}

// beingMade are the labels of a sandbox that may have no record yet.
func (r *Runtime) beingMade(uid string) (labels map[string]string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	labels, ok = r.unmade[uid]
	return labels, ok
}

// sharedBy reads which namespaces the pod's containers join.
func (r *Runtime) sharedBy(ctx context.Context, uid string) (shared, error) {
	labels, made := r.beingMade(uid)
	if !made {
		box, err := r.client.SandboxStore().Get(ctx, uid)
		if err != nil {
			return shared{}, fmt.Errorf("find sandbox %s: %w", uid, err)
		}
		labels = box.Labels
	}
	pod := shared{hostPID: labels[labelHostPID] == "true"}
	if _, lives := r.pausePID(uid); labels[labelSharePID] == "true" && !lives {
		return shared{}, fmt.Errorf("the process that holds the process ids of pod %s has ended", uid)
	}
	for kind, path := range map[string]*string{"pid": &pod.pid, "net": &pod.net, "ipc": &pod.ipc, "uts": &pod.uts} {
		if p := r.namespacePath(uid, kind); pinned(p) {
			*path = p
		}
	}
	if labels[labelHostIPC] != "true" {
		pod.shm = r.shmPath(uid)
	}
	return pod, nil
}

// processIDs is the namespace of a running container's process ids.
func (r *Runtime) processIDs(ctx context.Context, id string) (string, error) {
	task, err := r.task(ctx, id)
	if err != nil {
		return "", fmt.Errorf("find the processes of container %s: %w", id, err)
	}
	return fmt.Sprintf("/proc/%d/ns/pid", task.Pid()), nil
}

func containerLabels(c runtime.ContainerSpec) map[string]string {
	labels := map[string]string{
		labelPodUID:    c.PodUID,
		labelNamespace: c.Namespace,
		labelPod:       c.Pod,
		labelContainer: c.Name,
		labelRun:       strconv.Itoa(c.Run),
		labelPosition:  strconv.FormatUint(c.Position, 10),
		labelLogPath:   c.LogPath,
		labelTTY:       strconv.FormatBool(c.TTY),
		labelStdin:     stdinMode(c),
	}
	maps.Copy(labels, ownLabels(c.Labels))
	return labels
}

// The values of labelStdin.
const (
	stdinNone = "none"
	stdinOnce = "once"
	stdinOpen = "open"
)

func stdinMode(c runtime.ContainerSpec) string {
	switch {
	case !c.Stdin:
		return stdinNone
	case c.StdinOnce:
		return stdinOnce
	}
	return stdinOpen
}

// stateOf reads what the labels say; the stage is added by who knows the task.
func stateOf(c containers.Container) runtime.ContainerState {
	run, _ := strconv.Atoi(c.Labels[labelRun])
	position, _ := strconv.ParseUint(c.Labels[labelPosition], 10, 64)
	return runtime.ContainerState{
		ID:        c.ID,
		PodUID:    c.Labels[labelPodUID],
		Namespace: c.Labels[labelNamespace],
		Pod:       c.Labels[labelPod],
		Name:      c.Labels[labelContainer],
		Run:       run,
		Position:  position,
		Image:     c.Image,
		LogPath:   c.Labels[labelLogPath],
		TTY:       c.Labels[labelTTY] == "true",
		Labels:    userLabels(c.Labels),
		Status:    runtime.StatusCreated,
		CreatedAt: c.CreatedAt,
	}
}

// List gives this cluster's containers. It asks every shim of the node.
func (r *Runtime) List(ctx context.Context) ([]runtime.ContainerState, error) {
	ctx = r.in(ctx)
	found, err := r.client.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	tasks, err := r.tasks(ctx)
	if err != nil {
		return nil, err
	}
	var out []runtime.ContainerState
	for _, c := range found {
		state := stateOf(c)
		r.addStage(&state, tasks[c.ID])
		out = append(out, state)
	}
	return out, nil
}

// tasks asks for all processes at once.
func (r *Runtime) tasks(ctx context.Context) (map[string]*tasktypes.Process, error) {
	resp, err := r.client.TaskService().List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	byID := map[string]*tasktypes.Process{}
	for _, t := range resp.Tasks {
		byID[t.ID] = t
	}
	return byID, nil
}

// addStage says how far a container is: by its recorded exit, else by its task, else by the marks in its directory.
func (r *Runtime) addStage(s *runtime.ContainerState, task *tasktypes.Process) {
	s.StartedAt = r.startedAt(s.ID)
	if exit, ok := r.recordedExit(*s); ok {
		s.Status, s.Exit = runtime.StatusExited, &exit
		return
	}
	switch {
	case task == nil && !r.neverStarted(s.ID):
		exit := r.lostExit(*s)
		s.Status, s.Exit = runtime.StatusExited, &exit
	case task == nil || task.Status == tasktypes.Status_CREATED:
	case task.Status == tasktypes.Status_STOPPED:
		exit := r.exitOf(*s, int(task.ExitStatus), task.ExitedAt.AsTime())
		s.Status, s.Exit = runtime.StatusExited, &exit
	default:
		s.Status, s.Pid = runtime.StatusRunning, int(task.Pid)
	}
}

// Update changes the bounds of a running container in place, and then the labels given of those that come back in
// ContainerState: who finds the old ones asks again, which does no harm.
func (r *Runtime) Update(ctx context.Context, id string, res runtime.Resources, labels map[string]string) error {
	ctx = r.in(ctx)
	c, err := r.client.LoadContainer(ctx, id)
	var task client.Task
	if err == nil {
		task, err = c.Task(ctx, nil)
	}
	if err == nil {
		err = task.Update(ctx, client.WithResources(r.linuxResources(res)))
	}
	if err == nil && len(labels) > 0 {
		_, err = c.SetLabels(ctx, ownLabels(labels))
	}
	if err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	return nil
}

// ownLabels are the labels of the agent as they are on a container.
func ownLabels(labels map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range labels {
		out[labelUser+k] = v
	}
	return out
}

// Stats reads a container's figures.
func (r *Runtime) Stats(ctx context.Context, id string) (runtime.Stats, error) {
	c, err := r.client.ContainerService().Get(r.in(ctx), id)
	if err != nil {
		return runtime.Stats{}, fmt.Errorf("find container %s: %w", id, err)
	}
	s := stateOf(c)
	return r.cgroups.stats(r.containerGroup(s.PodUID, s.Name, s.Run))
}

func (r *Runtime) task(ctx context.Context, id string) (client.Task, error) {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return nil, err
	}
	return c.Task(ctx, nil)
}
