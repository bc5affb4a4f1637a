package podnet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// Peer is another node: its pods' network, and its address on a link that this
// node shares with it.
type Peer struct {
	PodCIDR netip.Prefix
	Via     netip.Addr
}

// SetPeers makes the routes to other nodes' pods those of the given nodes. One
// that can't be reached over a common link keeps none of the others from theirs.
func (n *Net) SetPeers(peers []Peer) error {
	want := map[netip.Prefix]bool{}
	var errs []error
	for _, p := range peers {
		want[p.PodCIDR] = true
		r := netlink.Route{Dst: ipNet(p.PodCIDR.Masked()), Gw: p.Via.AsSlice(), Protocol: routeProtocol}
		if err := n.node.RouteReplace(&r); err != nil {
			errs = append(errs, fmt.Errorf("add route to %s by %s: %w", p.PodCIDR, p.Via, err))
		}
	}
	return errors.Join(append(errs, dropPeers(n.node, n.opts, want))...)
}

// dropPeers removes the routes to other nodes' pods but those that are wanted.
func dropPeers(h *netlink.Handle, o Options, want map[netip.Prefix]bool) error {
	if !o.ClusterCIDR.IsValid() {
		return nil
	}
	all, err := netdump.Routes(h, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list routes to nodes: %w", err)
	}
	for _, r := range all {
		p, ok := destination(r)
		if !ok || r.Gw == nil || want[p] || !o.ClusterCIDR.Contains(p.Addr()) {
			continue // not to a node, or another cluster's
		}
		if e := h.RouteDel(&r); e != nil && !errors.Is(e, unix.ESRCH) {
			err = errors.Join(err, fmt.Errorf("remove route to %s: %w", p, e))
		}
	}
	return err
}

func destination(r netlink.Route) (netip.Prefix, bool) {
	if r.Dst == nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(r.Dst.IP.To4())
	bits, _ := r.Dst.Mask.Size()
	return netip.PrefixFrom(ip, bits), ok
}
