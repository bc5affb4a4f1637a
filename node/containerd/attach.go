package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/node/runtime"
)

// Attach connects a client to a container's own process: output from now on (from the beginning, as far as it was kept,
// for the first client of a container with Stdin), input if it has one. It returns when the container has ended and its
// output was given, when ctx is done, when the client takes no more, or when its input ends and the container's does not:
// who has no more to say to one that others may speak to leaves.
func (r *Runtime) Attach(ctx context.Context, id string, s runtime.Streams) error {
	ctx, cancel := context.WithCancel(r.in(ctx))
	defer cancel()
	defer context.AfterFunc(r.life, cancel)()
	w, ok := r.watchOf(id)
	if !ok {
		return fmt.Errorf("attach to container %s: it does not run", id)
	}
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return fmt.Errorf("attach to container %s: %w", id, err)
	}
	info, err := c.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil {
		return fmt.Errorf("attach to container %s: %w", id, err)
	}
	left := make(chan struct{})
	if task, err := c.Task(ctx, nil); err == nil {
		defer follow(ctx, task, s.Resize)()
		if mode := info.Labels[labelStdin]; s.Stdin != nil && mode != stdinNone {
			once := mode == stdinOnce && info.Labels[labelTTY] != "true"
			closeInput, err := r.feed(ctx, id, s.Stdin, task, once, left)
			if err != nil {
				return fmt.Errorf("attach to container %s: %w", id, err)
			}
			defer closeInput()
		}
	}
	return w.pump.give(ctx, s, left)
}

// give writes output to a client until there is no more, or the client has left.
func (p *pump) give(ctx context.Context, s runtime.Streams, left <-chan struct{}) error {
	t, kept, detach := p.attach()
	defer detach()
	write := func(c chunk) error {
		to := orDiscard(s.Stdout)
		if c.stderr {
			to = orDiscard(s.Stderr)
		}
		_, err := to.Write(c.data)
		return err
	}
	for _, c := range kept {
		if err := write(c); err != nil {
			return err
		}
	}
	for {
		select {
		case c := <-t.chunks:
			if err := write(c); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-left:
			return drainTap(t, write)
		case <-p.done:
			return drainTap(t, write)
		}
	}
}

// drainTap writes what was given before the end.
func drainTap(t *tap, write func(chunk) error) error {
	for {
		select {
		case c := <-t.chunks:
			if err := write(c); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// feed copies a client's input to the container until the returned function is called. With once, the end of this input,
// or of this client, is the end of the container's; without, left is closed when this input ends.
func (r *Runtime) feed(ctx context.Context, id string, from io.Reader, p client.Process, once bool, left chan<- struct{}) (stop func(), err error) {
	path, _, _ := fifoPaths(r.runDir(id))
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) {
		// Nobody reads: the container closed its input or has ended.
		return func() {}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open input: %w", err)
	}
	var closing sync.Once
	stop = func() {
		closing.Do(func() {
			f.Close()
			if once {
				// The shim holds the FIFO open too. A container that has ended has nothing to close.
				_ = p.CloseIO(context.WithoutCancel(ctx), client.WithStdinCloser)
			}
		})
	}
	go func() {
		_, err := io.Copy(f, from)
		stop()
		if err == nil && !once { // not when it is the container that takes no more
			close(left)
		}
	}()
	return stop, nil
}
