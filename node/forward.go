package node

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/wire"
)

func (a *Agent) serveForward(ctx context.Context, r bus.Request, s bus.Stream) {
	finish(ctx, s, statusOf(a.forward(ctx, r, s)))
}

// forward carries one connection until the pod closes it or the client leaves.
func (a *Agent) forward(ctx context.Context, r bus.Request, s bus.Stream) error {
	req, err := hello[wire.ForwardRequest](r)
	if err != nil {
		return err
	}
	t, err := a.findPod(req.Namespace, req.Pod, req.UID)
	if err != nil {
		return err
	}
	if !t.obs.Sandbox {
		return badRequest("pod %q is not running", req.Pod)
	}
	conn, err := a.o.Runtime.Dial(ctx, string(t.row.UID), req.Port)
	if err != nil {
		return badRequest("connect to port %d of pod %q: %v", req.Port, req.Pod, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go carryIn(ctx, s, conn)
	_, err = io.Copy(&frameWriter{ctx, s, wire.Stdout}, conn)
	if errors.Is(err, net.ErrClosed) {
		return nil // the client left
	}
	return err
}

// carryIn writes what the client sends; its end is the end of the connection's
// one half, its going away that of both.
func carryIn(ctx context.Context, s bus.Stream, conn net.Conn) {
	for {
		f, err := s.Recv(ctx)
		switch {
		case err != nil:
			conn.Close()
			return
		case f.Channel == wire.StdinClosed:
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite() // a pod that is gone shows on reading
			}
		case f.Channel == wire.Stdin && len(f.Data) > 0:
			_, _ = conn.Write(f.Data) // a pod that is gone shows on reading
		}
	}
}
