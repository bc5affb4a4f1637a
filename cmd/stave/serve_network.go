package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"

	"github.com/stave-run/stave/dataplane/claim"
	"github.com/stave-run/stave/dataplane/dns"
	"github.com/stave-run/stave/dataplane/ebpf"
	"github.com/stave-run/stave/dataplane/plan"
	"github.com/stave-run/stave/dataplane/podnet"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	nodeplan "github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// network is one node's dataplane: links, tables and names in one hand. It is
// the agent's node.Network and the feed's netfeed.Sink.
type network struct {
	links  *podnet.Net
	tables *ebpf.Dataplane
	names  *dns.Server
	door   *gateway     // to the Kubernetes API
	dns    plan.Service // the cluster DNS service: on each node its endpoint is the node's own server

	ports     *publicPorts
	claims    *claim.Claims
	misplaced *misplaced
	own       netip.Prefix   // this node's pods
	inside    []netip.Prefix // where pods keep their addresses, whichever other nodes there are
	node      string         // this one's name
	health    *healthPorts
	log       *slog.Logger
	isolation *isolation

	mu      sync.Mutex
	peers   map[events.Key]projections.NetNode
	behind  *behind
	waiting map[string]plan.Service // rows of which somebody else has a port
	rows    map[string]dns.Row      // of the name server
	noted   chan struct{}           // they have changed
}

// dnsPort is where names are asked for.
const dnsPort = 53

// openNetwork wires the node into its place.
func openNetwork(ctx context.Context, m *member, place wire.JoinReply) (*network, error) {
	o, err := networkPlace(m.layout, place)
	if err != nil {
		return nil, err
	}
	n := &network{peers: map[events.Key]projections.NetNode{}, own: o.links.PodCIDR, inside: o.tables.Inside, node: m.node, log: m.logger, behind: newBehind(), waiting: map[string]plan.Service{},
		rows: map[string]dns.Row{}, noted: make(chan struct{}, 1), health: newHealthPorts(m.logger)}
	if n.links, err = podnet.Open(o.links); err != nil {
		return nil, fmt.Errorf("wire pods: %w", err)
	}
	o.tables.Log = m.logger
	n.misplaced = &misplaced{taken: map[string]error{}, judge: func(r plan.Refusals) {
		if len(r) > 0 {
			m.logger.Warn("services are not in the node's tables", "err", r)
		}
		m.agent.Judge(servicesCondition(r))
	}}
	o.tables.Unplaced = n.misplaced.byTables
	if n.claims, err = claim.Open(m.layout.claims()); err != nil {
		return nil, fmt.Errorf("claim node ports: %w", err)
	}
	if n.tables, err = ebpf.Open(ctx, o.tables); err != nil {
		return nil, errors.Join(fmt.Errorf("load dataplane: %w", err), n.close())
	}
	if n.isolation, err = recallIsolation(filepath.Join(m.layout.links(), "policies.json")); err != nil {
		m.logger.Warn("network policies come from the cluster", "err", err)
	}
	if n.ports, err = readPublicPorts(filepath.Join(m.layout.links(), "host-ports"), n.links.Address); err != nil {
		return nil, errors.Join(fmt.Errorf("read host ports: %w", err), n.close())
	}
	at := namesAt(n.links.Gateway())
	if n.names, err = m.serveNames(ctx, at, place.Domain); err != nil {
		return nil, errors.Join(err, n.close())
	}
	if n.door, err = openGateway(ctx, n.links.Gateway(), m.client, m.credential.User, m.logger); err != nil {
		return nil, errors.Join(err, n.close())
	}
	go n.askAgain(ctx)
	go n.keep(ctx, "names", n.noted, func() error { return n.writeNames(m.layout.names()) })
	go n.keep(ctx, "policies", n.isolation.noted, n.writePolicies)
	go n.enforceAgain(ctx)
	n.dns = plan.Service{Key: "kube-system/kube-dns", ClusterIP: o.dns, Ports: []plan.Port{
		{Name: "dns", Proto: plan.UDP, Port: dnsPort, Endpoints: []netip.AddrPort{at}},
		{Name: "dns-tcp", Proto: plan.TCP, Port: dnsPort, Endpoints: []netip.AddrPort{at}},
	}}
	return n, nil
}

// networkOptions are the options of a node's network rooms.
type networkOptions struct {
	links  podnet.Options
	tables ebpf.Options
	dns    netip.Addr
}

