package podnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// podLink is the pod's end of its link; router is where a pod sends everything: an
// address that nobody has, known to pods by a permanent neighbour entry.
const podLink = "eth0"

var router = netip.MustParseAddr("169.254.1.1")

// wire makes a pod's link. What a killed process left half done is made anew.
func (n *Net) wire(uid string, ip netip.Addr, netNSPath string) error {
	pod, err := handleAt(netNSPath)
	if err != nil {
		return err
	}
	defer pod.Close()
	name := n.HostLink(uid)
	if n.wired(name, ip, pod) {
		return nil
	}
	if err := deleteLink(n.node, name); err != nil {
		return err
	}
	host, inside, err := n.makeLink(name, uid, netNSPath, pod)
	if err != nil {
		return err
	}
	if err := configurePod(pod, inside, ip, host.Attrs().HardwareAddr); err != nil {
		return errors.Join(err, deleteLink(n.node, name))
	}
	// The node's route comes last: it is what wired looks for.
	if err := n.configureNode(host, ip, inside.Attrs().HardwareAddr); err != nil {
		return errors.Join(err, deleteLink(n.node, name))
	}
	return errors.Join(awaitUp(n.node, name), awaitUp(pod, podLink))
}

// awaitUp waits for a link to carry packets. The kernel finishes setting a link up in the
// background, and until then drops what is sent: a pod's first packets would be lost.
func awaitUp(h *netlink.Handle, name string) error {
	const step, patience = time.Millisecond, 5 * time.Second
	for range patience / step {
		l, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("look at link %s: %w", name, err)
		}
		if l.Attrs().OperState == netlink.OperUp {
			return nil
		}
		time.Sleep(step)
	}
	return fmt.Errorf("link %s does not come up", name)
}

// wired says whether the link is there, complete, and leads to this pod.
func (n *Net) wired(name string, ip netip.Addr, pod *netlink.Handle) bool {
	host, err := n.node.LinkByName(name)
	if err != nil {
		return false
	}
	inside, err := pod.LinkByName(podLink)
	if err != nil || inside.Attrs().ParentIndex != host.Attrs().Index || inside.Attrs().Flags&net.FlagUp == 0 {
		return false
	}
	routes, err := netdump.Routes(n.node,
		&netlink.Route{Dst: hostNet(ip), LinkIndex: host.Attrs().Index}, netlink.RT_FILTER_DST|netlink.RT_FILTER_OIF)
	return err == nil && len(routes) > 0
}

// makeLink creates both ends, the pod's directly in its namespace. Its packets are as large
// as the node's uplink takes them at this time.
func (n *Net) makeLink(name, uid, netNSPath string, pod *netlink.Handle) (host, inside netlink.Link, err error) {
	ns, err := netns.GetFromPath(netNSPath)
	if err != nil {
		return nil, nil, fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	mtu, err := netdump.UplinkMTU(n.node)
	if err != nil {
		return nil, nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU, attrs.TxQLen = name, mtu, 1000
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: podLink, PeerNamespace: netlink.NsFd(ns)}
	if err := n.node.LinkAdd(veth); err != nil {
		return nil, nil, fmt.Errorf("make link %s: %w", name, err)
	}
	if host, err = n.node.LinkByName(name); err == nil {
		inside, err = pod.LinkByName(podLink)
	}
	if err == nil {
		err = n.node.LinkSetAlias(host, "stave "+n.opts.Cluster+" pod "+uid)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("look at link %s: %w", name, err), deleteLink(n.node, name))
	}
	return host, inside, nil
}

// configurePod gives the pod its address and the one route it needs.
func configurePod(pod *netlink.Handle, eth0 netlink.Link, ip netip.Addr, hostMAC net.HardwareAddr) error {
	lo, err := pod.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find pod's loopback: %w", err)
	}
	for _, l := range []netlink.Link{lo, eth0} {
		if err := pod.LinkSetUp(l); err != nil {
			return fmt.Errorf("set pod's %s up: %w", l.Attrs().Name, err)
		}
	}
	if err := pod.AddrReplace(eth0, &netlink.Addr{IPNet: hostNet(ip)}); err != nil {
		return fmt.Errorf("add pod address: %w", err)
	}
	if err := pod.NeighSet(permanent(eth0, router, hostMAC)); err != nil {
		return fmt.Errorf("add pod's neighbour: %w", err)
	}
	index := eth0.Attrs().Index
	for _, r := range []netlink.Route{
		{LinkIndex: index, Dst: hostNet(router), Scope: unix.RT_SCOPE_LINK},
		{LinkIndex: index, Gw: router.AsSlice(), Src: ip.AsSlice()},
	} {
		if err := pod.RouteReplace(&r); err != nil {
			return fmt.Errorf("add pod's route: %w", err)
		}
	}
	return nil
}

// configureNode leads the pod's address to its link.
func (n *Net) configureNode(host netlink.Link, ip netip.Addr, podMAC net.HardwareAddr) error {
	if err := n.node.LinkSetUp(host); err != nil {
		return fmt.Errorf("set link up: %w", err)
	}
	if err := n.node.NeighSet(permanent(host, ip, podMAC)); err != nil {
		return fmt.Errorf("add neighbour: %w", err)
	}
	err := n.node.RouteReplace(&netlink.Route{
		LinkIndex: host.Attrs().Index, Dst: hostNet(ip), Src: n.Gateway().AsSlice(),
		Scope: unix.RT_SCOPE_LINK, Protocol: routeProtocol,
	})
	if err != nil {
		return fmt.Errorf("add route to pod: %w", err)
	}
	return nil
}

func permanent(l netlink.Link, ip netip.Addr, mac net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: l.Attrs().Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT,
		IP: ip.AsSlice(), HardwareAddr: mac,
	}
}
