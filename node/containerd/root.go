package containerd

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/node/runtime"
)

// Root opens the root directory of a running container as its first process sees it, volumes and all.
func (r *Runtime) Root(ctx context.Context, id string) (runtime.Root, error) {
	ctx = r.in(ctx)
	root, err := r.openRoot(ctx, id)
	if err != nil {
		return runtime.Root{}, fmt.Errorf("open root of container %s: %w", id, err)
	}
	return root, nil
}

func (r *Runtime) openRoot(ctx context.Context, id string) (root runtime.Root, err error) {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return root, err
	}
	spec, err := c.Spec(ctx)
	if err != nil {
		return root, err
	}
	task, err := c.Task(ctx, nil)
	if err != nil {
		return root, err
	}
	pidfd, err := unix.PidfdOpen(int(task.Pid()), 0)
	if err != nil {
		return root, err
	}
	defer unix.Close(pidfd)
	// It runs: so the descriptor above is of its process. That one is still there below: so the directory is its root, and
	// not that of a process that got the number afterwards, which could be the host's.
	if st, err := task.Status(ctx); err != nil || st.Status != client.Running {
		return root, fmt.Errorf("it does not run (%s): %w", st.Status, err)
	}
	dir, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", task.Pid()), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return root, err
	}
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil {
		dir.Close()
		return root, fmt.Errorf("it has ended: %w", err)
	}
	root = runtime.Root{Dir: dir}
	if p := spec.Process; p != nil {
		root.UID, root.GID = int(p.User.UID), int(p.User.GID)
		for _, g := range p.User.AdditionalGids {
			root.Groups = append(root.Groups, int(g))
		}
	}
	return root, nil
}
