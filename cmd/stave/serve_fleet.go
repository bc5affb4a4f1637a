package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/projections"
)

// gather learns which nodes the cluster has on this machine, and joins them.
func (c *cluster) gather(ctx context.Context, up *upCmd, _ func(string, ...any)) error {
	before, err := c.layout.fleet()
	if err != nil {
		return err
	}
	if up.Nodes > 0 && !before.Network.IsValid() {
		if err := c.choosing(ctx); err != nil {
			return err
		}
	}
	if c.fleet, err = c.layout.gather(up.Nodes); err != nil || len(c.fleet.Nodes) == 0 {
		return err
	}
	if up.NodeName != "" {
		return errors.New("--node-name names the machine as a node; with --nodes the nodes are n1, n2 and so on")
	}
	// Before anything is on the machine: `down` must find the data again.
	if err := c.layout.leave(footprint{Data: c.layout.data}); err != nil {
		return err
	}
	return c.layout.wire(c.fleet).Lay()
}

// listen opens the server to the wire of the nodes: loopback does not reach into
// their namespaces, and the outside must not be reached by it.
func (c *cluster) listen(ctx context.Context) error {
	if len(c.fleet.Nodes) == 0 {
		return nil
	}
	u, err := url.Parse(c.server.Address())
	if err != nil {
		return fmt.Errorf("read own address: %w", err)
	}
	l, err := c.layout.wire(c.fleet).Listen(ctx, u.Port())
	if err != nil {
		return fmt.Errorf("listen for nodes: %w", err)
	}
	c.server.Welcome(l)
	return nil
}

// forNodes is where the server answers nodes of this machine.
func (c *cluster) forNodes() string {
	u, err := url.Parse(c.server.Address())
	if err != nil || len(c.fleet.Nodes) == 0 {
		return c.server.Address()
	}
	return "nats://" + net.JoinHostPort(c.layout.wire(c.fleet).Machine().String(), u.Port())
}

// token is what a node shows and where. Who can read it can be that node.
type token struct {
	Cluster    string               `json:"cluster"`
	Node       string               `json:"node"`
	Server     string               `json:"server"`
	Credential jetstream.Credential `json:"credential"`
}

// Token implements api.Guests: the node is let in from now on.
func (c *cluster) Token(node string) ([]byte, error) {
	cred, err := jetstream.LoadOrCreateNode(c.layout.credentials(), node)
	if err != nil {
		return nil, err
	}
	if err := c.server.Admit(cred); err != nil {
		return nil, err
	}
	raw, err := json.MarshalIndent(token{c.layout.name, node, c.forNodes(), cred}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode token: %w", err)
	}
	return append(raw, '\n'), nil
}

// Expel implements api.Guests: what the node has in its hands is worth nothing.
func (c *cluster) Expel(node string) error {
	user := jetstream.NodeUser(node)
	if err := c.server.Expel(user); err != nil {
		return err
	}
	if err := os.Remove(jetstream.CredentialPath(c.layout.credentials(), user)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove credential: %w", err)
	}
	return nil
}

// startFleet starts the nodes' processes, and waits until all are ready.
func (c *cluster) startFleet(ctx context.Context, up *upCmd, say func(string, ...any)) error {
	for _, n := range c.fleet.Nodes {
		raw, err := c.Token(n.Name)
		if err != nil {
			return fmt.Errorf("let node %s in: %w", n.Name, err)
		}
		s := sitter{layout: c.layout, fleet: c.fleet, node: n, token: raw, registries: up.RegistryHosts, containerd: up.ContainerdAddress, bounds: up.boundFlags}
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	for _, n := range c.fleet.Nodes {
		if err := c.waitReady(ctx, n.Name, func() bool { return c.answers(n.Name) }); err != nil {
			return err
		}
		if err := c.lead(c.view.Durable(), n); err != nil {
			return err
		}
		say("node %s ready at %s", n.Name, n.Address)
	}
	return nil
}

// lead makes the machine's route to a node's pods.
func (c *cluster) lead(v projections.State, n fleetNode) error {
	o, ok := v.Get(admit.NodeKey(n.Name))
	if !ok {
		return fmt.Errorf("node %s is gone", n.Name)
	}
	return leadTo(c.layout.wire(c.fleet).Lead, projections.As[*corev1.Node](o), n)
}

func leadTo(lead func(netip.Prefix, netip.Addr) error, o *corev1.Node, n fleetNode) error {
	pods, err := netip.ParsePrefix(o.Spec.PodCIDR)
	if err != nil {
		return fmt.Errorf("read pod network of node %s: %w", n.Name, err)
	}
	return lead(pods, n.Address)
}
