package plan

import (
	"net/netip"
	"slices"
)

// Backend is an IPv4 address and a port as one number, address × 2¹⁶ + port: ordered as those
// are. It is a quarter of a [netip.AddrPort] and holds no pointer, which tells where a node
// knows a million of them.
type Backend uint64

// BackendOf is an address as a backend, and false for what is not IPv4: the tables have no room for it.
func BackendOf(e netip.AddrPort) (Backend, bool) {
	a := e.Addr().Unmap()
	if !a.Is4() {
		return 0, false
	}
	ip := a.As4()
	return Backend(ip[0])<<40 | Backend(ip[1])<<32 | Backend(ip[2])<<24 | Backend(ip[3])<<16 | Backend(e.Port()), true
}

// AddrPort is the backend as everybody else knows it.
func (b Backend) AddrPort() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(b >> 40), byte(b >> 32), byte(b >> 24), byte(b >> 16)}), uint16(b))
}

// String prints 10.1.0.2:80.
func (b Backend) String() string { return b.AddrPort().String() }

// canonical sorts and deduplicates, so that an order that means nothing never
// causes a write, and leaves out what is not IPv4.
func canonical(in []netip.AddrPort) []Backend {
	out, sorted := make([]Backend, 0, len(in)), true
	for _, e := range in {
		b, ok := BackendOf(e)
		if !ok {
			continue
		}
		sorted = sorted && (len(out) == 0 || out[len(out)-1] < b)
		out = append(out, b)
	}
	if sorted {
		return out
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func addrPorts(in []Backend) []netip.AddrPort {
	out := make([]netip.AddrPort, len(in))
	for i, b := range in {
		out[i] = b.AddrPort()
	}
	return out
}
