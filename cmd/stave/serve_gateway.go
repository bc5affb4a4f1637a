package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/dataplane/plan"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// gateway is where a node's pods reach the Kubernetes API: an address of the node
// that only they and the other nodes know, from where each connection goes on over
// the wires. So no node has to reach the API's own address, and it may stay on
// loopback.
type gateway struct {
	at     netip.AddrPort
	wires  bus.Wires
	user   string
	listen net.Listener
	ctx    context.Context
	stop   context.CancelFunc
	busy   sync.WaitGroup
}

// openGateway listens on the node's address among its pods, on the port that the
// endpoints of the service name, or on any when another process has that one.
func openGateway(ctx context.Context, at netip.Addr, wires bus.Wires, user string, log *slog.Logger) (*gateway, error) {
	g := &gateway{wires: wires, user: user}
	var err error
	g.listen, err = net.Listen("tcp4", netip.AddrPortFrom(at, projections.APIPort).String())
	if err != nil {
		log.Warn("the way of pods to the Kubernetes API has another port", "wanted", projections.APIPort, "err", err)
		g.listen, err = net.Listen("tcp4", netip.AddrPortFrom(at, 0).String())
	}
	if err != nil {
		return nil, fmt.Errorf("listen for pods that want the Kubernetes API: %w", err)
	}
	if g.at, err = netip.ParseAddrPort(g.listen.Addr().String()); err != nil {
		return nil, errors.Join(fmt.Errorf("read own address: %w", err), g.listen.Close())
	}
	g.ctx, g.stop = context.WithCancel(context.WithoutCancel(ctx))
	g.busy.Add(1)
	go g.accept()
	return g, nil
}

// acceptPause is what lies between two tries to accept a connection.
const acceptPause = 50 * time.Millisecond

func (g *gateway) accept() {
	defer g.busy.Done()
	for {
		conn, err := g.listen.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			sleep(g.ctx, acceptPause) // of one connection, or for want of descriptors, which takes a while
			continue
		}
		g.busy.Add(1)
		go func() {
			defer g.busy.Done()
			g.carry(conn)
		}()
	}
}

// carry brings a connection to whoever serves the API now; when nobody does, it is
// closed, and its client tries again.
func (g *gateway) carry(conn net.Conn) {
	defer conn.Close()
	stream, err := g.wires.Dial(g.ctx, "req."+g.user+"."+wire.VerbKube, nil)
	if err != nil {
		return
	}
	bus.Carry(g.ctx, stream, conn)
}

// close ends what is under way.
func (g *gateway) close() error {
	g.stop()
	err := g.listen.Close()
	g.busy.Wait()
	return err
}

// leads gives the API's service the node's own way to it as its endpoint.
func (g *gateway) leads(s plan.Service) plan.Service {
	if g == nil || s.Key != serviceName(projections.GatewayKey) {
		return s
	}
	for i := range s.Ports {
		s.Ports[i].Endpoints = []netip.AddrPort{g.at}
	}
	return s
}
