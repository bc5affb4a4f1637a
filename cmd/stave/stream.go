package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/term"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// dialNode opens a stream to the agent that runs a pod.
func (s *session) dialNode(ctx context.Context, pod *corev1.Pod, verb string, request any) (bus.Stream, error) {
	if pod.Spec.NodeName == "" {
		return nil, fmt.Errorf("pod %s is not on a node yet\nhelp: stave why pod/%s%s", pod.Name, pod.Name, s.dashN(events.Key{Namespace: pod.Namespace}))
	}
	stream, err := s.dial(ctx, wire.NodeSubject(s.user, pod.Spec.NodeName, verb), request)
	if errors.Is(err, bus.ErrNoServer) {
		return nil, &silentNode{pod.Spec.NodeName}
	}
	if err != nil {
		return nil, fmt.Errorf("reach node %s: %w", pod.Spec.NodeName, err)
	}
	return stream, nil
}

// silentNode says that nobody answers for a node.
type silentNode struct{ node string }

// Error says what to look at.
func (e *silentNode) Error() string {
	return fmt.Sprintf("node %s does not answer: is its agent running?\nhelp: stave get nodes", e.node)
}

// chooseContainer is the container that -c names, or the pod's first one.
func (s *session) chooseContainer(pod *corev1.Pod, wanted string) (string, error) {
	var names []string
	if wanted == "" {
		wanted = pod.Annotations["kubectl.kubernetes.io/default-container"]
	}
	for _, c := range pod.Spec.Containers {
		if c.Name == wanted {
			return wanted, nil
		}
		names = append(names, c.Name)
	}
	for _, c := range pod.Spec.InitContainers {
		if c.Name == wanted {
			return wanted, nil
		}
		names = append(names, c.Name+" (init)")
	}
	for _, c := range pod.Spec.EphemeralContainers {
		if c.Name == wanted {
			return wanted, nil
		}
		names = append(names, c.Name+" (ephem)")
	}
	if wanted != "" {
		return "", fmt.Errorf("container %s is not valid for pod %s out of: %s", wanted, pod.Name, strings.Join(names, ", "))
	}
	if len(names) > 1 {
		fmt.Fprintf(s.err, "Defaulted container %q out of: %s\n", pod.Spec.Containers[0].Name, strings.Join(names, ", "))
	}
	return pod.Spec.Containers[0].Name, nil
}

// failedFrame is the error that a stream ended with; nil for success.
func failedFrame(data []byte) error {
	var st metav1.Status
	if err := json.Unmarshal(data, &st); err != nil {
		return fmt.Errorf("decode the end of the stream: %w", err)
	}
	if st.Status == metav1.StatusSuccess {
		return nil
	}
	if st.Details != nil {
		for _, c := range st.Details.Causes {
			if code, err := strconv.Atoi(c.Message); c.Type == "ExitCode" && err == nil {
				return &exitError{code: code}
			}
		}
	}
	return refused(&st)
}

// interact joins the terminal to a container's streams until its end.
func (s *session) interact(ctx context.Context, stream bus.Stream, stdin, tty bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if tty {
		restore, err := s.rawTerminal(ctx, stream)
		if err != nil {
			return err
		}
		defer restore()
	}
	if stdin {
		go s.sendInput(ctx, stream)
	}
	for {
		f, err := stream.Recv(ctx)
		if err != nil {
			return fmt.Errorf("the connection to the container ended: %w", err)
		}
		switch f.Channel {
		case wire.Stdout:
			_, err = s.out.Write(f.Data)
		case wire.Stderr:
			_, err = s.err.Write(f.Data)
		case wire.Failed:
			return s.commandEnded(failedFrame(f.Data))
		}
		if err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
}

// commandEnded says in kubectl's words that the command itself failed.
func (s *session) commandEnded(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		fmt.Fprintf(s.err, "command terminated with exit code %d\n", exit.code)
	}
	return err
}

// sendInput carries standard input to the container.
func (s *session) sendInput(ctx context.Context, stream bus.Stream) {
	buf := make([]byte, 32<<10)
	for {
		n, err := s.in.Read(buf)
		if n > 0 && stream.Send(ctx, bus.Frame{Channel: wire.Stdin, Data: append([]byte(nil), buf[:n]...)}) != nil {
			return
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				_ = stream.Send(ctx, bus.Frame{Channel: wire.StdinClosed}) // its end shows on Recv
			}
			return
		}
	}
}

// rawTerminal hands every key to the container and keeps its window's size.
// Without a terminal it does nothing, as kubectl.
func (s *session) rawTerminal(ctx context.Context, stream bus.Stream) (restore func(), err error) {
	in, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		fmt.Fprintln(s.err, "Unable to use a TTY - input is not a terminal or the right kind of file")
		return func() {}, nil
	}
	signal.Ignore(syscall.SIGPIPE) // a death by it would leave the terminal raw; the write fails instead
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("make the terminal raw: %w", err)
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		for {
			s.sendSize(ctx, stream)
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { signal.Stop(changed); _ = term.Restore(int(in.Fd()), old) }, nil
}

// windowSize is the terminal's when there is one: a command shall see it from
// its first moment on, not only after the first change.
func (s *session) windowSize(tty bool) wire.WindowSize {
	in, ok := s.in.(*os.File)
	if !ok || !tty {
		return wire.WindowSize{}
	}
	w, h, err := term.GetSize(int(in.Fd()))
	if err != nil {
		return wire.WindowSize{}
	}
	return wire.WindowSize{Width: uint16(w), Height: uint16(h)}
}

func (s *session) sendSize(ctx context.Context, stream bus.Stream) {
	size := s.windowSize(true)
	if size.Width == 0 {
		return
	}
	b := events.MustBody(size)
	_ = stream.Send(ctx, bus.Frame{Channel: wire.Resize, Data: b}) // a lost stream shows on Recv
}
