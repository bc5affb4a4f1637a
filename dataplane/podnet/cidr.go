package podnet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// ErrNoCIDR means that every network that could be chosen overlaps one in use.
var ErrNoCIDR = errors.New("no free network")

// FreeCIDRs chooses the pod and the service network of a new cluster, a /16 each: the
// first that overlap nothing the node has a route to or an address in. Other clusters on
// the machine are seen by their routes, once they are open; two that choose at the same
// moment have to be kept apart by the caller, who also knows of networks that are kept for
// somebody. netNS is as in [Options].
func FreeCIDRs(netNS string, kept ...netip.Prefix) (pods, services netip.Prefix, err error) {
	h, err := nodeHandle(Options{NetNS: netNS})
	if err != nil {
		return pods, services, err
	}
	defer h.Close()
	used, err := usedNetworks(h)
	if err != nil {
		return pods, services, err
	}
	used = append(used, kept...)
	// The usual places first, so that a lone cluster looks familiar.
	if pods, err = firstFree(244, used); err != nil {
		return pods, services, fmt.Errorf("choose pod network: %w", err)
	}
	if services, err = firstFree(96, append(used, pods)); err != nil {
		return pods, services, fmt.Errorf("choose service network: %w", err)
	}
	return pods, services, nil
}

// FreeNetwork chooses a network of the given size for links between nodes, in the same way.
func FreeNetwork(netNS string, bits int, kept ...netip.Prefix) (netip.Prefix, error) {
	h, err := nodeHandle(Options{NetNS: netNS})
	if err != nil {
		return netip.Prefix{}, err
	}
	defer h.Close()
	used, err := usedNetworks(h)
	if err != nil {
		return netip.Prefix{}, err
	}
	// Apart from where pods and services begin to look.
	p, err := firstFree(176, append(used, kept...))
	if err != nil {
		return p, fmt.Errorf("choose network between nodes: %w", err)
	}
	return netip.PrefixFrom(p.Addr(), bits), nil
}

// firstFree goes around the networks 10.n.0.0/16, from the given one.
func firstFree(from int, used []netip.Prefix) (netip.Prefix, error) {
	for i := range 256 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(from + i)}), 16)
		if !overlapsAny(p, used) {
			return p, nil
		}
	}
	return netip.Prefix{}, ErrNoCIDR
}

func overlapsAny(p netip.Prefix, used []netip.Prefix) bool {
	for _, u := range used {
		if p.Overlaps(u) {
			return true
		}
	}
	return false
}

// usedNetworks are the destinations of all routes, of every table and type, but the
// default routes.
func usedNetworks(h *netlink.Handle) ([]netip.Prefix, error) {
	routes, err := netdump.Routes(h, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var out []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		ip, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		if bits, _ := r.Dst.Mask.Size(); ok && bits > 0 {
			out = append(out, netip.PrefixFrom(ip, bits))
		}
	}
	return out, nil
}
