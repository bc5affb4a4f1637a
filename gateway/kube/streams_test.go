package kube_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// agent answers streams as a node's agent does.
func (h *house) agent(verb string, serve func(context.Context, bus.Request, bus.Stream)) {
	h.Helper()
	stop, err := h.wires.Accept(wire.NodePattern("n1", verb), serve)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(stop)
}

// echo says back what it is told, in capitals, and then fails with 3.
func echo(ctx context.Context, _ bus.Request, s bus.Stream) {
	for {
		f, err := s.Recv(ctx)
		if err != nil {
			return
		}
		if f.Channel == wire.StdinClosed {
			break
		}
		if f.Channel == wire.Stdin {
			_ = s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: bytes.ToUpper(f.Data)})
		}
	}
	_ = s.Send(ctx, bus.Frame{Channel: wire.Stderr, Data: []byte("oh")})
	st := metav1.Status{Status: metav1.StatusFailure, Reason: "NonZeroExitCode", Message: "exit code 3",
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: "3"}}}}
	_ = s.Send(ctx, bus.Frame{Channel: wire.Failed, Data: events.MustBody(st)})
	_ = s.Close()
}

// podOn makes a pod and gives it to the node n1.
func (h *house) podOn(name string) {
	h.Helper()
	// A pod of a node that is not there would be collected.
	if _, err := h.client().CoreV1().Nodes().Create(h.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{}); err != nil {
		h.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	made, err := h.client().CoreV1().Pods("default").Create(h.Context(), pod, metav1.CreateOptions{})
	if err != nil {
		h.Fatal(err)
	}
	k := events.Key{Resource: events.Pods, Namespace: "default", Name: name}
	done, err := h.loop.Submit(h.Context(), run.Request{Actor: "test", ID: "assign " + name, Key: k, Decide: func(projections.State, time.Time) ([]reconcilers.Draft, error) {
		return []reconcilers.Draft{{Subject: events.AssignSubject("n1"), Type: events.PodsAssigned,
			Body: events.MustBody(events.Assigned{Pods: []events.Ref{{Key: k, UID: events.UID(made.UID)}}})}}, nil
	}})
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.view.WaitDurable(h.Context(), done[0].Seq); err != nil {
		h.Fatal(err)
	}
}

func TestStreams(t *testing.T) {
	h := open(t)
	h.podOn("a")
	h.agent(wire.NodeExec, echo)
	h.agent(wire.NodeLogs, func(ctx context.Context, r bus.Request, s bus.Stream) {
		_ = s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: append([]byte("asked "), r.Body...)})
		_ = s.Send(ctx, bus.Frame{Channel: wire.Failed, Data: events.MustBody(metav1.Status{Status: metav1.StatusSuccess})})
		_ = s.Close()
	})
	tail := int64(7)
	out, err := h.client().CoreV1().Pods("default").GetLogs("a", &corev1.PodLogOptions{TailLines: &tail, Timestamps: true}).DoRaw(t.Context())
	if err != nil || !strings.Contains(string(out), `"tail":7`) || !strings.Contains(string(out), `"timestamps":true`) {
		t.Errorf("log: %s, %v", out, err)
	}
	if _, err = h.client().CoreV1().Pods("default").GetLogs("a", &corev1.PodLogOptions{Container: "x"}).DoRaw(t.Context()); !apierrors.IsBadRequest(err) {
		t.Errorf("log of no container: %v", err)
	}
	req := h.client().CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name("a").SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: []string{"x"}, Stdin: true, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	ws, err := remotecommand.NewWebSocketExecutor(h.config, "GET", req.URL().String())
	if err != nil {
		t.Fatal(err)
	}
	spdy, err := remotecommand.NewSPDYExecutor(h.config, "POST", req.URL())
	if err != nil {
		t.Fatal(err)
	}
	for how, e := range map[string]remotecommand.Executor{"websocket": ws, "spdy": spdy} {
		var out, errs bytes.Buffer
		err := e.StreamWithContext(t.Context(), remotecommand.StreamOptions{Stdin: strings.NewReader("hello"), Stdout: &out, Stderr: &errs})
		code, ok := err.(exec.CodeExitError) //nolint:errorlint // it is not wrapped
		if !ok || code.Code != 3 || out.String() != "HELLO" || errs.String() != "oh" {
			t.Errorf("%s: %q, %q, %v", how, out.String(), errs.String(), err)
		}
	}
}

// socket opens a WebSocket in a protocol; "" names none.
func (h *house) socket(path, protocol string) (*websocket.Conn, error) {
	h.Helper()
	return h.socketFrom(path, protocol, nil)
}

// socketFrom is socket for a client that says where it is from.
func (h *house) socketFrom(path, protocol string, header http.Header) (*websocket.Conn, error) {
	h.Helper()
	config, err := rest.TLSConfigFor(h.config)
	if err != nil {
		h.Fatal(err)
	}
	config.NextProtos = nil // HTTP/2 has no upgrades
	d := websocket.Dialer{TLSClientConfig: config}
	if protocol != "" {
		d.Subprotocols = []string{protocol}
	}
	ws, _, err := d.DialContext(h.Context(), strings.Replace(h.config.Host, "https", "wss", 1)+path, header)
	return ws, err
}

