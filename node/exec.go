package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/runtime"
)

func (a *Agent) serveExec(ctx context.Context, r bus.Request, s bus.Stream) {
	finish(ctx, s, a.exec(ctx, r, s))
}

func (a *Agent) exec(ctx context.Context, r bus.Request, s bus.Stream) metav1.Status {
	req, err := hello[wire.ExecRequest](r)
	if err == nil && len(req.Command) == 0 {
		err = badRequest("exec: no command was given")
	}
	if err != nil {
		return statusOf(err)
	}
	t, err := a.find(req.Namespace, req.Pod, req.UID, req.Container)
	if err != nil {
		return statusOf(err)
	}
	c, err := t.running()
	if err != nil {
		return statusOf(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	streams := connect(ctx, cancel, s, req)
	code, err := a.o.Runtime.Exec(ctx, c.ID, runtime.ExecSpec{Command: req.Command, TTY: req.TTY, Size: runtime.Size(req.Size)}, streams)
	var start *runtime.StartError
	if errors.As(err, &start) {
		// Said where a shell would say it: many clients look at the code alone.
		words := streams.Stderr
		if words == nil {
			words = streams.Stdout
		}
		_, _ = io.WriteString(words, "error: "+start.Message+"\n")
		return startStatus(start)
	}
	if err != nil {
		return statusOf(err)
	}
	return exitStatus(code)
}

// The codes that a shell gives for a command that it cannot run.
const (
	codeDenied   = 126
	codeNotFound = 127
)

// startStatus gives a command that did not start the code that a shell would give it, and the runtime's words.
func startStatus(e *runtime.StartError) metav1.Status {
	code := codeDenied
	if e.Reason == runtime.StartNotFound {
		code = codeNotFound
	}
	s := exitStatus(code)
	s.Code, s.Message = http.StatusInternalServerError, e.Message
	return s
}

func (a *Agent) serveAttach(ctx context.Context, r bus.Request, s bus.Stream) {
	finish(ctx, s, statusOf(a.attach(ctx, r, s)))
}

func (a *Agent) attach(ctx context.Context, r bus.Request, s bus.Stream) error {
	req, err := hello[wire.ExecRequest](r)
	if err != nil {
		return err
	}
	t, err := a.find(req.Namespace, req.Pod, req.UID, req.Container)
	if err != nil {
		return err
	}
	// A container that has ended since is fine: its last output is still to be given.
	c, ok := t.obs.Newest(t.name)
	if !ok || c.StartedAt.IsZero() || c.Exit.NotStarted {
		_, err := t.running()
		return err
	}
	req.TTY, req.Stdin = t.spec().TTY, req.Stdin && t.spec().Stdin
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return a.o.Runtime.Attach(ctx, c.ID, connect(ctx, cancel, s, req))
}

// connect makes a process's streams of a wire's. The client's going away cancels the process.
func connect(ctx context.Context, cancel context.CancelFunc, s bus.Stream, req wire.ExecRequest) runtime.Streams {
	out := runtime.Streams{Stdout: &frameWriter{ctx, s, wire.Stdout}}
	if !req.TTY {
		out.Stderr = &frameWriter{ctx, s, wire.Stderr}
	}
	var input *io.PipeWriter
	if req.Stdin {
		var r *io.PipeReader
		r, input = io.Pipe()
		out.Stdin = r
		context.AfterFunc(ctx, func() { r.Close() })
	}
	sizes := make(chan runtime.Size, 1)
	if req.TTY {
		out.Resize = sizes
		if req.Size.Width > 0 {
			sizes <- runtime.Size(req.Size)
		}
	}
	go receive(ctx, cancel, s, input, sizes)
	return out
}

// receive hands on what the client sends. One that closes its side has left, as one that is lost: that its input has ended it
// says by a frame.
func receive(ctx context.Context, cancel context.CancelFunc, s bus.Stream, input *io.PipeWriter, sizes chan runtime.Size) {
	for {
		f, err := s.Recv(ctx)
		if err != nil {
			if input != nil {
				input.Close()
			}
			cancel()
			return
		}
		switch f.Channel {
		case wire.Stdin:
			if input != nil && len(f.Data) > 0 {
				_, _ = input.Write(f.Data) // a process that reads no more takes no more
			}
		case wire.StdinClosed:
			if input != nil {
				input.Close()
			}
		case wire.Resize:
			var size wire.WindowSize
			if json.Unmarshal(f.Data, &size) == nil {
				latest(sizes, runtime.Size(size))
			}
		}
	}
}

// latest replaces a size that nobody took yet.
func latest(sizes chan runtime.Size, size runtime.Size) {
	select {
	case <-sizes:
	default:
	}
	select {
	case sizes <- size:
	default:
	}
}

// frameWriter sends output.
type frameWriter struct {
	ctx     context.Context
	to      bus.Stream
	channel byte
}

// Write sends a copy: the caller uses its buffer again.
func (w *frameWriter) Write(p []byte) (int, error) {
	if err := w.to.Send(w.ctx, bus.Frame{Channel: w.channel, Data: append([]byte(nil), p...)}); err != nil {
		return 0, err
	}
	return len(p), nil
}
