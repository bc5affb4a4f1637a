package ebpf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const nodePort = 30000

func onNode(port int) string { return fmt.Sprintf("%s:%d", nodeAddr, port) }

func TestNodePort(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.apply(web(nodePort, b))
	for _, network := range []string{"tcp", "udp"} {
		if seen := l.expect(l.outside, network, onNode(nodePort), b); seen != outsideAddr {
			t.Errorf("%s from outside: the server saw %s, not the client", network, seen)
		}
		l.expect(a.ns, network, onNode(nodePort), b)
		l.expect(b.ns, network, onNode(nodePort), b)
		l.expect(l.node, network, onNode(nodePort), b)
		l.expect(l.node, network, fmt.Sprintf("127.0.0.1:%d", nodePort), b)
		if _, _, err := askOnce(a.ns, network, fmt.Sprintf("127.0.0.1:%d", nodePort)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: a pod's own loopback led to a service: %v", network, err)
		}
	}
	l.apply(web(nodePort))
	for _, from := range []string{l.outside, l.node, a.ns} {
		if _, _, err := askOnce(from, "tcp", onNode(nodePort)); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("without endpoints, from %s: %v", from, err)
		}
	}
	l.apply(web(0, b))
	if _, _, err := askOnce(l.outside, "tcp", onNode(nodePort)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("after the node port was taken away: %v", err)
	}
}

// TestNodePortManyConnections: many short connections one after the other, which use up
// any pool of ports and tuples that is not given back.
func TestNodePortManyConnections(t *testing.T) {
	l := newLab(t)
	b := l.pod("b")
	l.apply(web(nodePort, b))
	for range 600 {
		l.expect(l.outside, "tcp", onNode(nodePort), b)
	}
}