// A library that always names an origin is served, as from Kubernetes; a page from elsewhere is not: a browser would show
// it the certificate of its user.
func TestOriginsOfWebSockets(t *testing.T) {
	h := open(t)
	h.podOn("a")
	h.agent(wire.NodeExec, echo)
	for origin, welcome := range map[string]bool{"": true, "http://localhost": true, "http://127.0.0.1:8001": true, "http://[::1]": true,
		h.config.Host: true, "https://evil.example": false, "null": false, "http://localhost.evil.example": false, "%zz": false} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		ws, err := h.socketFrom(inDefault+"pods/a/exec?command=x&stdin=1&stdout=1", "channel.k8s.io", header)
		if (err == nil) != welcome {
			t.Errorf("from %q: %v", origin, err)
		}
		if err == nil {
			_ = ws.Close()
		}
	}
}

// Clients of any age are understood: the end of the stream is a Status for the newer ones, and words for the older.
func TestWebSocketsOfEveryAge(t *testing.T) {
	h := open(t)
	h.podOn("a")
	h.agent(wire.NodeExec, echo)
	text := func(channel, data string) string { return channel + base64.StdEncoding.EncodeToString([]byte(data)) }
	for protocol, c := range map[string]struct{ send, out string }{
		"v5.channel.k8s.io":        {"\x00hello", "\x01HELLO"},
		"v4.channel.k8s.io":        {"\x00hello", "\x01HELLO"},
		"channel.k8s.io":           {"\x00hello", "\x01HELLO"},
		"":                         {"\x00hello", "\x01HELLO"},
		"v4.base64.channel.k8s.io": {text("0", "hello"), text("1", "HELLO")},
		"base64.channel.k8s.io":    {text("0", "hello"), text("1", "HELLO")},
	} {
		ws, err := h.socket(inDefault+"pods/a/exec?command=x&stdin=1&stdout=1&stderr=1", protocol)
		if err != nil {
			t.Errorf("%q: %v", protocol, err)
			continue
		}
		defer ws.Close()
		if err := ws.WriteMessage(websocket.BinaryMessage, []byte(c.send)); err != nil {
			t.Fatal(err)
		}
		if _, m, err := ws.ReadMessage(); err != nil || string(m) != c.out || ws.Subprotocol() != protocol {
			t.Errorf("%q: speaks %q, said %q, %v, want %q", protocol, ws.Subprotocol(), m, err, c.out)
		}
	}
}

// Who asks for one output gets no other: a library that gathers both would take what was said to the one for the other's.
func TestOutputsThatWereNotAskedFor(t *testing.T) {
	h := open(t)
	h.podOn("a")
	h.agent(wire.NodeExec, func(ctx context.Context, _ bus.Request, s bus.Stream) {
		_ = s.Send(ctx, bus.Frame{Channel: wire.Stderr, Data: []byte("oh")})
		_ = s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: []byte("HELLO")})
		_ = s.Send(ctx, bus.Frame{Channel: wire.Failed, Data: events.MustBody(metav1.Status{Status: metav1.StatusSuccess})})
		_ = s.Close()
	})
	for asked, want := range map[string]string{"stdout=1": "\x01HELLO", "stderr=1": "\x02oh", "stdout=1&stderr=1": "\x02oh", "stdout=1&stderr=1&tty=1": "\x01HELLO"} {
		ws, err := h.socket(inDefault+"pods/a/exec?command=x&"+asked, "v4.channel.k8s.io")
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		if _, m, err := ws.ReadMessage(); err != nil || string(m) != want {
			t.Errorf("%s: the first is %q, %v, want %q", asked, m, err, want)
		}
	}
}

// A stream's end as the oldest clients hear of it: nothing when all went well.
func TestTheEndInWords(t *testing.T) {
	h := open(t)
	h.podOn("a")
	failed := false
	h.agent(wire.NodeExec, func(ctx context.Context, _ bus.Request, s bus.Stream) {
		st := metav1.Status{Status: metav1.StatusSuccess}
		if failed {
			st = metav1.Status{Status: metav1.StatusFailure, Message: "it broke"}
		}
		_ = s.Send(ctx, bus.Frame{Channel: wire.Failed, Data: events.MustBody(st)})
		_ = s.Close()
	})
	for _, failed = range []bool{false, true} {
		ws, err := h.socket(inDefault+"pods/a/exec?command=x&stdout=1", "channel.k8s.io")
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		_, m, err := ws.ReadMessage()
		if closed := websocket.IsCloseError(err, websocket.CloseNormalClosure); closed == failed || failed && string(m) != "\x03it broke" {
			t.Errorf("failed %t: %q, %v", failed, m, err)
		}
	}
}

// A container's output over a WebSocket: what browsers follow logs by.
func TestLogsOverWebSockets(t *testing.T) {
	h := open(t)
	h.podOn("a")
	h.agent(wire.NodeLogs, func(ctx context.Context, _ bus.Request, s bus.Stream) {
		for _, line := range []string{"one\n", "two\n"} {
			_ = s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: []byte(line)})
		}
		_ = s.Send(ctx, bus.Frame{Channel: wire.Failed, Data: events.MustBody(metav1.Status{Status: metav1.StatusSuccess})})
		_ = s.Close()
	})
	ws, err := h.socket(inDefault+"pods/a/log", "binary.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	var all []byte
	for {
		_, m, err := ws.ReadMessage()
		if err != nil {
			break
		}
		all = append(all, m...)
	}
	if string(all) != "one\ntwo\n" {
		t.Errorf("read %q", all)
	}
}
