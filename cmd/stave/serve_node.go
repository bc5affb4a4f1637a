package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/dataplane/podnet"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// startNode makes the nodes of the cluster that are on this machine: itself, or
// some in network namespaces of their own.
func (c *cluster) startNode(ctx context.Context, up *upCmd, say func(string, ...any)) error {
	if len(c.fleet.Nodes) > 0 {
		return c.startFleet(ctx, up, say)
	}
	m, err := startMember(ctx, membership{layout: c.layout, cluster: c.layout.name, node: c.name, server: c.server.Address(), credential: c.agent,
		registries: up.RegistryHosts, containerd: up.ContainerdAddress, bounds: up.boundFlags, recalled: c.recalled}, c.rooms, say)
	if err != nil {
		return err
	}
	c.member = m
	if err := c.waitReady(ctx, c.name, func() bool { return m.network.Load() != nil && c.answers(c.name) }); err != nil {
		return err
	}
	say("node %s ready", c.name)
	return nil
}

// waitReady waits until the node's first heartbeat is a durable fact, and it is wired.
func (c *cluster) waitReady(ctx context.Context, name string, wired func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		if n, ok := c.view.Durable().Node(name); ok && n.Report.Ready && wired() {
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

// answers tells whether a node's agent is there for who asks for a pod's logs or wants into it. One that outlived the
// server is ready by the log, and connects again within a second.
func (c *cluster) answers(node string) bool {
	return c.server.Wires().Listens(wire.NodeSubject(jetstream.WiresUser, node, wire.NodeExec))
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

// settings are what a new cluster is given; an old one has its own. Either way
// its networks are written down for others to see.
func (c *cluster) settings(ctx context.Context, up *upCmd, say func(string, ...any)) (projections.Cluster, error) {
	s := c.view.Durable().Cluster()
	if s.Name == "" {
		if err := c.choosing(ctx); err != nil {
			return s, err
		}
	}
	others, err := c.layout.otherNetworks()
	if err != nil {
		return s, err
	}
	if s.Name == "" {
		if s, err = c.newSettings(up, prefixes(others)); err != nil {
			return s, err
		}
	}
	own, err := networksOf(s, c.fleet)
	if err != nil {
		return s, err
	}
	if err := c.layout.apart(others, own, say); err != nil {
		return s, err
	}
	if err := c.layout.keepNetworks(own); err != nil {
		return s, err
	}
	c.chose()
	return s, nil
}

func (c *cluster) newSettings(up *upCmd, kept []netip.Prefix) (projections.Cluster, error) {
	pods, services, err := podnet.FreeCIDRs("", kept...)
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
// one after another: what one has chosen shows to the next once it is written
// down, long before its node has its routes.
// What they lock is the directory of their locks; it is there as long as they are.
func (c *cluster) choosing(ctx context.Context) error {
	if c.chosen != nil {
		return nil
	}
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
