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
	Endpoints []netip.AddrPort // IPv4 backends, in any order
	Local     []netip.AddrPort // those on this node; read where one of the service's policies asks for them
}

// Service is what the network feed says about one service.
type Service struct {
	Key             string       // "namespace/name"
	ClusterIP       netip.Addr   // zero for a headless service
	Outer           []netip.Addr // its load balancers' addresses: for who is outside as for who is inside
	AffinitySeconds uint32       // how long a client stays with its backend; 0 means not at all
	// InternalLocal makes the ClusterIP lead to backends on this node alone. ExternalLocal does so with node ports and
	// outer addresses, for who comes from outside: from pods and the node itself those lead to all.
	InternalLocal, ExternalLocal bool
	Ports                        []Port
}

// Frontend is an address that clients use. A zero Addr means "any address of the
// node": that is what a NodePort is.
type Frontend struct {
	Addr    netip.Addr
	Port    uint16
	Proto   Proto
	Outside bool // for packets from outside, which look here first
}

// String prints 10.96.0.1:80/TCP, or node:30000/TCP for a NodePort; one for packets from outside ends in "from outside".
func (f Frontend) String() string {
	host, from := "node", ""
	if f.Addr.IsValid() {
		host = f.Addr.String()
	}
	if f.Outside {
		from = " from outside"
	}
	return fmt.Sprintf("%s:%d/%s%s", host, f.Port, f.Proto, from)
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
		var all, local []Frontend
		if s.ClusterIP.Is4() {
			all = append(all, Frontend{Addr: s.ClusterIP, Port: p.Port, Proto: p.Proto})
		}
		if s.InternalLocal {
			all, local = nil, all
		}
		inside, outside := outer(s, p)
		all = append(all, inside...)
		if s.ExternalLocal {
			local = append(local, outside...)
		} else {
			all = append(all, outside...)
		}
		out = entered(out, s, all, p.Endpoints)
		out = entered(out, s, local, p.Local)
	}
	return out
}

// outer are a port's frontends that are there for clients outside of the cluster: as those inside see them, and as those
// outside do. A node port needs the second only where the two differ.
func outer(s Service, p Port) (inside, outside []Frontend) {
	if p.NodePort != 0 {
		f := Frontend{Port: p.NodePort, Proto: p.Proto}
		inside = append(inside, f)
		if f.Outside = true; s.ExternalLocal {
			outside = append(outside, f)
		}
	}
	for _, a := range s.Outer {
		f := Frontend{Addr: a, Port: p.Port, Proto: p.Proto}
		inside = append(inside, f)
		f.Outside = true
		outside = append(outside, f)
	}
	return inside, outside
}

func entered(to []group, s Service, fronts []Frontend, backends []netip.AddrPort) []group {
	if len(fronts) == 0 {
		return to
	}
	return append(to, group{fronts: fronts, backends: canonical(backends), affinity: s.AffinitySeconds})
}
