package kube

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/portforward"
	streaming "k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// forward carries connections to ports of a pod: over SPDY, over SPDY inside
// of a WebSocket, as newer clients do, or over the channels of a WebSocket, as
// the libraries of Python and JavaScript do.
func (s *Server) forward(w http.ResponseWriter, r *http.Request, pod *corev1.Pod) error {
	switch {
	case !isWebSocket(r):
		s.forwardSPDY(w, r, forwarder{s, pod, r})
	case slices.Contains(websocket.Subprotocols(r), tunnelling.Subprotocols[0]):
		s.tunnelled(w, r, pod)
	default:
		return s.inChannels(w, r, pod)
	}
	return nil
}

// inChannels serves the ports that the query names, two channels of a WebSocket for each.
func (s *Server) inChannels(w http.ResponseWriter, r *http.Request, pod *corev1.Pod) error {
	if !fromHere(r) {
		return apierrors.NewForbidden(corev1.Resource("pods"), pod.Name, errors.New("a page from elsewhere opens no WebSocket here"))
	}
	asked := r.Clone(r.Context())
	asked.URL.RawQuery = url.Values{streaming.PortHeader: r.URL.Query()["ports"]}.Encode()
	ports, err := streaming.NewV4Options(asked)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	streaming.ServePortForward(w, r, channels{forwarder{s, pod, r}}, pod.Name, string(pod.UID), ports, idleStream,
		remotecommand.DefaultStreamCreationTimeout, streaming.SupportedProtocols)
	return nil
}

// channels forwards what comes over the channels of a WebSocket. They cannot be closed by themselves: what has no more to
// say is gone, and its connection goes too, though the pod be silent.
type channels struct{ forwarder }

// PortForward implements portforward.PortForwarder.
func (c channels) PortForward(_ context.Context, _, _ string, port int32, client io.ReadWriteCloser) error {
	ctx, gone := context.WithCancel(c.asked.Context())
	defer gone()
	err := c.server.carry(ctx, c.pod, uint16(port), untilGone{client, gone}) //nolint:gosec // it was read as one
	if ctx.Err() != nil {
		return nil //nolint:nilerr // nobody is left to tell
	}
	return err
}

// untilGone tells when there is no more to read.
type untilGone struct {
	io.ReadWriteCloser
	gone func()
}

// Read implements io.Reader.
func (u untilGone) Read(p []byte) (int, error) {
	n, err := u.ReadWriteCloser.Read(p)
	if err != nil {
		u.gone()
	}
	return n, err
}

func (s *Server) forwardSPDY(w http.ResponseWriter, r *http.Request, f forwarder) {
	streaming.ServePortForward(w, r, f, f.pod.Name, string(f.pod.UID), &streaming.V4Options{}, idleStream,
		remotecommand.DefaultStreamCreationTimeout, streaming.SupportedProtocols)
}

// tunnelling is SPDY inside of a WebSocket.
var tunnelling = websocket.Upgrader{CheckOrigin: fromHere, Subprotocols: []string{streaming.WebsocketsSPDYTunnelingPortForwardV1}}

// tunnelled upgrades to a WebSocket and serves SPDY on what it carries.
func (s *Server) tunnelled(w http.ResponseWriter, r *http.Request, pod *corev1.Pod) {
	ws, err := tunnelling.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	conn := portforward.NewTunnelingConnection("server", ws)
	defer conn.Close()
	inside := r.Clone(r.Context())
	inside.Method, inside.Body = http.MethodPost, http.NoBody
	inside.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}, "X-Stream-Protocol-Version": {streaming.PortForwardV1Name}}
	s.forwardSPDY(&tunnel{conn: conn, header: http.Header{}}, inside, forwarder{s, pod, r})
}

// tunnel is the answer to an upgrade that has happened already.
type tunnel struct {
	conn   net.Conn
	header http.Header
}

// Header implements http.ResponseWriter.
func (t *tunnel) Header() http.Header { return t.header }

// WriteHeader implements http.ResponseWriter; the WebSocket's own answer stands.
func (t *tunnel) WriteHeader(int) {}

// Write implements http.ResponseWriter: an upgrade that fails has words, and
// nobody who reads them.
func (t *tunnel) Write(p []byte) (int, error) { return len(p), nil }

// Hijack implements http.Hijacker.
func (t *tunnel) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return t.conn, bufio.NewReadWriter(bufio.NewReader(t.conn), bufio.NewWriter(t.conn)), nil
}

// forwarder opens connections to a pod.
type forwarder struct {
	server *Server
	pod    *corev1.Pod
	asked  *http.Request // by whom
}

// PortForward implements portforward.PortForwarder: one connection, until one
// of its ends closes it.
func (f forwarder) PortForward(_ context.Context, _, _ string, port int32, client io.ReadWriteCloser) error {
	return f.server.carry(f.asked.Context(), f.pod, uint16(port), client) //nolint:gosec // it was read as one
}

// carry joins a connection to one that a pod's node makes to a port of the pod.
func (s *Server) carry(ctx context.Context, pod *corev1.Pod, port uint16, client io.ReadWriteCloser) error {
	stream, err := s.dial(ctx, pod, wire.NodeForward, wire.ForwardRequest{Namespace: pod.Namespace, Pod: pod.Name, UID: events.UID(pod.UID), Port: port})
	if err != nil {
		return err
	}
	defer stream.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go node{stream}.sendInput(ctx, client)
	for {
		fr, err := stream.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the connection to the pod ended: %w", err)
		}
		switch fr.Channel {
		case wire.Stdout:
			if _, err := client.Write(fr.Data); err != nil {
				return fmt.Errorf("write to the client: %w", err)
			}
		case wire.Failed:
			return ended(fr.Data)
		}
	}
}

// dialPod is carry for whoever wants a connection.
func (s *Server) dialPod(_ context.Context, k events.Key, port uint16) (net.Conn, error) {
	o, _ := s.Views.Durable().Object(k, s.Now())
	pod, ok := o.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" {
		return nil, fmt.Errorf("connect to %s: it is not there, or on no node", k)
	}
	near, far := net.Pipe()
	ctx, cancel := context.WithCancel(s.base)
	c := &carried{Conn: near, cancel: cancel}
	go func() {
		defer far.Close()
		if err := s.carry(ctx, pod, port, far); err != nil {
			c.why.Store(&err)
		}
	}()
	return c, nil
}

// carried is a connection that knows why it ended.
type carried struct {
	net.Conn
	why    atomic.Pointer[error]
	cancel context.CancelFunc
}

// Close implements net.Conn: a pod that goes on speaking does not hold the connection.
func (c *carried) Close() error {
	c.cancel()
	return c.Conn.Close()
}

// Read implements net.Conn.
func (c *carried) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.ended(err, io.EOF)
}

// Write implements net.Conn: whoever still speaks when the connection was refused is told so too.
func (c *carried) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.ended(err, io.ErrClosedPipe)
}

// ended is why the connection ended, when an error says no more than that it did.
func (c *carried) ended(err, plain error) error {
	if why := c.why.Load(); errors.Is(err, plain) && why != nil {
		return *why
	}
	return err
}
