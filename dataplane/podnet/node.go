package podnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// prepareNode makes the node a router for its pods.
func (n *Net) prepareNode() error {
	if err := enableForwarding(n.opts.NetNS); err != nil {
		return err
	}
	lo, err := n.node.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	if err := n.node.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set loopback up: %w", err)
	}
	if err := n.node.AddrReplace(lo, &netlink.Addr{IPNet: hostNet(n.Gateway()), Scope: unix.RT_SCOPE_LINK}); err != nil {
		return fmt.Errorf("add node's pod address: %w", err)
	}
	for _, r := range unreachable(n.opts) {
		if err := n.node.RouteReplace(&r); err != nil {
			return fmt.Errorf("add route %s: %w", r.Dst, err)
		}
	}
	return nil
}

// unprepareNode removes what prepareNode added, as far as it is there.
func unprepareNode(h *netlink.Handle, o Options) error {
	if !o.PodCIDR.IsValid() {
		return nil
	}
	lo, err := h.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find loopback: %w", err)
	}
	err = h.AddrDel(lo, &netlink.Addr{IPNet: hostNet(gateway(o.PodCIDR))})
	if err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("remove node's pod address: %w", err)
	}
	for _, r := range unreachable(o) {
		if err := h.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route %s: %w", r.Dst, err)
		}
	}
	return dropPeers(h, o, nil)
}

// unreachable are the networks that must never leave the node by its default route: pods
// that don't exist, and services that the dataplane did not translate. The routes also
// show other clusters on this machine which networks are in use.
func unreachable(o Options) []netlink.Route {
	var out []netlink.Route
	for _, p := range []netip.Prefix{o.PodCIDR, o.ServiceCIDR} {
		if p.IsValid() {
			out = append(out, netlink.Route{Dst: ipNet(p.Masked()), Type: unix.RTN_UNREACHABLE, Protocol: routeProtocol})
		}
	}
	return out
}

// enableForwarding has to be done on a thread that is in the namespace, for /proc/sys/net
// shows that of its reader.
func enableForwarding(netNSPath string) error {
	done := make(chan error)
	go func() { done <- onThread(netNSPath, setForwarding) }()
	if err := <-done; err != nil {
		return fmt.Errorf("enable forwarding: %w", err)
	}
	return nil
}

// setForwarding doesn't write what is so already: where /proc/sys is read-only, somebody
// else has seen to it.
func setForwarding() error {
	const file = "/proc/sys/net/ipv4/ip_forward"
	if now, err := os.ReadFile(file); err == nil && len(now) > 0 && now[0] == '1' {
		return nil
	}
	return os.WriteFile(file, []byte("1"), 0o644)
}

// onThread runs f in a namespace and takes the thread home again. If that fails the thread
// stays locked, and the runtime throws it away with the goroutine.
func onThread(netNSPath string, f func() error) error {
	if netNSPath == "" {
		return f()
	}
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	ns, err := os.Open(netNSPath)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func hostNet(a netip.Addr) *net.IPNet { return ipNet(netip.PrefixFrom(a, a.BitLen())) }
