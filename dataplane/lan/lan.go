// Package lan joins the nodes of one machine: a bridge on the machine, and for each node
// a network namespace of its own with a link to it. To each other they are machines on
// one wire, and to the machine they are that too.
//
// Everything here is found again by its name, so that a later process can go on with it or
// take it away.
package lan

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// Wire is the bridge of one cluster's nodes.
type Wire struct {
	Cluster string       // names the links
	Network netip.Prefix // of the nodes; its first address is the machine's
}

// Seat is one node's place on the wire.
type Seat struct {
	Node    string
	Address netip.Addr // in the wire's network
	NetNS   string     // where its namespace is pinned
	Outside string     // where the machine's own namespace is pinned for it
}

// routeProtocol marks the routes that are ours (ip route shows "proto 83").
const routeProtocol = 83

// inside is what a node calls its link.
const inside = "eth0"

// Machine is the machine's address on the wire.
func (w Wire) Machine() netip.Addr { return w.Network.Masked().Addr().Next() }

// Bridge is the name of the machine's end.
func (w Wire) Bridge() string { return "sb" + shortHash(w.Cluster, 8) }

// Link is the name of the machine's end of a node's link.
func (w Wire) Link(node string) string { return w.prefix() + shortHash(node, 8) }

func (w Wire) prefix() string { return "sn" + shortHash(w.Cluster, 4) }

func shortHash(s string, chars int) string {
	sum := sha256.Sum256([]byte(s))
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:])[:chars])
}

// Lay makes the bridge, as far as it is not there.
func (w Wire) Lay() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = w.Bridge()
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make bridge: %w", err)
	}
	b, err := netlink.LinkByName(w.Bridge())
	if err != nil {
		return fmt.Errorf("find bridge: %w", err)
	}
	if err := netlink.LinkSetAlias(b, "stave "+w.Cluster+" nodes"); err != nil {
		return fmt.Errorf("name bridge: %w", err)
	}
	own := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(w.Machine(), w.Network.Bits()))}
	if err := netlink.AddrReplace(b, own); err != nil {
		return fmt.Errorf("add address %s: %w", own, err)
	}
	if err := netlink.LinkSetUp(b); err != nil {
		return fmt.Errorf("set bridge up: %w", err)
	}
	return nil
}

// Remove takes the bridge and all links off the machine; it is no error if nothing is
// there. Namespaces are their pinners' to unmount.
func (w Wire) Remove() error {
	links, err := netdump.Whole(netlink.LinkList)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		_, isVeth := l.(*netlink.Veth)
		if name := l.Attrs().Name; name == w.Bridge() || isVeth && strings.HasPrefix(name, w.prefix()) {
			err = errors.Join(err, deleteLink(name))
		}
	}
	return err
}

// Lead makes the machine's route to a node's pods.
func (w Wire) Lead(pods netip.Prefix, via netip.Addr) error {
	r := netlink.Route{Dst: ipNet(pods.Masked()), Gw: via.AsSlice(), Protocol: routeProtocol}
	if err := netlink.RouteReplace(&r); err != nil {
		return fmt.Errorf("add route to %s by %s: %w", pods, via, err)
	}
	return nil
}

// Take makes a node's namespace and its link to the wire, as far as they are not there.
func (w Wire) Take(s Seat) error {
	if err := pin("/proc/thread-self/ns/net", s.Outside); err != nil {
		return fmt.Errorf("pin network namespace of the machine: %w", err)
	}
	if err := makeNamespace(s.NetNS); err != nil {
		return fmt.Errorf("make network namespace of node %s: %w", s.Node, err)
	}
	if err := w.link(s); err != nil {
		return fmt.Errorf("link node %s: %w", s.Node, err)
	}
	return nil
}

// Leave takes a node's link away and lets its namespace go.
func (w Wire) Leave(s Seat) error {
	return errors.Join(deleteLink(w.Link(s.Node)), unpin(s.NetNS), unpin(s.Outside))
}

func (w Wire) link(s Seat) error {
	ns, err := openHandle(s.NetNS)
	if err != nil {
		return err
	}
	defer ns.close()
	if _, err := ns.LinkByName(inside); err != nil {
		if err := w.makeLink(s, ns.fd); err != nil {
			return err
		}
	}
	if err := w.plug(s.Node); err != nil {
		return err
	}
	return w.configure(s, ns)
}

// makeLink creates both ends, the node's directly in its namespace. What leaves the machine
// has to fit its uplink, so nodes and their pods get its limit.
func (w Wire) makeLink(s Seat, ns int) error {
	if err := deleteLink(w.Link(s.Node)); err != nil { // to a namespace that is no more
		return err
	}
	here, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer here.Close()
	mtu, err := netdump.UplinkMTU(here)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = w.Link(s.Node), mtu
	return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: inside, PeerNamespace: netlink.NsFd(ns)})
}

// plug puts the machine's end into the bridge.
func (w Wire) plug(node string) error {
	b, err := netlink.LinkByName(w.Bridge())
	if err != nil {
		return err
	}
	l, err := netlink.LinkByName(w.Link(node))
	if err != nil {
		return err
	}
	return errors.Join(netlink.LinkSetAlias(l, "stave "+w.Cluster+" node "+node), netlink.LinkSetMaster(l, b), netlink.LinkSetUp(l))
}

// configure gives the node its address and its way out, which is the machine.
func (w Wire) configure(s Seat, ns *handle) error {
	for _, name := range []string{"lo", inside} {
		l, err := ns.LinkByName(name)
		if err == nil {
			err = ns.LinkSetUp(l)
		}
		if err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	l, err := ns.LinkByName(inside)
	if err != nil {
		return err
	}
	if err := ns.AddrReplace(l, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(s.Address, w.Network.Bits()))}); err != nil {
		return fmt.Errorf("add address %s: %w", s.Address, err)
	}
	return ns.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: w.Machine().AsSlice(), Protocol: routeProtocol})
}

func deleteLink(name string) error {
	l, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = netlink.LinkDel(l)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
