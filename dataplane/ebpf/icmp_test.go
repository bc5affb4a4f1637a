package ebpf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// TestRefusedOnTheLink: a pod out of sight of the socket hooks is refused by a service
// without endpoints as by a closed port, at once.
func TestRefusedOnTheLink(t *testing.T) {
	l := newLab(t)
	a := l.pod("a")
	l.bypass(a)
	l.apply(web(nodePort))
	for _, network := range []string{"tcp", "udp"} {
		for _, addr := range []string{webIP + ":80", onNode(nodePort)} {
			began := time.Now()
			_, _, err := askOnce(a.ns, network, addr)
			if !errors.Is(err, unix.ECONNREFUSED) || time.Since(began) > 5*time.Second {
				t.Errorf("%s %s: %v after %v", network, addr, err, time.Since(began))
			}
		}
	}
}

// TestClosedPort: who sends UDP to a port that nobody listens on hears of it, whatever was
// translated on the way.
func TestClosedPort(t *testing.T) {
	l := newLab(t)
	a, b, hidden := l.pod("a"), l.pod("b"), l.pod("hidden")
	l.bypass(hidden)
	l.apply(web(nodePort, b))
	b.close()
	for _, c := range []struct{ name, ns, addr string }{
		{"masqueraded", a.ns, outsideAddr + ":9"},
		{"between pods", a.ns, b.addrPort().String()},
		{"by the service, at the socket", a.ns, webIP + ":80"},
		{"by the service, on the link", hidden.ns, webIP + ":80"},
		{"from outside, by the node port", l.outside, onNode(nodePort)},
		{"from the node", l.node, webIP + ":80"},
	} {
		// The kernel answers at most some thousand of these a second: twice is little enough.
		for range 2 {
			if _, _, err := askOnce(c.ns, "udp", c.addr); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

// TestLargeDatagrams: larger than any link takes, so they travel in pieces.
func TestLargeDatagrams(t *testing.T) {
	l := newLab(t)
	a, b, hidden := l.pod("a"), l.pod("b"), l.pod("hidden")
	l.bypass(hidden)
	const port = 9100
	s := plan.Service{Key: "default/large", ClusterIP: netip.MustParseAddr(webIP), Ports: []plan.Port{
		{Proto: plan.UDP, Port: 80, NodePort: nodePort, Endpoints: []netip.AddrPort{netip.AddrPortFrom(b.ip, port)}}}}
	l.apply(s)
	l.echo(b.ns, fmt.Sprintf("0.0.0.0:%d", port))
	l.echo(l.outside, fmt.Sprintf("%s:%d", outsideAddr, port))
	for _, c := range []struct{ name, ns, addr string }{
		{"between pods", a.ns, netip.AddrPortFrom(b.ip, port).String()},
		{"by the service, at the socket", a.ns, webIP + ":80"},
		{"by the service, on the link", hidden.ns, webIP + ":80"},
		{"from outside, by the node port", l.outside, onNode(nodePort)},
		{"masqueraded", a.ns, fmt.Sprintf("%s:%d", outsideAddr, port)},
	} {
		for _, size := range []int{1400, 1473, 1480 + 1472 + 1, 4000, 20000, 60000} {
			conn, err := dial(c.ns, "udp", c.addr)
			must(t, err)
			sent := bytes.Repeat([]byte{byte(size)}, size)
			_, err = conn.Write(sent)
			must(t, err)
			must(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
			got := make([]byte, 1<<16)
			n, err := conn.Read(got)
			if err != nil || !bytes.Equal(got[:n], sent) {
				t.Errorf("%s: %d bytes came back of %d: %v", c.name, n, size, err)
			}
			conn.Close()
		}
	}
}

// echo sends every datagram back.
func (l *lab) echo(ns, addr string) { l.answer(ns, addr, func(b []byte) []byte { return b }) }

// answer sends what a function makes of each datagram.
func (l *lab) answer(ns, addr string, of func([]byte) []byte) {
	l.t.Helper()
	var c net.PacketConn
	must(l.t, inNetNS(ns, func() (err error) {
		c, err = net.ListenPacket("udp4", addr)
		return err
	}))
	l.t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(of(buf[:n]), from)
		}
	}()
}

const (
	narrow  = 1300
	farAddr = "192.168.79.101"
)

// far is a machine behind the outside, by a link that takes less than the others.
func (l *lab) far() string {
	l.t.Helper()
	far := l.namespace("far")
	l.connect(l.outside, "192.168.79.1", far, farAddr)
	h := l.handle(l.outside)
	defer h.Close()
	k, err := h.LinkByName("up101")
	must(l.t, err)
	must(l.t, h.LinkSetMTU(k, narrow))
	route := func(ns string, r netlink.Route) {
		h := l.handle(ns)
		defer h.Close()
		must(l.t, h.RouteAdd(&r))
	}
	// The far end sends nothing larger, which its link would drop without a word, but does not announce it, as behind a tunnel.
	route(far, netlink.Route{Gw: net.ParseIP("192.168.79.1"), MTU: narrow, MTULock: true, AdvMSS: 1460})
	route(l.node, netlink.Route{Gw: net.ParseIP(outsideAddr)})
	must(l.t, inNetNS(l.outside, func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
	}))
	return far
}

// TestNarrowPath: a router on the way says that packets are too large, and who sends them
// hears it: a pod that is masqueraded, and one that answers by a node port.
func TestNarrowPath(t *testing.T) {
	l := newLab(t)
	a, b, hidden := l.pod("a"), l.pod("b"), l.pod("hidden")
	l.bypass(hidden)
	far := l.far()
	const port = 9200
	s := web(nodePort, b)
	s.Ports[0].Endpoints = []netip.AddrPort{netip.AddrPortFrom(b.ip, port)}
	out := s
	out.Key, out.ClusterIP = "default/out", netip.MustParseAddr("10.201.0.13")
	out.Ports = []plan.Port{{Proto: plan.TCP, Port: 80, Endpoints: []netip.AddrPort{netip.MustParseAddrPort(fmt.Sprintf("%s:%d", farAddr, port))}}}
	l.apply(s, out)
	l.swallow(b.ns, port)
	l.swallow(far, port)
	for _, c := range []struct{ name, ns, addr string }{
		{"masqueraded", a.ns, fmt.Sprintf("%s:%d", farAddr, port)},
		{"by a service outside, on the link", hidden.ns, "10.201.0.13:80"},
		{"from far, by the node port", far, onNode(nodePort)},
	} {
		if err := l.transfer(c.ns, c.addr, 200_000); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestNarrowUplink: the node itself has a link that takes less than its pods' do. The
// first datagram is lost and its sender told; the next one goes in pieces.
func TestNarrowUplink(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	far := l.namespace("far")
	l.connect(l.node, "192.168.79.1", far, farAddr)
	for _, ns := range []string{l.node, far} {
		h := l.handle(ns)
		defer h.Close()
		k, err := h.LinkByName("up101")
		must(t, err)
		must(t, h.LinkSetMTU(k, narrow))
	}
	const port = 9100
	s := web(nodePort, b)
	s.Ports[1].Endpoints = []netip.AddrPort{netip.AddrPortFrom(b.ip, port)}
	l.apply(s)
	l.answer(b.ns, fmt.Sprintf("0.0.0.0:%d", port), func([]byte) []byte { return make([]byte, 1400) })
	l.answer(far, fmt.Sprintf("0.0.0.0:%d", port), func(b []byte) []byte { return b[:min(10, len(b))] })
	time.Sleep(5 * settle)
	for _, c := range []struct {
		name, ns, addr string
		size           int
	}{
		{"masqueraded", a.ns, fmt.Sprintf("%s:%d", farAddr, port), 1400},
		{"the answer by the node port", far, fmt.Sprintf("192.168.79.1:%d", nodePort), 1},
	} {
		conn, err := dial(c.ns, "udp", c.addr)
		must(t, err)
		defer conn.Close()
		answered := false
		for range 5 {
			must(t, conn.SetDeadline(time.Now().Add(time.Second)))
			_, err := conn.Write(make([]byte, c.size))
			if err == nil {
				_, err = conn.Read(make([]byte, 2000))
			}
			if answered = err == nil; answered {
				break
			}
		}
		if !answered {
			t.Errorf("%s: nobody told the sender that its packets are too large", c.name)
		}
	}
}

// swallow answers everything that comes with as much.
func (l *lab) swallow(ns string, port int) {
	l.t.Helper()
	var s net.Listener
	must(l.t, inNetNS(ns, func() (err error) {
		s, err = net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		return err
	}))
	l.t.Cleanup(func() { s.Close() })
	go func() {
		for {
			c, err := s.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
}

// transfer sends n bytes and reads as many back.
func (l *lab) transfer(ns, addr string, n int) error {
	c, err := dial(ns, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	sent := bytes.Repeat([]byte("0123456789"), n/10)
	go c.Write(sent)
	got := make([]byte, n)
	if m, err := io.ReadFull(c, got); err != nil {
		return fmt.Errorf("after %d bytes: %w", m, err)
	}
	if !bytes.Equal(got, sent) {
		return errors.New("other bytes came back")
	}
	return nil
}