func networkPlace(l layout, place wire.JoinReply) (networkOptions, error) {
	var o networkOptions
	pods, err := netip.ParsePrefix(place.PodCIDR)
	if err != nil {
		return o, fmt.Errorf("read pod network: %w", err)
	}
	services, err := netip.ParsePrefix(place.ServiceCIDR)
	if err != nil {
		return o, fmt.Errorf("read service network: %w", err)
	}
	if o.dns, err = netip.ParseAddr(place.DNS); err != nil {
		return o, fmt.Errorf("read DNS address: %w", err)
	}
	address, err := nodeAddress()
	if err != nil {
		return o, err
	}
	o.links = podnet.Options{Cluster: l.name, PodCIDR: pods, ServiceCIDR: services, StateDir: l.links()}
	if place.ClusterCIDR != "" { // a place that an older version kept has none
		if o.links.ClusterCIDR, err = netip.ParsePrefix(place.ClusterCIDR); err != nil {
			return o, fmt.Errorf("read network of all pods: %w", err)
		}
	}
	o.tables = ebpf.Options{Cluster: l.name, StateDir: l.run, NodeIP: address, Inside: []netip.Prefix{pods}}
	return o, nil
}

// Reserve implements node.Network.
func (n *network) Reserve(_ context.Context, podUID string) (netip.Addr, error) {
	return n.links.Reserve(podUID)
}

// Attach implements node.Network.
func (n *network) Attach(ctx context.Context, podUID, netnsPath string) (netip.Addr, error) {
	ip, err := n.links.Attach(ctx, podUID, netnsPath)
	if err != nil {
		return ip, err
	}
	if err := n.tables.AttachPod(n.links.HostLink(podUID), ip, netnsPath); err != nil {
		return ip, fmt.Errorf("join pod to the dataplane: %w", err)
	}
	if err := n.isolate(ctx); err != nil {
		return ip, fmt.Errorf("lay network policies on pod: %w", err)
	}
	return ip, nil
}

// Publish implements node.Network.
func (n *network) Publish(_ context.Context, podUID string, ports []nodeplan.HostPort) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	gone, err := n.ports.keep(podUID, ports)
	if err != nil {
		return err
	}
	rows, err := n.claimed(n.ports.of(podUID), gone)
	if err != nil {
		return err
	}
	taken := n.misplaced.of(rows)
	if err = errors.Join(taken, n.tables.Change(rows, gone)); err == nil || len(ports) == 0 {
		return err
	}
	// A port that a service has is not taken over by the next one who writes all tables.
	gone, forget := n.ports.keep(podUID, nil)
	_, free := n.claimed(nil, gone)
	return errors.Join(err, forget, free, n.tables.Change(nil, gone))
}

// Detach implements node.Network.
func (n *network) Detach(ctx context.Context, podUID string) error {
	if err := n.Publish(ctx, podUID, nil); err != nil {
		return fmt.Errorf("close host ports: %w", err)
	}
	if ip, ok := n.links.Address(podUID); ok {
		if err := n.tables.DetachPod(ip); err != nil {
			return fmt.Errorf("take pod from the dataplane: %w", err)
		}
	}
	if err := n.links.Detach(ctx, podUID); err != nil {
		return err
	}
	n.isolation.forget(podUID)
	return nil
}

// Withdrawn implements node.Network.
func (n *network) Withdrawn(ctx context.Context, podUID string) error {
	ip, ok := n.links.Address(podUID)
	if !ok {
		return nil
	}
	return n.behind.nobody(ctx, ip)
}

// Replace implements netfeed.Sink. Policies and services do not wait for each other's failures.
func (n *network) Replace(set projections.NetSet) error {
	return errors.Join(n.replacePolicies(set.Policies), n.replaceServices(set))
}

func (n *network) replaceServices(set projections.NetSet) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.peers)
	if err := n.changePeers(set.Nodes, nil); err != nil {
		return err
	}
	want := append([]plan.Service{n.dns}, n.ports.all()...)
	n.health.forgetAll()
	rows, names, err := n.serviceRows(set.Services)
	if err != nil {
		return err
	}
	want = append(want, rows...)
	n.names.Update(names)
	clear(n.rows)
	n.noteNames(names, nil)
	if want, err = n.claimedAll(want); err != nil {
		return err
	}
	if err := placed(n.tables.Apply(want)); err != nil {
		return err
	}
	n.behind.replaced(set.Services)
	return nil
}

// Change implements netfeed.Sink.
func (n *network) Change(m projections.FeedMessage) error {
	return errors.Join(n.changePolicies(m.Policies, m.Dropped), n.changeServices(m))
}

