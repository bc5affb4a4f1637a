package memory

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/stave-run/stave/bus"
)

// pipe is a stream seen from outside: two directions and one fate.
type pipe struct {
	mu          sync.Mutex
	changed     chan struct{} // closed and replaced at every change
	forth, back direction
	lost        bool
	left        bool // the acceptor's function has returned: nobody reads forth any more
	losing      func()
}

type direction struct {
	frames []bus.Frame
	bytes  int // sent and not yet taken out
	closed bool
}

func newPipe() *pipe { return &pipe{changed: make(chan struct{}), losing: func() {}} }

// tell wakes whoever waits; the caller holds the lock.
func (p *pipe) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pipe) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = true
	p.losing()
	p.tell()
}

func (p *pipe) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left = true
	p.tell()
}

func (p *pipe) onLoss(f func()) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.losing = f
	if p.lost {
		f()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.losing = func() {}
	}
}

// end is one side of a pipe.
type end struct {
	*pipe
	in, out *direction
}

// wait runs try under the lock until it says that it is done.
func (e *end) wait(ctx context.Context, try func() (done bool, err error)) error {
	for {
		e.mu.Lock()
		done, err := try()
		changed := e.changed
		e.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Send implements bus.Stream.
func (e *end) Send(ctx context.Context, f bus.Frame) error {
	if len(f.Data) > bus.MaxBody {
		return fmt.Errorf("send frame of %d bytes, at most %d: %w", len(f.Data), bus.MaxBody, bus.ErrTooLarge)
	}
	f.Data = slices.Clone(f.Data)
	return e.wait(ctx, func() (bool, error) {
		switch {
		case e.lost, e.left:
			return false, bus.ErrStreamLost
		case e.out.closed:
			return false, io.ErrClosedPipe
		case e.out.bytes > 0 && e.out.bytes+len(f.Data) > bus.MaxWindow:
			return false, nil
		}
		e.out.frames = append(e.out.frames, f)
		e.out.bytes += len(f.Data)
		e.tell()
		return true, nil
	})
}

// Recv implements bus.Stream.
func (e *end) Recv(ctx context.Context) (f bus.Frame, err error) {
	err = e.wait(ctx, func() (bool, error) {
		if len(e.in.frames) > 0 {
			f = e.in.frames[0]
			e.in.frames = e.in.frames[1:]
			e.in.bytes -= len(f.Data)
			e.tell()
			return true, nil
		}
		switch {
		case e.in.closed:
			return false, io.EOF // what ended in order stays so
		case e.lost:
			return false, bus.ErrStreamLost
		}
		return false, nil
	})
	return f, err
}

// Close implements bus.Stream.
func (e *end) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out.closed = true
	e.tell()
	return nil
}
