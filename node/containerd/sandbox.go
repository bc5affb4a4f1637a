package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/node/runtime"
)

// shmSize is the bound of a pod's /dev/shm, in bytes: Kubernetes' and Docker's.
const shmSize = 64 << 20

// EnsureSandbox makes what of the pod's sandbox is not there: namespaces, shared memory, the shim.
func (r *Runtime) EnsureSandbox(ctx context.Context, s runtime.SandboxSpec) (runtime.Sandbox, error) {
	defer r.pods.lock(s.UID)()
	ctx = r.in(ctx)
	made, err := r.pin(s)
	if err != nil {
		return runtime.Sandbox{}, fmt.Errorf("make sandbox of pod %s/%s: %w", s.Namespace, s.Name, err)
	}
	box := r.sandbox(s.UID)
	box.Created = made
	defer r.making(s)()
	var shim, beside error
	var both sync.WaitGroup
	both.Go(func() { shim = r.ensureShim(ctx, s) })
	if s.Beside != nil {
		beside = s.Beside(ctx, box)
	}
	both.Wait()
	if shim != nil {
		shim = fmt.Errorf("make sandbox of pod %s/%s: %w", s.Namespace, s.Name, shim)
	}
	if err := errors.Join(beside, shim); err != nil {
		return runtime.Sandbox{}, err
	}
	return box, nil
}

// sandbox describes the sandbox of a pod by what is on disk.
func (r *Runtime) sandbox(uid string) runtime.Sandbox {
	box := runtime.Sandbox{UID: uid, CgroupParent: r.podGroup(uid)}
	if net := r.namespacePath(uid, "net"); pinned(net) {
		box.NetNSPath = net
	}
	return box
}

func (r *Runtime) namespacePath(uid, kind string) string { return filepath.Join(r.podDir(uid), kind) }
func (r *Runtime) shmPath(uid string) string             { return filepath.Join(r.podDir(uid), "shm") }

// pin makes the pod's namespaces and its shared memory unless they are there, and says whether it did.
func (r *Runtime) pin(s runtime.SandboxSpec) (bool, error) {
	var kinds []string
	if !s.HostNetwork {
		kinds = append(kinds, "net", "uts")
	}
	if !s.HostIPC {
		kinds = append(kinds, "ipc")
	}
	missing := false
	for _, k := range kinds {
		missing = missing || !pinned(r.namespacePath(s.UID, k))
	}
	if _, lives := r.pausePID(s.UID); s.SharePID && !lives {
		missing = true
	}
	if missing {
		if err := r.endPause(s.UID); err != nil {
			return false, err
		}
		// All or nothing: half of a pod's namespaces would be of another age than the rest.
		unpinAll(r.podDir(s.UID))
		if err := pinNamespaces(r.podDir(s.UID), kinds, s.Hostname); err != nil {
			return false, err
		}
		if s.SharePID {
			if err := r.startPause(s.UID); err != nil {
				return false, err
			}
		}
	}
	return missing, r.mountShm(s)
}

// mountShm gives the pod one /dev/shm for all its containers, as they share one IPC namespace.
func (r *Runtime) mountShm(s runtime.SandboxSpec) error {
	dir := r.shmPath(s.UID)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return fmt.Errorf("make pod directory: %w", err)
	}
	if s.HostIPC || isTmpfs(dir) {
		return nil
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("shm", dir, "tmpfs", flags, fmt.Sprintf("mode=1777,size=%d", shmSize)); err != nil {
		return fmt.Errorf("mount shared memory: %w", err)
	}
	return nil
}

// endTries bounds the wait for a shim to end, in units of removePause.
const endTries = 200

// shimPatience is how long a new shim waits until containerd has cleaned up after one that was killed.
const shimPatience = 20 * time.Second

// ensureShim starts the pod's shim unless it answers.
func (r *Runtime) ensureShim(ctx context.Context, s runtime.SandboxSpec) error {
	found, err := r.client.LoadSandbox(ctx, s.UID)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("find shim: %w", err)
	}
	if err == nil {
		if r.shimReady(ctx, s.UID) {
			return nil
		}
		if err := r.dropShim(ctx, found); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, shimPatience)
	defer cancel()
	for {
		err := r.startShim(ctx, s)
		if !errdefs.IsAlreadyExists(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(askPause):
		}
	}
}

// startShim starts a shim and keeps its record; a failure leaves none, or it would be taken for one that was killed.
func (r *Runtime) startShim(ctx context.Context, s runtime.SandboxSpec) error {
	box, err := r.client.NewSandbox(ctx, s.UID,
		client.WithSandboxRuntime(r.shim, r.runc()),
		client.WithSandboxSpec(&oci.Spec{}),
		client.WithSandboxLabels(r.sandboxLabels(s)))
	if err == nil {
		err = box.Start(ctx)
	}
	if err == nil {
		return nil
	}
	if serr := r.client.SandboxStore().Delete(context.WithoutCancel(ctx), s.UID); serr != nil && !errdefs.IsNotFound(serr) {
		r.log.Warn("drop sandbox record", "pod", s.UID, "error", serr)
	}
	if !errdefs.IsAlreadyExists(err) {
		// One that hangs would be found by the next start, and be taken for started.
		err = errors.Join(err, r.killShims(func(id string) bool { return id == s.UID }))
	}
	return fmt.Errorf("start shim: %w", err)
}

// shimReady says whether the pod's shim answers.
func (r *Runtime) shimReady(ctx context.Context, uid string) bool {
	_, ok := r.shimPID(ctx, uid)
	return ok
}