func (n *network) changeServices(m projections.FeedMessage) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(m.Nodes) > 0 || anyNode(m.Dropped) {
		if err := n.changePeers(m.Nodes, m.Dropped); err != nil {
			return err
		}
	}
	rows, names, err := n.serviceRows(m.Services)
	if err != nil {
		return err
	}
	var gone []string
	for _, k := range m.Dropped {
		if k.Resource == events.Services {
			gone = append(gone, serviceName(k))
		}
	}
	n.names.Change(names, gone)
	n.noteNames(names, gone)
	n.health.forget(gone)
	if rows, err = n.claimed(rows, gone); err != nil {
		return err
	}
	if err := placed(n.tables.Change(rows, gone)); err != nil {
		return err
	}
	n.behind.written(m.Services, m.Dropped)
	return nil
}

func serviceName(k events.Key) string { return k.Namespace + "/" + k.Name }

// serviceRows are services as the tables and the name server know them.
func (n *network) serviceRows(all []projections.NetService) ([]plan.Service, []dns.Row, error) {
	rows, names := make([]plan.Service, 0, len(all)), make([]dns.Row, 0, len(all))
	for _, s := range all {
		row, err := tableRow(s, n.node)
		if err != nil {
			return nil, nil, err
		}
		n.health.note(s, n.node)
		rows, names = append(rows, n.door.leads(row)), append(names, nameRow(s))
	}
	return rows, names, nil
}

// balanced are the protocols that the tables know.
var balanced = map[string]plan.Proto{"TCP": plan.TCP, "UDP": plan.UDP}

// tableRow is a service as the tables of a node know it. One that another proxy serves leads nowhere here.
func tableRow(s projections.NetService, node string) (plan.Service, error) {
	if s.Others {
		return plan.Service{Key: serviceName(s.Key)}, nil
	}
	p := plan.Service{Key: serviceName(s.Key), AffinitySeconds: uint32(s.AffinitySeconds), InternalLocal: s.Kept.Internal, ExternalLocal: s.Kept.External}
	var err error
	if s.ClusterIP != "" {
		if p.ClusterIP, err = netip.ParseAddr(s.ClusterIP); err != nil {
			return p, fmt.Errorf("read cluster IP of %s: %w", s.Key, err)
		}
	}
	for _, b := range s.Balancers {
		a, err := netip.ParseAddr(b)
		if err != nil {
			return p, fmt.Errorf("read load balancer of %s: %w", s.Key, err)
		}
		p.Outer = append(p.Outer, a)
	}
	for _, port := range s.Ports {
		proto, ok := balanced[port.Protocol]
		if !ok {
			continue // admission warned: nothing balances SCTP
		}
		all, here := port.LeadsOn(node, s.Kept.Rather)
		endpoints, err := addresses(all)
		local, localErr := addresses(here)
		if err = errors.Join(err, localErr); err != nil {
			return p, fmt.Errorf("read endpoints of %s: %w", s.Key, err)
		}
		p.Ports = append(p.Ports, plan.Port{Name: port.Name, Proto: proto, Port: uint16(port.Port), NodePort: uint16(port.NodePort), Endpoints: endpoints, Local: local})
	}
	return p, nil
}

func addresses(in []string) ([]netip.AddrPort, error) {
	out := make([]netip.AddrPort, 0, len(in))
	for _, s := range in {
		a, err := netip.ParseAddrPort(s)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// nameRow is a service as the name server knows it; the endpoints have names in a headless one alone.
func nameRow(s projections.NetService) dns.Row {
	r := dns.Row{Name: s.Key.Name, Namespace: s.Key.Namespace, ExternalName: s.ExternalName}
	r.ClusterIP, _ = netip.ParseAddr(s.ClusterIP) // none: headless
	for _, p := range s.Ports {
		port := dns.Port{Name: p.Name, Proto: p.Protocol, Port: uint16(p.Port)}
		if !r.ClusterIP.IsValid() {
			port.Endpoints, _ = addresses(p.Endpoints) // tableRow has read them before
		}
		r.Ports = append(r.Ports, port)
	}
	if r.ClusterIP.IsValid() {
		return r
	}
	for _, h := range s.Hosts {
		if ip, err := netip.ParseAddr(h.IP); err == nil {
			r.Hosts = append(r.Hosts, dns.Host{Addr: ip, Hostname: h.Hostname})
		}
	}
	slices.SortFunc(r.Hosts, func(a, b dns.Host) int { return a.Addr.Compare(b.Addr) })
	return r
}

// close lets go of the node; pods and services stay wired.
func (n *network) close() error {
	var errs []error
	if n.door != nil {
		errs = append(errs, n.door.close())
	}
	if n.names != nil {
		errs = append(errs, n.names.Close())
	}
	if n.tables != nil {
		errs = append(errs, n.tables.Close())
	}
	errs = append(errs, n.health.close())
	if n.claims != nil {
		errs = append(errs, n.claims.Close())
	}
	if n.links != nil {
		n.links.Close()
	}
	return errors.Join(errs...)
}
