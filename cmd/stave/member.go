package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/dataplane/dns"
	"github.com/stave-run/stave/dataplane/lan"
	"github.com/stave-run/stave/dataplane/netdump"
	"github.com/stave-run/stave/dataplane/netfeed"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node"
	"github.com/stave-run/stave/node/containerd"
	"github.com/stave-run/stave/node/plan"
)

// membership is what a process must know to be a node.
type membership struct {
	layout     layout // where the node keeps its things
	cluster    string
	node       string
	server     string // nats://address:port
	credential jetstream.Credential
	registries string // directory of registry mirrors
	containerd string // socket of one outside; empty embeds one
	bounds     boundFlags
	outside    string      // pinned namespace of the machine, when the node's is another
	recalled   *dns.Server // answers names already; nil when none does
}

// member is this process as a node.
type member struct {
	membership
	*rooms
	client  *jetstream.Client
	agent   *node.Agent
	say     func(string, ...any)
	network atomic.Pointer[network] // once the node has joined
}

// startMember makes this process, in the network namespace that it is in, a node.
// It speaks to the control plane over the wires alone.
func startMember(ctx context.Context, m membership, r *rooms, say func(string, ...any)) (*member, error) {
	n := &member{membership: m, rooms: r, say: say}
	n.recall()
	var err error
	if n.client, err = jetstream.Dial(ctx, jetstream.DialOptions{URL: m.server, Credential: m.credential}); err != nil {
		return nil, fmt.Errorf("connect node: %w", err)
	}
	r.onClose(func() error { n.client.Close(); return nil })
	containers, err := n.openRuntime(ctx)
	if err != nil {
		return nil, fmt.Errorf("start container runtime: %w", err)
	}
	r.onClose(containers.Close)
	say("container runtime ready")
	facts, err := n.facts()
	if err != nil {
		return nil, err
	}
	thresholds, err := plan.ParseThresholds(m.bounds.EvictionHard)
	if err != nil {
		return nil, err
	}
	n.agent, err = node.Open(ctx, node.Options{Name: m.node, Cluster: m.cluster, User: m.credential.User, DataDir: m.layout.node(), StateDir: m.layout.pods(),
		ImagesDir: m.layout.containers(), Thresholds: thresholds, PressureHold: m.bounds.PressureHold,
		Wires: n.client, Log: n.client, Runtime: containers, Logger: r.logger, Facts: facts, Network: n.joinNetwork})
	if err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	r.onClose(n.agent.Close)
	r.background("node", n.agent.Run)
	if n.outside != "" {
		r.background("share", n.keepShare)
	}
	return n, nil
}

// facts are what the node says of itself that it cannot find out. One with a
// namespace of its own has its name as host name, for that must tell nodes apart.
func (n *member) facts() (events.NodeFacts, error) {
	address, err := nodeAddress()
	if err != nil {
		return events.NodeFacts{}, err
	}
	f := events.NodeFacts{Addresses: []string{address.String()}, AgentVersion: version, MaxProcesses: n.bounds.MaxProcesses}
	f.Capacity = node.Capacity(n.bounds.MaxPods)
	if n.outside != "" {
		f.Hostname = n.node
		f.Allocatable = share(f.Capacity, n.siblings())
	}
	return f, nil
}

// dial is how the node reaches registries and name servers.
func (n *member) dial() func(ctx context.Context, network, address string) (net.Conn, error) {
	if n.outside == "" {
		return nil
	}
	return lan.Dial(n.outside)
}

// openRuntime starts the runtime where the node's containers are: those that
// run in a containerd outside are found there also when nobody names it again.
func (n *member) openRuntime(ctx context.Context) (*containerd.Runtime, error) {
	traces, _, err := n.layout.left()
	if err != nil {
		return nil, err
	}
	traces.Data, traces.Containerd = n.layout.data, cmp.Or(n.containerd, traces.Containerd)
	o := n.layout.runtimeOptions(traces)
	o.RegistryHosts, o.Log, o.Dial = n.registries, n.logger, n.dial()
	r, err := containerd.Open(ctx, o)
	if err != nil {
		return nil, err // and no footprint: a wrong address must not be in the way of `down`
	}
	if err := n.layout.leave(traces); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// joinNetwork makes the node's network, once its place in the cluster is known.
func (n *member) joinNetwork(ctx context.Context, place wire.JoinReply) (node.Network, error) {
	part, err := netip.ParsePrefix(place.PodCIDR)
	if err == nil {
		err = n.bounds.fits(part)
	}
	if err != nil {
		return nil, err
	}
	if err := n.layout.leaveNetworks(place); err != nil {
		return nil, err
	}
	w, err := openNetwork(ctx, n, place)
	if err != nil {
		return nil, err
	}
	n.watchProxies(ctx, w)
	n.network.Store(w)
	go func() {
		err := netfeed.Run(ctx, netfeed.Options{Wires: n.client, User: n.credential.User, Sink: w, Logger: n.logger})
		if err != nil && ctx.Err() == nil {
			n.fail(fmt.Errorf("follow services: %w", err))
		}
	}()
	return w, nil
}

// stop ends the node's work; what runs, runs on.
func (n *member) stop() error {
	err := n.close()
	if w := n.network.Load(); w != nil {
		err = errors.Join(err, w.close())
	}
	return err
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
		case !ok || !ip.IsGlobalUnicast() || ours(a.Label):
		case a.LinkIndex == uplink:
			return ip, nil
		case best.IsLoopback():
			best = ip
		}
	}
	return best, nil
}

// ours tells links that we make: pods' and those between nodes of one machine.
func ours(link string) bool {
	return strings.HasPrefix(link, "sv") || strings.HasPrefix(link, "sb") || strings.HasPrefix(link, "sn")
}
