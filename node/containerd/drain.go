package containerd

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/stave-run/stave/node/runtime"
)

// drain waits for the rest of an ended process's output. It gives up when the process has left another one in the
// background that holds the output open and says nothing for as long as patience; a client that reads slowly is waited for.
func drain(ctx context.Context, output cio.IO, taken *activity, patience time.Duration) {
	read := make(chan struct{})
	go func() { output.Wait(); close(read) }()
	tick := time.NewTicker(patience / 10)
	defer tick.Stop()
	quiet := time.Now()
	for seen := taken.count(); ; {
		select {
		case <-read:
			return
		case <-ctx.Done():
			output.Cancel()
			return
		case now := <-tick.C:
			if n := taken.count(); n != seen || taken.busy() {
				seen, quiet = n, now
			}
			if now.Sub(quiet) >= patience {
				output.Cancel()
				return
			}
		}
	}
}

// activity counts the writes to a client: those begun and those done.
type activity struct{ begun, done atomic.Int64 }

func (a *activity) count() int64 { return a.done.Load() }

func (a *activity) busy() bool { return a.begun.Load() != a.done.Load() }

// of returns the streams with their writes counted. A process always has outputs, because a missing one cannot be opened
// by its shim.
func (a *activity) of(s runtime.Streams) runtime.Streams {
	s.Stdout, s.Stderr = &watchedWriter{orDiscard(s.Stdout), a}, &watchedWriter{orDiscard(s.Stderr), a}
	return s
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}

type watchedWriter struct {
	to io.Writer
	a  *activity
}

// Write passes on.
func (w *watchedWriter) Write(p []byte) (int, error) {
	w.a.begun.Add(1)
	defer w.a.done.Add(1)
	return w.to.Write(p)
}
