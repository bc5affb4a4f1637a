package podnet

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/netdump"
)

// Options say whose pods are wired and with which addresses.
type Options struct {
	Cluster string // part of the links' names; a second node on this machine needs its own
	// PodCIDR is this node's pod network, /30 or larger; ServiceCIDR the cluster's service
	// network, whose addresses are unreachable but through the dataplane. It may be zero.
	PodCIDR     netip.Prefix
	ServiceCIDR netip.Prefix
	// ClusterCIDR is what all nodes' pod networks are parts of: routes into it are ours.
	ClusterCIDR netip.Prefix
	StateDir    string // where addresses are recorded
	NetNS       string // path of the node's network namespace; empty for the process's own
}

// routeProtocol marks the routes that are ours (ip route shows "proto 83").
const routeProtocol = 83

// Net wires the pods of one node. It is safe for concurrent use.
type Net struct {
	opts  Options
	addrs *addresses
	node  *netlink.Handle
}

// Open prepares the node (forwarding, its own address in the pod network, what is
// unreachable) and reads which pod has which address.
func Open(o Options) (*Net, error) {
	if !o.PodCIDR.Addr().Is4() || o.PodCIDR.Bits() > 30 {
		return nil, fmt.Errorf("check pod network %s: not an IPv4 network of /30 or larger", o.PodCIDR)
	}
	addrs, err := openAddresses(recordDir(o), o.PodCIDR)
	if err != nil {
		return nil, err
	}
	if err := recordNetworks(o); err != nil {
		return nil, err
	}
	node, err := nodeHandle(o)
	if err != nil {
		return nil, err
	}
	n := &Net{opts: o, addrs: addrs, node: node}
	if err := n.prepareNode(); err != nil {
		node.Close()
		return nil, err
	}
	return n, nil
}

func recordDir(o Options) string { return filepath.Join(o.StateDir, "pod-addresses") }

func nodeHandle(o Options) (*netlink.Handle, error) {
	if o.NetNS == "" {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return nil, fmt.Errorf("open netlink: %w", err)
		}
		return h, nil
	}
	return handleAt(o.NetNS)
}

func handleAt(path string) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink in %s: %w", path, err)
	}
	return h, nil
}

// Gateway is the node's own address in the pod network: the first one. Pods reach the
// node there, and what the node sends to pods comes from there.
func (n *Net) Gateway() netip.Addr { return gateway(n.opts.PodCIDR) }

// HostLink is the name of the node's end of a pod's link.
func (n *Net) HostLink(podUID string) string { return hostLink(n.opts.Cluster, podUID) }

// hostLink fits in the 15 characters that a link's name can have: 4 tell clusters apart,
// 9 (45 bits) pods. The link's alias says which they are.
func hostLink(cluster, podUID string) string {
	return linkPrefix(cluster) + shortHash(podUID, 9)
}

func linkPrefix(cluster string) string { return "sv" + shortHash(cluster, 4) }

func shortHash(s string, chars int) string {
	sum := sha256.Sum256([]byte(s))
	return strings.ToLower(base32.HexEncoding.EncodeToString(sum[:])[:chars])
}

// Reserve gives a pod the address with which Attach will wire it; Detach gives it back.
func (n *Net) Reserve(podUID string) (netip.Addr, error) {
	ip, err := n.addrs.take(podUID)
	if err != nil {
		return ip, fmt.Errorf("reserve address of pod %s: %w", podUID, err)
	}
	return ip, nil
}

// Attach wires a pod whose network namespace is pinned at netNSPath, and returns its
// address. Doing it again returns the same address and changes nothing.
func (n *Net) Attach(ctx context.Context, podUID, netNSPath string) (netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return netip.Addr{}, fmt.Errorf("attach pod %s: %w", podUID, err)
	}
	ip, err := n.addrs.take(podUID)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("attach pod %s: %w", podUID, err)
	}
	if err := n.wire(podUID, ip, netNSPath); err != nil {
		return netip.Addr{}, fmt.Errorf("attach pod %s: %w", podUID, err)
	}
	return ip, nil
}

// Detach removes a pod's link and gives its address back. It is no error if it has none.
func (n *Net) Detach(ctx context.Context, podUID string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("detach pod %s: %w", podUID, err)
	}
	if err := deleteLink(n.node, n.HostLink(podUID)); err != nil {
		return fmt.Errorf("detach pod %s: %w", podUID, err)
	}
	return n.addrs.give(podUID)
}

// Pods are the uids of the pods that have an address here, sorted.
func (n *Net) Pods() []string {
	out := n.addrs.pods()
	slices.Sort(out)
	return out
}

// Address is the address that a pod has here, if it has one.
func (n *Net) Address(podUID string) (netip.Addr, bool) { return n.addrs.of(podUID) }

// Close lets go of the node; pods stay wired.
func (n *Net) Close() { n.node.Close() }

// Remove closes and takes everything of the cluster off the node.
func (n *Net) Remove() error {
	n.Close()
	return Remove(n.opts)
}

// Remove takes all links, routes and addresses of a cluster off the node, for when no
// process holds them, and forgets which pod had which address. Forwarding stays on:
// others may have come to rely on it. Networks that o leaves out are those of
// the last Open.
func Remove(o Options) error {
	o, err := recall(o)
	if err != nil {
		return err
	}
	h, err := nodeHandle(o)
	if err != nil {
		return err
	}
	defer h.Close()
	links, err := netdump.Links(h)
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if _, isVeth := l.(*netlink.Veth); isVeth && strings.HasPrefix(l.Attrs().Name, linkPrefix(o.Cluster)) {
			err = errors.Join(err, deleteLink(h, l.Attrs().Name))
		}
	}
	return errors.Join(err, unprepareNode(h, o), os.RemoveAll(recordDir(o)), forget(networksFile(o)))
}

// deleteLink removes a link, and with it the pod's end and the routes over it.
func deleteLink(h *netlink.Handle, name string) error {
	l, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := h.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}
