package kube

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// doorstep is a listener for the connections of pods: their nodes bring them over
// the wires, as they bring everything. What is in them is TLS from end to end.
type doorstep struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newDoorstep() *doorstep {
	return &doorstep{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (d *doorstep) Accept() (net.Conn, error) {
	select {
	case c := <-d.conns:
		return c, nil
	case <-d.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (d *doorstep) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

// Addr implements net.Listener.
func (d *doorstep) Addr() net.Addr { return wired{} }

// wired is where connections come from that came over the wires.
type wired struct{}

// Network implements net.Addr.
func (wired) Network() string { return "wires" }

// String implements net.Addr.
func (wired) String() string { return "wires" }

// bring gives a stream of a node's to the server and carries it until it ends.
func (d *doorstep) bring(ctx context.Context, r bus.Request, s bus.Stream) {
	if !events.IsNodeUser(r.From) {
		return // people have the address
	}
	ours, theirs := net.Pipe()
	select {
	case d.conns <- theirs:
		bus.Carry(ctx, s, ours)
	case <-d.closed:
	case <-ctx.Done():
	}
}

// acceptNodes makes a listener of what nodes bring.
func (s *Server) acceptNodes() (net.Listener, error) {
	d := newDoorstep()
	stop, err := s.Wires.Accept(wire.Pattern(wire.VerbKube), d.bring)
	if err != nil {
		return nil, fmt.Errorf("accept the connections of pods: %w", err)
	}
	context.AfterFunc(s.base, func() {
		_ = d.Close() // it cannot fail
		stop()
	})
	return d, nil
}
