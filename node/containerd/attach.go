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
// output was given, when ctx is done, or when the client takes no more.
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
	if task, err := c.Task(ctx, nil); err == nil {
		defer follow(ctx, task, s.Resize)()
		if mode := info.Labels[labelStdin]; s.Stdin != nil && mode != stdinNone {
			closeInput, err := r.feed(ctx, id, s.Stdin, task, mode == stdinOnce && info.Labels[labelTTY] != "true")
			if err != nil {
				return fmt.Errorf("attach to container %s: %w", id, err)
			}
			defer closeInput()
		}
	}
	return w.pump.give(ctx, s)
}

// give writes output to a client until there is no more.
func (p *pump) give(ctx context.Context, s runtime.Streams) error {
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
// or of this client, is the end of the container's.
func (r *Runtime) feed(ctx context.Context, id string, from io.Reader, p client.Process, once bool) (stop func(), err error) {
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
		_, _ = io.Copy(f, from)
		stop()
	}()
	return stop, nil
}