// TestUplinkThatComesLater: a link that appears while we run is served as well.
func TestUplinkThatComesLater(t *testing.T) {
	l := newLab(t)
	b := l.pod("b")
	l.apply(web(nodePort, b))
	far := l.namespace("far")
	l.connect(l.node, "192.168.78.1", far, "192.168.78.101")
	deadline := time.Now().Add(5 * time.Second)
	for {
		name, seen, err := askOnce(far, "tcp", fmt.Sprintf("192.168.78.1:%d", nodePort))
		if err == nil && name == b.name {
			t.Logf("answered, the server saw %s", seen)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	// And flows of pods leave there under that link's address.
	l.serve(far, "far", "192.168.78.101:9000")
	if _, seen, err := askOnce(b.ns, "tcp", "192.168.78.101:9000"); err != nil || hostOf(seen) != "192.168.78.1" {
		t.Fatalf("the far server saw %s, %v", seen, err)
	}
}

func hostOf(addrPort string) string {
	ap, err := netip.ParseAddrPort(addrPort)
	if err != nil {
		return addrPort
	}
	return ap.Addr().String()
}

// TestMasquerade: pods reach the outside, and nothing else, under the node's address.
func TestMasquerade(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.serve(l.outside, "world", outsideAddr+":9000")
	for _, network := range []string{"tcp", "udp"} {
		if name, seen, err := askOnce(a.ns, network, outsideAddr+":9000"); err != nil || name != "world" || hostOf(seen) != nodeAddr {
			t.Fatalf("%s: %q saw %q, %v", network, name, seen, err)
		}
	}
	if seen := l.expect(a.ns, "tcp", b.addrPort().String(), b); seen != a.ip.String() {
		t.Errorf("between pods: the server saw %s", seen)
	}
	l.serve(l.node, "node", nodeAddr+":9001")
	if name, seen, err := askOnce(a.ns, "tcp", onNode(9001)); err != nil || name != "node" || hostOf(seen) != a.ip.String() {
		t.Errorf("to the node: %q saw %s, %v", name, seen, err)
	}
}

// TestMasqueradePortsAreReused: many more flows than ports, one after the other; and a pod
// that uses a source port again gets a new port outside if its old one went to another. A
// connection that is open keeps its own through all of that.
func TestMasqueradePortsAreReused(t *testing.T) {
	l := newLabWith(t, func(o *Options) { o.ports = 8 })
	a, b := l.pod("a"), l.pod("b")
	const world = outsideAddr + ":9000"
	l.serve(l.outside, "world", world)
	open, err := dial(a.ns, "tcp", world)
	must(t, err)
	defer open.Close()
	for range 3 {
		if name, _, err := ask(open); err != nil || name != "world" {
			t.Fatalf("on the open connection: %q, %v", name, err)
		}
		if name, err := askFromPort(a.ns, 40124, world); err != nil || name != "world" {
			t.Fatalf("from a used port: %q, %v", name, err)
		}
		for i := range 100 {
			name, err := askFromPort(b.ns, 41000+i, world)
			if err != nil || name != "world" {
				t.Fatalf("request %d: %q, %v", i, name, err)
			}
			if name, _, err := askOnce(b.ns, "udp", world); err != nil || name != "world" {
				t.Fatalf("UDP request %d: %q, %v", i, name, err)
			}
		}
	}
}

// TestForwardingFirewall: container engines make the node drop what it forwards. What pods
// send to each other, and node ports, do not pass that firewall.
func TestForwardingFirewall(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.apply(web(nodePort, b))
	must(t, inNetNS(l.node, func() error {
		// The strictest firewall there is: a node that does not forward at all.
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0o644)
	}))
	l.expect(a.ns, "tcp", webIP+":80", b)
	l.expect(a.ns, "udp", b.addrPort().String(), b)
	l.expect(l.outside, "tcp", onNode(nodePort), b)
}

// bypass takes a pod out of the socket hooks' sight, as one in a virtual machine would be:
// its packets to services are translated on its link.
func (l *lab) bypass(p *pod) {
	l.t.Helper()
	cookie, err := netNSCookie(p.ns)
	must(l.t, err)
	must(l.t, l.plane.objs.Members.Delete(cookie))
}

func TestPacketsToServices(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.bypass(a)
	l.apply(web(nodePort, b))
	for _, network := range []string{"tcp", "udp"} {
		for _, addr := range []string{webIP + ":80", onNode(nodePort)} {
			if seen := l.expect(a.ns, network, addr, b); seen != a.ip.String() {
				t.Errorf("%s %s: the server saw %s", network, addr, seen)
			}
		}
	}
	l.apply(web(nodePort, a))
	for _, network := range []string{"tcp", "udp"} {
		l.expect(a.ns, network, webIP+":80", a) // to itself
	}
	l.apply(web(nodePort))
	if _, _, err := askOnce(a.ns, "tcp", webIP+":80"); err == nil {
		t.Error("a service without endpoints answered")
	}
}

// TestServiceOfTheNode: backends on the node itself, as the cluster's DNS, for pods in
// sight of the socket hooks or not, and for the outside.
func TestServiceOfTheNode(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.bypass(b)
	addr := netip.AddrPortFrom(l.net.Gateway(), 10053)
	l.serve(l.node, "node", addr.String())
	s := web(nodePort)
	for i := range s.Ports {
		s.Ports[i].Endpoints = []netip.AddrPort{addr}
	}
	l.apply(s)
	node := &pod{name: "node"}
	for _, network := range []string{"tcp", "udp"} {
		l.expect(a.ns, network, webIP+":80", node)
		l.expect(b.ns, network, webIP+":80", node)
		l.expect(l.node, network, webIP+":80", node)
		if seen := l.expect(l.outside, network, onNode(nodePort), node); seen != outsideAddr {
			t.Errorf("%s from outside: the server saw %s", network, seen)
		}
	}
}

// TestUDPFlowLeavesDeadBackend: a client outside that goes on from one port is moved to
// another backend when its own is gone, and only then.
func TestUDPFlowLeavesDeadBackend(t *testing.T) {
	l := newLab(t)
	b, c := l.pod("b"), l.pod("c")
	l.apply(web(nodePort, b))
	conn, err := dial(l.outside, "udp", onNode(nodePort))
	must(t, err)
	defer conn.Close()
	for i, step := range []struct {
		backends []*pod
		answers  string
	}{{[]*pod{b}, "b"}, {[]*pod{b, c}, "b"}, {[]*pod{c}, "c"}, {[]*pod{b, c}, "c"}} {
		l.apply(web(nodePort, step.backends...))
		if name, _, err := ask(conn); err != nil || name != step.answers {
			t.Fatalf("step %d: answered by %q, %v; want %s", i, name, err, step.answers)
		}
	}
}

// TestDirectFlowReusesTuple: after a service flow, a direct one between the same two ports
// must not be taken for it.
func TestDirectFlowReusesTuple(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.bypass(a)
	l.apply(web(0, b))
	for _, addr := range []string{webIP + ":80", b.addrPort().String(), webIP + ":80", b.addrPort().String()} {
		name, err := askFromPort(a.ns, 40123, addr)
		if err != nil || name != "b" {
			t.Fatalf("%s: %q, %v", addr, name, err)
		}
	}
}

// askFromPort asks once from a fixed source port, and resets the connection so that the
// port can be used at once.
func askFromPort(ns string, port int, to string) (string, error) {
	reuse := func(_, _ string, c syscall.RawConn) error {
		var err error
		ctlErr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
		return errors.Join(ctlErr, err)
	}
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{Port: port}, Control: reuse}
	var c net.Conn
	err := inNetNS(ns, func() (err error) {
		c, err = d.Dial("tcp4", to)
		return err
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := errors.Join(c.(*net.TCPConn).SetLinger(0), c.SetDeadline(time.Now().Add(20*time.Second))); err != nil {
		return "", err
	}
	name, _, err := ask(c)
	return name, err
}

// TestWhichLinksAreLookedAt: pods come and change their links; that alone is no reason to look at all of them.
func TestWhichLinksAreLookedAt(t *testing.T) {
	message := func(kind uint16, name string) netlink.LinkUpdate {
		return netlink.LinkUpdate{Header: unix.NlMsghdr{Type: kind}, Link: &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: name}}}
	}
	for _, c := range []struct {
		uplinks []string
		kind    uint16
		name    string
		want    bool
	}{
		{nil, unix.RTM_NEWLINK, "pod", false},
		{nil, unix.RTM_DELLINK, "pod", true},
		{[]string{"eth0"}, unix.RTM_NEWLINK, "pod", false},
		{[]string{"eth0"}, unix.RTM_NEWLINK, "eth0", true},
		{[]string{"eth0"}, unix.RTM_DELLINK, "pod", true},
	} {
		d := &Dataplane{opts: Options{Uplinks: c.uplinks}}
		if got := d.concerns(message(c.kind, c.name)); got != c.want {
			t.Errorf("uplinks %v, message %d of %s: %v", c.uplinks, c.kind, c.name, got)
		}
	}
}

// TestLinksThatGoMeanwhile: other programs of the machine make links and take them away all the time.
func TestLinksThatGoMeanwhile(t *testing.T) {
	l := newLab(t)
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- inNetNS(l.node, func() error {
			for i := 0; ; i++ {
				select {
				case <-done:
					return nil
				default:
				}
				d := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprint("brief", i%10)}, PeerName: "peer"}
				addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 168, 79, byte(i)), Mask: net.CIDRMask(32, 32)}}
				if err := errors.Join(netlink.LinkAdd(d), netlink.AddrAdd(d, addr), netlink.LinkDel(d)); err != nil {
					return err
				}
			}
		})
	}()
	for range 500 {
		l.plane.mu.Lock()
		err := l.plane.syncDevices()
		l.plane.mu.Unlock()
		if err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	must(t, <-ended)
}
