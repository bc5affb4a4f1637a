package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/utils/exec"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// idleStream is how long a stream may be silent, as in Kubernetes.
const idleStream = 4 * time.Hour

// node is an agent's stream that was opened for a command.
type node struct{ bus.Stream }

// ExecInContainer implements remotecommand.Executor: it copies until the command
// ends, and says how it did.
func (n node) ExecInContainer(ctx context.Context, _, _, _ string, _ []string, in io.Reader, out, errs io.WriteCloser, _ bool,
	resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if in != nil {
		go n.sendInput(ctx, in)
	}
	go n.sendSizes(ctx, resize)
	for {
		f, err := n.Recv(ctx)
		if err != nil {
			return fmt.Errorf("the connection to the container ended: %w", err)
		}
		switch {
		case f.Channel == wire.Failed:
			return ended(f.Data)
		case f.Channel == wire.Stdout && out != nil:
			_, err = out.Write(f.Data)
		case f.Channel == wire.Stderr && errs != nil:
			_, err = errs.Write(f.Data)
		}
		if err != nil {
			return fmt.Errorf("write to the client: %w", err)
		}
	}
}

// sendInput carries the client's input; its end is told too. A stream that is
// lost shows on Recv.
func (n node) sendInput(ctx context.Context, in io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		k, err := in.Read(buf)
		if k > 0 && n.Send(ctx, bus.Frame{Channel: wire.Stdin, Data: append([]byte(nil), buf[:k]...)}) != nil {
			return
		}
		if err != nil {
			_ = n.Send(ctx, bus.Frame{Channel: wire.StdinClosed})
			return
		}
	}
}

func (n node) sendSizes(ctx context.Context, sizes <-chan remotecommand.TerminalSize) {
	for {
		select {
		case s, ok := <-sizes:
			if !ok {
				return
			}
			_ = n.Send(ctx, bus.Frame{Channel: wire.Resize, Data: events.MustBody(wire.WindowSize(s))})
		case <-ctx.Done():
			return
		}
	}
}

// ended is how a command ended: nil, its exit code, or why it could not run.
func ended(raw []byte) error {
	var st metav1.Status
	if err := json.Unmarshal(raw, &st); err != nil {
		return fmt.Errorf("decode the end of the stream: %w", err)
	}
	if st.Status == metav1.StatusSuccess {
		return nil
	}
	if st.Details != nil {
		for _, c := range st.Details.Causes {
			if code, err := strconv.Atoi(c.Message); c.Type == remotecommand.ExitCodeCauseType && err == nil {
				return exec.CodeExitError{Err: fmt.Errorf("exit code %d", code), Code: code}
			}
		}
	}
	return errors.New(st.Message)
}
