package podnet

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// namespace makes a network namespace, pinned for as long as the test runs.
func namespace(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, nil, 0o644))
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the namespace's only user
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
	}()
	must(t, <-done)
	t.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
	return path
}

// in runs f on a thread in the namespace.
func in(t *testing.T, ns string, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() { done <- onThread(ns, f) }()
	must(t, <-done)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options(t *testing.T) Options {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: real namespaces and links")
	}
	return Options{
		Cluster: "test-" + rand.Text()[:8], StateDir: t.TempDir(), NetNS: namespace(t, "node"),
		PodCIDR: netip.MustParsePrefix("10.77.3.0/28"), ServiceCIDR: netip.MustParsePrefix("10.78.0.0/16"),
	}
}

func open(t *testing.T, o Options) *Net {
	t.Helper()
	n, err := Open(o)
	must(t, err)
	t.Cleanup(n.Close)
	return n
}

// answers says whether a TCP connection from one namespace to another can be made.
func answers(t *testing.T, from, to string, addr netip.Addr) error {
	t.Helper()
	var l net.Listener
	in(t, to, func() (err error) {
		l, err = net.Listen("tcp4", netip.AddrPortFrom(addr, 0).String())
		return err
	})
	defer l.Close()
	var dialed error
	in(t, from, func() error {
		c, err := net.DialTimeout("tcp4", l.Addr().String(), time.Second)
		if err == nil {
			c.Close()
		}
		dialed = err
		return nil
	})
	return dialed
}

// TestPodsTakeWhatTheUplinkTakes: neither end of a pod's link takes larger packets than
// the node's way out, also when that has changed while we ran.
func TestPodsTakeWhatTheUplinkTakes(t *testing.T) {
	o := options(t)
	h, err := handleAt(o.NetNS)
	must(t, err)
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "up", 1400
	must(t, h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far"}))
	up, err := h.LinkByName("up")
	must(t, err)
	must(t, h.AddrAdd(up, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("192.0.2.1/24"))}))
	must(t, h.LinkSetUp(up))
	must(t, h.RouteAdd(&netlink.Route{LinkIndex: up.Attrs().Index, Gw: net.IPv4(192, 0, 2, 2)}))
	n := open(t, o)
	for i, mtu := range []int{1400, 1300, 9000} {
		must(t, h.LinkSetMTU(up, mtu))
		uid, pod := fmt.Sprint("uid-", i), namespace(t, fmt.Sprint("pod", i))
		_, err := n.Attach(t.Context(), uid, pod)
		must(t, err)
		host, err := h.LinkByName(n.HostLink(uid))
		must(t, err)
		p, err := handleAt(pod)
		must(t, err)
		defer p.Close()
		eth0, err := p.LinkByName(podLink)
		must(t, err)
		if host.Attrs().MTU != mtu || eth0.Attrs().MTU != mtu {
			t.Errorf("the uplink takes %d, the pod's link %d and %d", mtu, host.Attrs().MTU, eth0.Attrs().MTU)
		}
	}
}

