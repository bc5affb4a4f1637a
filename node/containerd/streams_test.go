package containerd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/stave-run/stave/node/runtime"
)

func testExec(n *node) {
	id := n.start(n.spec("p1", "host", "sleep 1000"))
	defer n.Remove(context.Background(), id)
	var out, errs bytes.Buffer
	code, err := n.Exec(n.t.Context(), id, runtime.ExecSpec{Command: []string{"sh", "-c", "echo $X; cat; echo err >&2; id -u; exit 4"}, Env: []string{"X=x"}, User: "65534:65534"},
		runtime.Streams{Stdin: strings.NewReader("from the client\n"), Stdout: &out, Stderr: &errs})
	if err != nil || code != 4 || out.String() != "x\nfrom the client\n65534\n" || errs.String() != "err\n" {
		n.t.Errorf("%d, %v, %q, %q", code, err, out.String(), errs.String())
	}
	_, err = n.Exec(n.t.Context(), id, runtime.ExecSpec{Command: []string{"no-such-program"}}, runtime.Streams{})
	var start *runtime.StartError
	if !errors.As(err, &start) || start.Reason != runtime.StartNotFound {
		n.t.Errorf("%v", err)
	}
	// The client goes away: so does its process.
	ctx, cancel := context.WithTimeout(n.t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := n.Exec(ctx, id, runtime.ExecSpec{Command: []string{"sleep", "4321"}}, runtime.Streams{}); !errors.Is(err, context.DeadlineExceeded) {
		n.t.Errorf("%v", err)
	}
	out.Reset()
	if _, err := n.Exec(n.t.Context(), id, runtime.ExecSpec{Command: []string{"ps"}}, runtime.Streams{Stdout: &out}); err != nil || strings.Contains(out.String(), "4321") {
		n.t.Errorf("%v, %s", err, out.String())
	}
	// Large output arrives whole.
	out.Reset()
	code, err = n.Exec(n.t.Context(), id, runtime.ExecSpec{Command: []string{"head", "-c", "3000000", "/dev/zero"}}, runtime.Streams{Stdout: &out})
	if err != nil || code != 0 || out.Len() != 3000000 {
		n.t.Errorf("%d, %v, %d bytes", code, err, out.Len())
	}
}

// testExecSlowClient: the process has long ended when the client takes the second half of its output.
func testExecSlowClient(n *node) {
	id := n.start(n.spec("p1", "host", "sleep 1000"))
	defer n.Remove(context.Background(), id)
	out := slowWriter{delay: 500 * time.Millisecond}
	code, err := n.Exec(n.t.Context(), id, runtime.ExecSpec{Command: []string{"head", "-c", "60000", "/dev/zero"}}, runtime.Streams{Stdout: &out})
	if err != nil || code != 0 || out.taken != 60000 {
		n.t.Errorf("%d, %v, %d bytes", code, err, out.taken)
	}
}

// slowWriter counts what it takes its time for.
type slowWriter struct {
	delay time.Duration
	taken int
}

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(w.delay)
	w.taken += len(p)
	return len(p), nil
}

// lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func testExecTTY(n *node) {
	id := n.start(n.spec("p1", "host", "sleep 1000"))
	defer n.Remove(context.Background(), id)
	in, type_ := io.Pipe()
	defer type_.Close()
	sizes := make(chan runtime.Size, 1)
	sizes <- runtime.Size{Width: 132, Height: 43}
	var out lockedBuffer
	done := make(chan int, 1)
	go func() {
		code, err := n.Exec(n.t.Context(), id, runtime.ExecSpec{Command: []string{"sh"}, TTY: true}, runtime.Streams{Stdin: in, Stdout: &out, Resize: sizes})
		if err != nil {
			n.t.Error(err)
		}
		done <- code
	}()
	eventually(n.t, "the terminal has its size", func() bool {
		io.WriteString(type_, "stty size\n")
		time.Sleep(50 * time.Millisecond)
		return strings.Contains(out.String(), "43 132")
	})
	io.WriteString(type_, "tty; exit 9\n")
	select {
	case code := <-done:
		if code != 9 || !strings.Contains(out.String(), "/dev/pts/") {
			n.t.Errorf("%d, %q", code, out.String())
		}
	case <-time.After(patience):
		n.t.Fatalf("the shell did not end: %q", out.String())
	}
}

