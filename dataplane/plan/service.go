package plan

import (
	"fmt"
	"net/netip"
	"slices"
)

// Proto is an IP protocol number; only [TCP] and [UDP] can be balanced.
type Proto uint8

// The protocols a frontend can have, by their IP protocol number.
const (
	TCP Proto = 6
	UDP Proto = 17
)

// String is the protocol as manifests spell it.
func (p Proto) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	}
	return fmt.Sprintf("proto-%d", uint8(p))
}

// Port is one port of a service with the backends that are ready for it.
type Port struct {
	Name      string
	Proto     Proto
	Port      uint16           // on the ClusterIP
	NodePort  uint16           // on every address of the node; 0 means none
	Endpoints []netip.AddrPort // ready IPv4 backends, in any order
}

// Service is what the network feed says about one service.
type Service struct {
	Key             string     // "namespace/name"
	ClusterIP       netip.Addr // zero for a headless service
	AffinitySeconds uint32     // how long a client stays with its backend; 0 means not at all
	Ports           []Port
}

// Frontend is an address that clients use. A zero Addr means "any address of the
// node": that is what a NodePort is.
type Frontend struct {
	Addr  netip.Addr
	Port  uint16
	Proto Proto
}

// String prints 10.96.0.1:80/TCP, or node:30000/TCP for a NodePort.
func (f Frontend) String() string {
	host := "node"
	if f.Addr.IsValid() {
		host = f.Addr.String()
	}
	return fmt.Sprintf("%s:%d/%s", host, f.Port, f.Proto)
}

// group is one entry of the tables: the frontends that share a backend set.
type group struct {
	fronts   []Frontend
	backends []Backend
	affinity uint32
}

func (g group) equal(o group) bool {
	return g.affinity == o.affinity && slices.Equal(g.fronts, o.fronts) && slices.Equal(g.backends, o.backends)
}

// groups are the table entries that a service needs. A headless service without
// node ports needs none: its names are answered with the backends themselves.
func groups(s Service) []group {
	out := make([]group, 0, len(s.Ports))
	for _, p := range s.Ports {
		g := group{affinity: s.AffinitySeconds}
		if s.ClusterIP.Is4() {
			g.fronts = append(g.fronts, Frontend{s.ClusterIP, p.Port, p.Proto})
		}
		if p.NodePort != 0 {
			g.fronts = append(g.fronts, Frontend{Port: p.NodePort, Proto: p.Proto})
		}
		if len(g.fronts) > 0 {
			g.backends = canonical(p.Endpoints)
			out = append(out, g)
		}
	}
	return out
}