func TestPodsTalk(t *testing.T) {
	o := options(t)
	n := open(t, o)
	a, b := namespace(t, "a"), namespace(t, "b")
	ipA, err := n.Attach(t.Context(), "uid-a", a)
	must(t, err)
	ipB, err := n.Attach(t.Context(), "uid-b", b)
	must(t, err)
	for _, c := range []struct {
		what, from, to string
		addr           netip.Addr
	}{{"pod to pod", a, b, ipB}, {"node to pod", o.NetNS, a, ipA}, {"pod to node", b, o.NetNS, n.Gateway()}, {"pod to itself", a, a, ipA}} {
		if err := answers(t, c.from, c.to, c.addr); err != nil {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	in(t, a, func() error {
		for _, nowhere := range []string{"10.78.0.1:80", "10.77.3.9:80"} {
			if _, err := net.DialTimeout("tcp4", nowhere, time.Second); !errors.Is(err, unix.EHOSTUNREACH) {
				t.Errorf("%s: %v; want host unreachable, from the node and at once", nowhere, err)
			}
		}
		return nil
	})
}

// TestAttachAgain: the same pod keeps its address, over restarts too, and a link that a
// killed process left half done is completed.
func TestAttachAgain(t *testing.T) {
	o := options(t)
	n := open(t, o)
	a := namespace(t, "a")
	first, err := n.Attach(t.Context(), "uid-a", a)
	must(t, err)
	index := linkIndex(t, n, "uid-a")
	for step, undo := range map[string]func(){
		"again":           func() {},
		"after a restart": func() { n.Close(); n = open(t, o) },
	} {
		undo()
		ip, err := n.Attach(t.Context(), "uid-a", a)
		if err != nil || ip != first || linkIndex(t, n, "uid-a") != index {
			t.Errorf("%s: %s, %v; link %d was %d", step, ip, err, linkIndex(t, n, "uid-a"), index)
		}
	}
	link, err := n.node.LinkByName(n.HostLink("uid-a"))
	must(t, err)
	must(t, n.node.LinkSetDown(link)) // takes its route away
	if ip, err := n.Attach(t.Context(), "uid-a", a); err != nil || ip != first {
		t.Errorf("half done: %s, %v", ip, err)
	}
	must(t, answers(t, o.NetNS, a, first))
	// A new namespace of the same pod: the old one was lost with its link.
	b := namespace(t, "b")
	if ip, err := n.Attach(t.Context(), "uid-a", b); err != nil || ip != first {
		t.Errorf("in a new namespace: %s, %v", ip, err)
	}
	must(t, answers(t, o.NetNS, b, first))
}

func linkIndex(t *testing.T, n *Net, uid string) int {
	t.Helper()
	l, err := n.node.LinkByName(n.HostLink(uid))
	must(t, err)
	return l.Attrs().Index
}

func TestDetachAndRemove(t *testing.T) {
	o := options(t)
	n := open(t, o)
	before := state(t, n)
	for i := range 3 {
		_, err := n.Attach(t.Context(), fmt.Sprint("uid-", i), namespace(t, fmt.Sprint("pod", i)))
		must(t, err)
	}
	must(t, n.Detach(t.Context(), "uid-1"))
	must(t, n.Detach(t.Context(), "uid-1"))
	if got := fmt.Sprint(n.Pods()); got != "[uid-0 uid-2]" {
		t.Errorf("pods %s", got)
	}
	must(t, n.Detach(t.Context(), "uid-0"))
	must(t, n.Detach(t.Context(), "uid-2"))
	if after := state(t, n); after != before {
		t.Errorf("after the last pod:\n%s\nbefore the first:\n%s", after, before)
	}
	_, err := n.Attach(t.Context(), "uid-3", namespace(t, "pod3"))
	must(t, err)
	must(t, n.Remove())
	must(t, Remove(o)) // again
	h, err := nodeHandle(o)
	must(t, err)
	defer h.Close()
	if left := state(t, &Net{opts: o, node: h}); strings.Contains(left, "10.7") || strings.Contains(left, linkPrefix(o.Cluster)) {
		t.Errorf("left on the node:\n%s", left)
	}
	if _, err := os.Stat(recordDir(o)); !os.IsNotExist(err) {
		t.Errorf("the record is still there: %v", err)
	}
}

// state prints links, addresses and routes of the node.
func state(t *testing.T, n *Net) string {
	t.Helper()
	links, err := n.node.LinkList()
	must(t, err)
	var b strings.Builder
	for _, l := range links {
		fmt.Fprintln(&b, l.Attrs().Name)
	}
	addrs, err := n.node.AddrList(nil, netlink.FAMILY_V4)
	must(t, err)
	for _, a := range addrs {
		fmt.Fprintln(&b, a.IPNet)
	}
	routes, err := n.node.RouteList(nil, netlink.FAMILY_V4)
	must(t, err)
	for _, r := range routes {
		fmt.Fprintln(&b, r.Dst, r.Type, r.Protocol)
	}
	return b.String()
}

// TestAddressesRunOut: all usable ones are given out, each once, and come back in turn.
func TestAddressesRunOut(t *testing.T) {
	dir, cidr := t.TempDir(), netip.MustParsePrefix("10.77.3.0/29")
	a, err := openAddresses(dir, cidr)
	must(t, err)
	seen := map[netip.Addr]string{}
	for i := range 5 { // of 8: not the network, the node, the broadcast
		uid := fmt.Sprint("p", i)
		ip, err := a.take(uid)
		if err != nil || seen[ip] != "" || !cidr.Contains(ip) || ip == gateway(cidr) {
			t.Fatalf("%s: %s, %v", uid, ip, err)
		}
		seen[ip] = uid
	}
	if _, err := a.take("one more"); !errors.Is(err, ErrNoAddress) {
		t.Fatalf("a sixth: %v", err)
	}
	must(t, a.give("p1"))
	must(t, a.give("p3"))
	must(t, a.give("p3"))
	again, err := openAddresses(dir, cidr)
	must(t, err)
	for _, uid := range []string{"x", "y"} {
		ip, err := again.take(uid)
		if err != nil || (seen[ip] != "p1" && seen[ip] != "p3") {
			t.Errorf("%s: %s, which %s has, %v", uid, ip, seen[ip], err)
		}
	}
	if ip, err := again.take("p0"); err != nil || seen[ip] != "p0" {
		t.Errorf("p0 lost its address: %s, %v", ip, err)
	}
}

// TestAddressesOfNobody: who recorded an address may be killed, or its machine lose power, before the file says whose it is.
func TestAddressesOfNobody(t *testing.T) {
	dir, cidr := t.TempDir(), netip.MustParsePrefix("10.77.3.0/29")
	for _, ip := range []string{"10.77.3.2", "10.77.3.3"} {
		must(t, os.WriteFile(filepath.Join(dir, ip), nil, 0o644))
	}
	a, err := openAddresses(dir, cidr)
	must(t, err)
	for i := range 5 {
		if _, err := a.take(fmt.Sprint("p", i)); err != nil {
			t.Fatalf("pod %d: %v", i, err)
		}
	}
}

// TestAddressRests: one that was given back is not the next to be used.
func TestAddressRests(t *testing.T) {
	a, err := openAddresses(t.TempDir(), netip.MustParsePrefix("10.77.3.0/28"))
	must(t, err)
	first, err := a.take("p")
	must(t, err)
	must(t, a.give("p"))
	if next, err := a.take("q"); err != nil || next == first {
		t.Errorf("%s again at once, %v", next, err)
	}
}

func TestFreeCIDRs(t *testing.T) {
	o := options(t)
	pods, services, err := FreeCIDRs(o.NetNS)
	must(t, err)
	if pods.String() != "10.244.0.0/16" || services.String() != "10.96.0.0/16" {
		t.Errorf("on an empty node: %s, %s", pods, services)
	}
	o.PodCIDR, o.ServiceCIDR = netip.MustParsePrefix("10.244.7.0/24"), services
	n := open(t, o)
	pods2, services2, err := FreeCIDRs(o.NetNS)
	must(t, err)
	if pods2.Overlaps(o.PodCIDR) || services2.Overlaps(services) || pods2.Overlaps(services2) {
		t.Errorf("beside another cluster: %s, %s", pods2, services2)
	}
	must(t, n.Remove())
	if again, _, err := FreeCIDRs(o.NetNS); err != nil || again != pods {
		t.Errorf("after it went: %s, %v", again, err)
	}
	if p, err := firstFree(0, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); !errors.Is(err, ErrNoCIDR) {
		t.Errorf("in a full network: %s, %v", p, err)
	}
}

func TestBadNetworksAreRefused(t *testing.T) {
	for _, cidr := range []string{"10.0.0.0/31", "fd00::/64"} {
		if _, err := Open(Options{Cluster: "c", StateDir: t.TempDir(), PodCIDR: netip.MustParsePrefix(cidr)}); err == nil {
			t.Errorf("%s is accepted", cidr)
		}
	}
}

// TestLinkNames fit the kernel's bound and differ between clusters and pods.
func TestLinkNames(t *testing.T) {
	seen := map[string]bool{}
	for _, cluster := range []string{"stave", "stave-2", strings.Repeat("long", 20)} {
		for _, pod := range []string{"a", "b"} {
			name := hostLink(cluster, pod)
			if len(name) > 15 || seen[name] || !strings.HasPrefix(name, linkPrefix(cluster)) {
				t.Errorf("%s/%s: %q", cluster, pod, name)
			}
			seen[name] = true
		}
	}
}

// After a kill nobody knows the networks any more but the record.
func TestRemoveRecallsTheNetworks(t *testing.T) {
	o := options(t)
	n := open(t, o)
	_, err := n.Attach(t.Context(), "uid", namespace(t, "pod"))
	must(t, err)
	n.Close()
	forgetful := o
	forgetful.PodCIDR, forgetful.ServiceCIDR = netip.Prefix{}, netip.Prefix{}
	must(t, Remove(forgetful))
	must(t, Remove(forgetful)) // and again
	again := open(t, o)
	if pods := again.Pods(); len(pods) != 0 {
		t.Errorf("pods after remove: %v", pods)
	}
}
