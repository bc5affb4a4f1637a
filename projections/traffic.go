package projections

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// reach fills in how far a service's traffic goes, and where else than on its own address it comes in.
func (n *NetService) reach(o *Object, spec *corev1.ServiceSpec) {
	n.Kept = Keeps(spec)
	n.Others = othersCarry(As[*corev1.Service](o).Labels)
	if spec.Type != corev1.ServiceTypeLoadBalancer {
		return
	}
	n.HealthPort = spec.HealthCheckNodePort
	var st corev1.ServiceStatus
	if len(o.Status) == 0 || json.Unmarshal(o.Status, &st) != nil {
		return // admission lets in what can be read
	}
	for _, in := range st.LoadBalancer.Ingress {
		// A balancer that is a proxy is to be asked itself, also by pods.
		if a, err := netip.ParseAddr(in.IP); err == nil && a.Is4() && of(in.IPMode) != corev1.LoadBalancerIPModeProxy {
			n.Balancers = append(n.Balancers, a.String())
		}
	}
}

// proxyName names the proxy that is to carry a service's traffic, in the place of those of the nodes.
const proxyName = "service.kubernetes.io/service-proxy-name"

// othersCarry tells of a service that the nodes' own proxies leave alone, as kube-proxy does: by its label.
func othersCarry(labels map[string]string) bool {
	_, named := labels[proxyName]
	_, headless := labels[corev1.IsHeadlessService]
	return named || headless
}

// Keeps is which of a service's traffic is kept on the node where it is. A headless one carries none.
func Keeps(spec *corev1.ServiceSpec) Kept {
	if spec.ClusterIP == corev1.ClusterIPNone || spec.Type == corev1.ServiceTypeExternalName {
		return Kept{}
	}
	return Kept{
		Internal: of(spec.InternalTrafficPolicy) == corev1.ServiceInternalTrafficPolicyLocal,
		External: spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
		Rather:   of(spec.TrafficDistribution) == corev1.ServiceTrafficDistributionPreferSameNode,
	}
}

// endpoint is one backend of a port: where it is, and whether it only ends what it has begun.
type endpoint struct {
	at, node string
	draining bool
}

// netPort is a port with what is behind it; placed has it told by node, too.
func netPort(p corev1.ServicePort, backends []Backend, written []Written, placed bool) NetPort {
	out := NetPort{Name: p.Name, Protocol: string(protocol(p.Protocol)), Port: p.Port, NodePort: p.NodePort, Endpoints: []string{}}
	var all []endpoint
	for _, b := range backends {
		if port, ok := b.targetPort(p); ok && b.Serving {
			all = append(all, endpoint{hostPort(b.Pod.IP, port), b.Pod.Node, !b.Ready})
		}
	}
	for _, w := range written {
		all = append(all, w.behind(p)...)
	}
	for _, e := range all {
		if !e.draining {
			out.Endpoints = append(out.Endpoints, e.at)
		}
	}
	if out.Endpoints = ordered(out.Endpoints); len(out.Endpoints) == 0 {
		out.Draining = draining(all)
	}
	if placed {
		out.Local = byNode(all)
	}
	return out
}

func ordered(in []string) []string {
	slices.Sort(in)
	return slices.Compact(in)
}

func draining(all []endpoint) []string {
	var out []string
	for _, e := range all {
		if e.draining {
			out = append(out, e.at)
		}
	}
	return ordered(out)
}

// byNode are the ready endpoints of each node, or those that drain where it has none else. One of which
// nobody says where it is, is nowhere near.
func byNode(all []endpoint) map[string][]string {
	ready, ending := map[string][]string{}, map[string][]string{}
	for _, e := range all {
		switch {
		case e.node == "":
		case e.draining:
			ending[e.node] = append(ending[e.node], e.at)
		default:
			ready[e.node] = append(ready[e.node], e.at)
		}
	}
	for node, at := range ending {
		if len(ready[node]) == 0 {
			ready[node] = at
		}
	}
	for node, at := range ready {
		ready[node] = ordered(at)
	}
	return ready
}

// LeadsOn are the backends of a port for clients on a node: all that there are, or rather those of the node where it has
// ready ones; and those of the node alone, which clients get whose traffic is kept there.
func (p NetPort) LeadsOn(node string, rather bool) (all, local []string) {
	all, local = p.Endpoints, p.Local[node]
	switch {
	case len(all) == 0:
		all = p.Draining
	case rather && slices.ContainsFunc(local, p.ready):
		all = local
	}
	return all, local
}

// ready tells whether a backend of a port takes new connections.
func (p NetPort) ready(at string) bool {
	_, ok := slices.BinarySearch(p.Endpoints, at)
	return ok
}

// ReadyOn counts the addresses of a service's ready endpoints on a node, as far as it matters to the service where they are.
func (n NetService) ReadyOn(node string) int {
	seen := map[string]bool{}
	for _, p := range n.Ports {
		for _, at := range p.Local[node] {
			if p.ready(at) {
				host, _, _ := strings.Cut(at, ":")
				seen[host] = true
			}
		}
	}
	return len(seen)
}

// NodeShare is how many addresses of a service's ready endpoints are on a node.
type NodeShare struct {
	Node  string
	Ready int
}

// String is the node's name and the count, as people are told: "n1 (2)".
func (n NodeShare) String() string { return fmt.Sprintf("%s (%d)", n.Node, n.Ready) }

// Spread is on which nodes a service has ready endpoints, and on which it has none, by name. It says nothing of a service
// to which it does not matter where they are.
func Spread(s State, n NetService) (on []NodeShare, none []string) {
	if !n.Kept.any() {
		return nil, nil
	}
	for o := range s.List(events.Nodes, "") {
		if ready := n.ReadyOn(o.Key.Name); ready > 0 {
			on = append(on, NodeShare{o.Key.Name, ready})
		} else {
			none = append(none, o.Key.Name)
		}
	}
	return on, none
}
