package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/dataplane/netdump"
	"github.com/stave-run/stave/dataplane/netfeed"
	"github.com/stave-run/stave/dataplane/podnet"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node"
	"github.com/stave-run/stave/node/containerd"
	"github.com/stave-run/stave/projections"
)

// startNode makes this machine a node of the cluster. The agent speaks to the
// control plane over the wires alone, as it would from another machine.
func (c *cluster) startNode(ctx context.Context, up *upCmd, say func(string, ...any)) error {
	client, err := jetstream.Dial(ctx, jetstream.DialOptions{URL: c.server.Address(), Credential: c.agent})
	if err != nil {
		return fmt.Errorf("connect node: %w", err)
	}
	c.onClose(func() error { client.Close(); return nil })
	containers, err := c.openRuntime(ctx, up)
	if err != nil {
		return fmt.Errorf("start container runtime: %w", err)
	}
	c.onClose(containers.Close)
	say("container runtime ready")
	address, err := nodeAddress()
	if err != nil {
		return err
	}
	agent, err := node.Open(ctx, node.Options{Name: c.name, Cluster: c.layout.name, User: c.agent.User, DataDir: c.layout.node(), StateDir: c.layout.pods(),
		Wires: client, Log: client, Runtime: containers, Logger: c.logger,
		Facts: events.NodeFacts{Addresses: []string{address.String()}, AgentVersion: version},
		Network: func(ctx context.Context, place wire.JoinReply) (node.Network, error) {
			return c.joinNetwork(ctx, client, place)
		}})
	if err != nil {
		return fmt.Errorf("open node: %w", err)
	}
	c.onClose(agent.Close)
	c.background("node", agent.Run)
	return c.waitReady(ctx, c.name, say)
}

// openRuntime starts the runtime where the cluster's containers are: those that
// run in a containerd outside are found there also when nobody names it again.
func (c *cluster) openRuntime(ctx context.Context, up *upCmd) (*containerd.Runtime, error) {
	traces, _, err := c.layout.left()
	if err != nil {
		return nil, err
	}
	traces.Data, traces.Containerd = c.layout.data, cmp.Or(up.ContainerdAddress, traces.Containerd)
	o := c.layout.runtimeOptions(traces)
	o.RegistryHosts, o.Log = up.RegistryHosts, c.logger
	r, err := containerd.Open(ctx, o)
	if err != nil {
		return nil, err // and no footprint: a wrong address must not be in the way of `down`
	}
	if err := c.layout.leave(traces); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// joinNetwork makes the node's network, once its place in the cluster is known.
func (c *cluster) joinNetwork(ctx context.Context, client *jetstream.Client, place wire.JoinReply) (node.Network, error) {
	if err := c.layout.leaveNetworks(place); err != nil {
		return nil, err
	}
	n, err := openNetwork(ctx, c.layout, place, c.logger)
	if err != nil {
		return nil, err
	}
	c.network.Store(n)
	go func() {
		err := netfeed.Run(ctx, netfeed.Options{Wires: client, User: c.agent.User, Sink: n, Logger: c.logger})
		if err != nil && ctx.Err() == nil {
			c.fail(fmt.Errorf("follow services: %w", err))
		}
	}()
	return n, nil
}

// waitReady waits until the node's first heartbeat is a durable fact.
func (c *cluster) waitReady(ctx context.Context, name string, say func(string, ...any)) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if n, ok := c.view.Durable().Node(name); ok && n.Report.Ready && c.network.Load() != nil {
			c.chose()
			say("node %s ready", name)
			return nil
		}
		select {
		case err := <-c.failed:
			return err
		case <-ctx.Done():
			return fmt.Errorf("node %s did not become ready: %w", name, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// nodeName is this machine's name in the cluster.
func nodeName(wanted string) (string, error) {
	if wanted != "" {
		return strings.ToLower(wanted), nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("read host name: %w", err)
	}
	return strings.ToLower(host), nil
}

// nodeAddress is the address under which this machine is known: the one on the
// link of its default route, else any global one, else loopback's.
func nodeAddress() (netip.Addr, error) {
	routes, err := netdump.Whole(func() ([]netlink.Route, error) { return netlink.RouteList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list routes: %w", err)
	}
	links, err := netdump.Whole(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_V4) })
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list addresses: %w", err)
	}
	uplink := -1
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() {
			uplink = r.LinkIndex
			break
		}
	}
	best := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	for _, a := range links {
		ip, ok := netip.AddrFromSlice(a.IP.To4())
		switch {
		case !ok || !ip.IsGlobalUnicast() || strings.HasPrefix(a.Label, "sv"):
		case a.LinkIndex == uplink:
			return ip, nil
		case best.IsLoopback():
			best = ip
		}
	}
	return best, nil
}

// settings are what a new cluster is given; an old one has its own.
func (c *cluster) settings(ctx context.Context, up *upCmd) (projections.Cluster, error) {
	if old := c.view.Durable().Cluster(); old.Name != "" {
		return old, nil
	}
	if err := c.choosing(ctx); err != nil {
		return projections.Cluster{}, err
	}
	pods, services, err := podnet.FreeCIDRs("")
	if err != nil {
		return projections.Cluster{}, fmt.Errorf("choose networks: %w\nhelp: name them with --pod-cidr and --service-cidr", err)
	}
	for _, f := range []struct {
		flag, value string
		into        *netip.Prefix
	}{{"--pod-cidr", up.PodCIDR, &pods}, {"--service-cidr", up.ServiceCIDR, &services}} {
		if f.value == "" {
			continue
		}
		if *f.into, err = netip.ParsePrefix(f.value); err != nil || !f.into.Addr().Is4() {
			return projections.Cluster{}, fmt.Errorf("%s %q: want an IPv4 network such as 10.244.0.0/16", f.flag, f.value)
		}
		*f.into = f.into.Masked()
	}
	return projections.Cluster{Name: c.layout.name, PodCIDR: pods.String(), ServiceCIDR: services.String(), DNS: dnsAddress(services).String(), Domain: "cluster.local"}, nil
}

// choosing makes the clusters that start on this machine choose their networks
// one after another: what one has chosen shows once its node has its routes.
// What they lock is the directory of their locks; it is there as long as they are.
func (c *cluster) choosing(ctx context.Context) error {
	f, err := os.Open(runDir)
	if err != nil {
		return fmt.Errorf("lock networks: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			c.chosen = f
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("lock networks: %w", err), ctx.Err(), f.Close())
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// chose lets the next cluster choose.
func (c *cluster) chose() {
	if c.chosen != nil {
		_ = c.chosen.Close() // it only held the lock
		c.chosen = nil
	}
}

// dnsAddress is the tenth address of the service network, as by old custom.
func dnsAddress(services netip.Prefix) netip.Addr {
	a := services.Addr()
	for range 10 {
		a = a.Next()
	}
	return a
}