func testAttach(n *node) {
	c := n.spec("p1", "reader", "echo first; cat; echo done >&2")
	c.Stdin, c.StdinOnce = true, true
	id := n.start(c)
	eventually(n.t, "it has spoken before anybody attached", func() bool { return strings.Contains(n.output(c), "first") })
	var out, errs bytes.Buffer
	if err := n.Attach(n.t.Context(), id, runtime.Streams{Stdin: strings.NewReader("typed\n"), Stdout: &out, Stderr: &errs}); err != nil {
		n.t.Fatal(err)
	}
	if out.String() != "first\ntyped\n" || errs.String() != "done\n" {
		n.t.Errorf("%q, %q", out.String(), errs.String())
	}
	if exit := n.exit(id); exit.Code != 0 {
		n.t.Errorf("%+v", exit)
	}
	// The log has it as well.
	if got := n.output(c); !strings.Contains(got, "typed\n") || !strings.Contains(got, "done\n") {
		n.t.Errorf("%q", got)
	}
}

// testAttachLeaves: the only client goes away, and with it the container's input.
func testAttachLeaves(n *node) {
	c := n.spec("p1", "left", "cat; echo end of input")
	c.Stdin, c.StdinOnce = true, true
	id := n.start(c)
	ctx, cancel := context.WithCancel(n.t.Context())
	in, type_ := io.Pipe()
	defer type_.Close()
	var out lockedBuffer
	done := make(chan error, 1)
	go func() { done <- n.Attach(ctx, id, runtime.Streams{Stdin: in, Stdout: &out}) }()
	io.WriteString(type_, "typed\n")
	eventually(n.t, "it answers", func() bool { return out.String() == "typed\n" })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		n.t.Error(err)
	}
	n.exit(id)
	if got := n.output(c); got != "typed\nend of input\n" {
		n.t.Errorf("%q", got)
	}
}

// testAttachSaysAllItHas: a client whose input ends leaves a container whose input stays open, and the next one speaks on.
func testAttachSaysAllItHas(n *node) {
	c := n.spec("p1", "open", "cat; echo end of input")
	c.Stdin = true
	id := n.start(c)
	for _, say := range []string{"one\n", "two\n"} {
		done := make(chan error, 1)
		go func() {
			done <- n.Attach(n.t.Context(), id, runtime.Streams{Stdin: strings.NewReader(say), Stdout: io.Discard})
		}()
		select {
		case err := <-done:
			if err != nil {
				n.t.Fatal(err)
			}
		case <-time.After(patience):
			n.t.Fatal("a client that has no more to say stays")
		}
	}
	eventually(n.t, "both were heard", func() bool { return n.output(c) == "one\ntwo\n" })
}

func testAttachTTY(n *node) {
	c := n.spec("p1", "shell", "")
	c.Command = []string{"sh"}
	c.Stdin, c.StdinOnce, c.TTY = true, true, true
	id := n.start(c)
	in, type_ := io.Pipe()
	defer type_.Close()
	var out lockedBuffer
	done := make(chan error, 1)
	go func() { done <- n.Attach(n.t.Context(), id, runtime.Streams{Stdin: in, Stdout: &out}) }()
	io.WriteString(type_, "tty; exit 6\n")
	select {
	case err := <-done:
		if err != nil || !strings.Contains(out.String(), "/dev/pts/0") {
			n.t.Errorf("%v, %q", err, out.String())
		}
	case <-time.After(patience):
		n.t.Fatalf("attach did not end: %q", out.String())
	}
	if exit := n.exit(id); exit.Code != 6 {
		n.t.Errorf("%+v", exit)
	}
}