// shimPID asks the shim itself: containerd answers for one that is gone too, without a state.
func (r *Runtime) shimPID(ctx context.Context, uid string) (int, bool) {
	status, err := r.sandboxes().Status(ctx, uid, false)
	return int(status.Pid), err == nil && status.State == "SANDBOX_READY"
}

// sandboxes is containerd's controller of shims that serve the sandbox API.
func (r *Runtime) sandboxes() sandbox.Controller { return r.client.SandboxController("shim") }

// dropShim ends a shim, if it lives, and forgets it.
func (r *Runtime) dropShim(ctx context.Context, box client.Sandbox) error {
	pid, lives := r.shimPID(ctx, box.ID())
	if err := box.Stop(ctx); err != nil && !errdefs.IsNotFound(err) {
		r.log.Debug("stop sandbox", "pod", box.ID(), "error", err)
	}
	err := box.Shutdown(ctx)
	if err == nil || errdefs.IsNotFound(err) {
		if lives {
			awaitEnd(pid)
		}
		return nil
	}
	// A shim that was killed cannot be told to end; what is left of it is the record.
	if r.shimReady(ctx, box.ID()) {
		return fmt.Errorf("end shim: %w", err)
	}
	if err := r.client.SandboxStore().Delete(ctx, box.ID()); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("forget shim: %w", err)
	}
	return nil
}

// awaitEnd waits until a process that was told to end has, so that nothing runs when its pod is said to be removed. A
// process that ended and was not reaped has no command line.
func awaitEnd(pid int) {
	for range endTries {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || len(raw) == 0 {
			return
		}
		time.Sleep(removePause)
	}
}

// RemoveSandbox removes a pod's containers, running or not, and everything they shared. What is gone already is fine.
func (r *Runtime) RemoveSandbox(ctx context.Context, podUID string) error {
	// Not by List, which asks the shims of all pods: a node that is taken down has hundreds.
	containers, err := r.client.ContainerService().List(r.in(ctx), fmt.Sprintf("labels.%q==%q", labelPodUID, podUID))
	if err != nil {
		return fmt.Errorf("remove sandbox %s: list containers: %w", podUID, err)
	}
	for _, c := range containers {
		if err := r.Remove(ctx, c.ID); err != nil {
			return err
		}
	}
	defer r.pods.lock(podUID)()
	ctx = r.in(ctx)
	box, err := r.client.LoadSandbox(ctx, podUID)
	if err == nil {
		err = r.dropShim(ctx, box)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove sandbox %s: %w", podUID, err)
	}
	if err := r.endPause(podUID); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", podUID, err)
	}
	unpinAll(r.podDir(podUID))
	if err := r.unmountImages(ctx, podUID); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", podUID, err)
	}
	if err := os.RemoveAll(r.podDir(podUID)); err != nil {
		return fmt.Errorf("remove sandbox %s: %w", podUID, err)
	}
	return r.cgroups.remove(r.podGroup(podUID))
}

// ListSandboxes gives this cluster's sandboxes. One without a name is the remains of a pod that a crash left half made or
// half removed: only RemoveSandbox is of use to it.
func (r *Runtime) ListSandboxes(ctx context.Context) ([]runtime.SandboxState, error) {
	ctx = r.in(ctx)
	found, err := r.client.SandboxStore().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	var out []runtime.SandboxState
	known := map[string]bool{}
	for _, s := range found {
		known[s.ID] = true
		out = append(out, runtime.SandboxState{
			Sandbox:   r.sandbox(s.ID),
			Namespace: s.Labels[labelNamespace],
			Name:      s.Labels[labelPod],
			Labels:    userLabels(s.Labels),
			Ready:     r.shimReady(ctx, s.ID),
			CreatedAt: s.CreatedAt,
		})
	}
	dirs, err := os.ReadDir(r.podDir(""))
	if err != nil {
		return nil, fmt.Errorf("list sandboxes: %w", err)
	}
	for _, d := range dirs {
		if !known[d.Name()] {
			out = append(out, runtime.SandboxState{Sandbox: r.sandbox(d.Name())})
		}
	}
	return out, nil
}

// Labels by which containers and sandboxes are found again. The first four are those of Kubernetes' runtimes, which log
// collectors and monitors look for; a user's own get a prefix so that they cannot be taken for ours.
const (
	labelPodUID    = "io.kubernetes.pod.uid"
	labelNamespace = "io.kubernetes.pod.namespace"
	labelPod       = "io.kubernetes.pod.name"
	labelContainer = "io.kubernetes.container.name"
	labelRun       = "run.stave/run"
	labelPosition  = "run.stave/position"
	labelLogPath   = "run.stave/log"
	labelTTY       = "run.stave/tty"
	labelStdin     = "run.stave/stdin"
	labelHostIPC   = "run.stave/host-ipc"
	labelHostPID   = "run.stave/host-pid"
	labelSharePID  = "run.stave/share-pid"
	labelUser      = "run.stave/label."
)

func (r *Runtime) sandboxLabels(s runtime.SandboxSpec) map[string]string {
	labels := map[string]string{
		labelPodUID:    s.UID,
		labelNamespace: s.Namespace,
		labelPod:       s.Name,
		labelHostIPC:   fmt.Sprint(s.HostIPC),
		labelHostPID:   fmt.Sprint(s.HostPID),
		labelSharePID:  fmt.Sprint(s.SharePID),
	}
	for k, v := range s.Labels {
		labels[labelUser+k] = v
	}
	return labels
}

func userLabels(all map[string]string) map[string]string {
	labels := map[string]string{}
	for k, v := range all {
		if own, ok := strings.CutPrefix(k, labelUser); ok {
			labels[own] = v
		}
	}
	return labels
}
