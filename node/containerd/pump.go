package containerd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/node/logfile"
	"github.com/stave-run/stave/node/runtime"
)

// Bounds of a pump.
const (
	// pumpBuffer is how much is read at once.
	pumpBuffer = 32 << 10
	// pipeSize is how much output waits in a FIFO while no agent reads it.
	pipeSize = 1 << 20
	// replayLimit is how much of the beginning is kept for the first client that attaches.
	replayLimit = 64 << 10
	// idleFirst and idleMost bound the pause after which an empty FIFO without a writer is read again.
	idleFirst = 2 * time.Millisecond
	idleMost  = 500 * time.Millisecond
)

// fifoPaths are the names below a container's directory.
func fifoPaths(dir string) (stdin, stdout, stderr string) {
	return filepath.Join(dir, "stdin"), filepath.Join(dir, "stdout"), filepath.Join(dir, "stderr")
}

// makeFIFOs makes the FIFOs a container's shim will open; those it does not need are not made.
func makeFIFOs(dir string, c runtime.ContainerSpec) error {
	stdin, stdout, stderr := fifoPaths(dir)
	paths := []string{stdout}
	if !c.TTY {
		paths = append(paths, stderr)
	}
	if c.Stdin {
		paths = append(paths, stdin)
	}
	for _, p := range paths {
		if err := unix.Mkfifo(p, 0o600); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("make fifo: %w", err)
		}
	}
	return nil
}

// taskIO tells containerd the FIFOs' names. The pump reads them, so there is nothing for containerd's client to do.
type taskIO struct{ config cio.Config }

func newTaskIO(dir string, tty, input bool) taskIO {
	stdin, stdout, stderr := fifoPaths(dir)
	config := cio.Config{Terminal: tty, Stdout: stdout, Stderr: stderr}
	if tty {
		config.Stderr = ""
	}
	if input {
		config.Stdin = stdin
	}
	return taskIO{config}
}

func (t taskIO) Config() cio.Config { return t.config }
func (taskIO) Cancel()              {}
func (taskIO) Wait()                {}
func (taskIO) Close() error         { return nil }

// pump carries a container's output into its log and to attached clients.
type pump struct {
	log   *slog.Logger
	files []*os.File
	// ended is closed when the container is known to have ended: an empty FIFO is final from then on.
	ended   chan struct{}
	endOnce sync.Once
	// done is closed when all output has been read, or the pump was stopped.
	done chan struct{}

	mu   sync.Mutex
	taps map[*tap]struct{}
	// replay is the beginning of the output until the first client takes it; nil after that, or where none is wanted.
	replay []chunk
	kept   int
}

// chunk is a piece of output.
type chunk struct {
	stderr bool
	data   []byte
}

// startPump begins to read the FIFOs below dir. With replay the beginning is kept for the first client to attach.
func startPump(dir, logPath string, replay bool, log *slog.Logger) (*pump, error) {
	p := &pump{log: log, ended: make(chan struct{}), done: make(chan struct{}), taps: map[*tap]struct{}{}}
	if replay {
		p.replay = []chunk{}
	}
	var w *logfile.Writer
	if logPath != "" {
		var err error
		if w, err = logfile.Open(logPath); err != nil {
			return nil, err
		}
	}
	var reading sync.WaitGroup
	_, stdout, stderr := fifoPaths(dir)
	for name, path := range map[string]string{logfile.Stdout: stdout, logfile.Stderr: stderr} {
		// Not blocking, because there may be no writer any more, or not yet.
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			p.stop()
			return nil, fmt.Errorf("open output: %w", err)
		}
		widen(f)
		p.files = append(p.files, f)
		reading.Go(func() { p.carry(f, name, w) })
	}
	go func() {
		reading.Wait()
		if w != nil {
			if err := w.Close(); err != nil {
				log.Warn("close log", "path", logPath, "error", err)
			}
		}
		close(p.done)
	}()
	return p, nil
}

// widen lets a pipe hold more than its 64 KiB: a container waits when nobody reads, and shall not when its agent is killed
// and comes back, or is replaced. It takes memory only while it is full. A kernel that refuses leaves a pipe that works.
func widen(f *os.File) {
	if c, err := f.SyscallConn(); err == nil {
		_ = c.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
	}
}

// stop ends reading at once; what is in the FIFOs stays there for the next agent.
func (p *pump) stop() {
	for _, f := range p.files {
		f.Close()
	}
}

// end says that the container has ended and waits, within bounds, until its last output was read.
func (p *pump) end(patience time.Duration) {
	p.endOnce.Do(func() { close(p.ended) })
	select {
	case <-p.done:
	case <-time.After(patience):
	}
}

// carry reads one FIFO to its end.
func (p *pump) carry(f *os.File, name string, w *logfile.Writer) {
	defer f.Close()
	var to io.WriteCloser = nowhere{}
	if w != nil {
		to = w.Stream(name)
	}
	defer to.Close()
	buf := make([]byte, pumpBuffer)
	idle, complained := idleFirst, false
	for {
		// Asked before reading: what came before the end is read.
		over := p.isOver()
		n, err := f.Read(buf)
		if n > 0 {
			idle = idleFirst
			// A full disk must not stop the container: its output is lost, and that is said once.
			if _, err := to.Write(buf[:n]); err != nil && !complained {
				complained = true
				p.log.Error("write log", "fifo", f.Name(), "error", err)
			}
			p.spread(chunk{stderr: name == logfile.Stderr, data: buf[:n]})
			continue
		}
		if err == nil {
			continue
		}
		if over || !errors.Is(err, io.EOF) {
			return
		}
		// No writer: the shim has not opened its end yet, or the container closed its output and lives on.
		select {
		case <-p.ended:
		case <-time.After(idle):
			idle = min(2*idle, idleMost)
		}
	}
}

func (p *pump) isOver() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// nowhere drops output that nobody keeps.
type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Close() error                { return nil }

// spread gives a chunk to the attached clients. It waits for slow ones, as a terminal makes its program wait, until they
// leave.
func (p *pump) spread(c chunk) {
	p.mu.Lock()
	if p.replay != nil && p.kept < replayLimit {
		p.kept += len(c.data)
		p.replay = append(p.replay, chunk{c.stderr, append([]byte{}, c.data...)})
	}
	taps := make([]*tap, 0, len(p.taps))
	for t := range p.taps {
		taps = append(taps, t)
	}
	p.mu.Unlock()
	for _, t := range taps {
		t.give(c)
	}
}

// tap is one attached client.
type tap struct {
	chunks chan chunk
	gone   chan struct{}
}

func (t *tap) give(c chunk) {
	select {
	case t.chunks <- chunk{c.stderr, append([]byte{}, c.data...)}:
	case <-t.gone:
	}
}

// attach adds a client, which gets first what was kept for it; detach must be called.
func (p *pump) attach() (t *tap, kept []chunk, detach func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t = &tap{chunks: make(chan chunk, 16), gone: make(chan struct{})}
	kept, p.replay = p.replay, nil
	p.taps[t] = struct{}{}
	return t, kept, func() {
		close(t.gone)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.taps, t)
	}
}
