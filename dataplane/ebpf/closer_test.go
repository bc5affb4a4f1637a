package ebpf

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// waiting is a UDP socket of a client that waits for an answer.
type waiting struct {
	net.Conn
	ended chan error
}

// waitOn connects, is answered once, and waits for more.
func waitOn(t *testing.T, ns, network, addr string) *waiting {
	t.Helper()
	c, err := dial(ns, network, addr)
	must(t, err)
	return waitOnConn(t, c)
}

func waitOnConn(t *testing.T, c net.Conn) *waiting {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	_, _, err := ask(c)
	must(t, err)
	must(t, c.SetDeadline(time.Time{}))
	w := &waiting{c, make(chan error, 1)}
	go func() {
		_, err := c.Read(make([]byte, 1))
		w.ended <- err
	}()
	return w
}

// dialMapped connects a UDP socket of the other family, which package net doesn't.
func dialMapped(t *testing.T, ns string, to netip.AddrPort) net.Conn {
	t.Helper()
	var s int
	must(t, inNetNS(ns, func() (err error) {
		if s, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		return unix.Connect(s, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	}))
	f := os.NewFile(uintptr(s), "socket")
	defer f.Close()
	c, err := net.FileConn(f)
	must(t, err)
	return c
}

// closed fails unless the kernel ends the wait soon.
func (w *waiting) closed(t *testing.T, name string) {
	t.Helper()
	select {
	case err := <-w.ended:
		if !errors.Is(err, unix.ECONNABORTED) {
			t.Errorf("%s: the wait ended with %v", name, err)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%s: still waits for a backend that is gone", name)
	}
}

func (w *waiting) open(t *testing.T, name string) {
	t.Helper()
	select {
	case err := <-w.ended:
		t.Errorf("%s: was closed: %v", name, err)
	default:
	}
}

// TestUDPSocketsOfRemovedBackendsAreClosed: wherever the socket is and whatever its owner
// called the service; and nobody else's.
func TestUDPSocketsOfRemovedBackendsAreClosed(t *testing.T) {
	l := newLab(t)
	l.closes()
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	other := web(0, b)
	other.Key, other.ClusterIP = "default/other", netip.MustParseAddr("10.201.0.11")
	l.apply(web(nodePort, b), other)
	mapped := waitOnConn(t, dialMapped(t, a.ns, netip.MustParseAddrPort("[::ffff:"+webIP+"]:80")))
	doomed := map[string]*waiting{
		"pod":        waitOn(t, a.ns, "udp", webIP+":80"),
		"pod, again": waitOn(t, a.ns, "udp", webIP+":80"),
		"mapped":     mapped,
		"node":       waitOn(t, l.node, "udp", webIP+":80"),
		"node port":  waitOn(t, a.ns, "udp", onNode(nodePort)),
		"loopback":   waitOn(t, l.node, "udp", "127.0.0.1:30000"),
	}
	spared := map[string]*waiting{
		"direct":        waitOn(t, a.ns, "udp", b.addrPort().String()),
		"other service": waitOn(t, a.ns, "udp", "10.201.0.11:80"),
		"tcp":           waitOn(t, a.ns, "tcp", webIP+":80"),
	}
	l.apply(web(nodePort, b, c), other)
	time.Sleep(5 * gather)
	for name, w := range doomed {
		w.open(t, name)
	}
	l.apply(web(nodePort, c), other)
	for name, w := range doomed {
		w.closed(t, name)
	}
	for name, w := range spared {
		w.open(t, name)
	}
	l.expect(a.ns, "udp", webIP+":80", c)
	// The whole service goes.
	last := waitOn(t, a.ns, "udp", webIP+":80")
	l.apply(other)
	last.closed(t, "of a service that went")
}

// closes skips a test on a kernel before 6.5, which closes nobody's sockets.
func (l *lab) closes() {
	l.t.Helper()
	if l.plane.closer == nil {
		l.t.Skip("this kernel cannot close sockets")
	}
}

// TestUDPSocketsAreClosedAfterRestart: an agent that comes back closes what was pinned to a
// backend that went meanwhile, and knows its pods' namespaces.
func TestUDPSocketsAreClosedAfterRestart(t *testing.T) {
	l := newLab(t)
	l.closes()
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.apply(web(0, b))
	w := waitOn(t, a.ns, "udp", webIP+":80")
	must(t, l.plane.Close())
	l.open()
	w.open(t, "before")
	l.apply(web(0, c))
	w.closed(t, "after a restart")
	// Killed between the table's write and the sockets' end.
	w = waitOn(t, a.ns, "udp", webIP+":80")
	l.plane.stop()
	l.plane.background.Wait()
	l.apply(web(0, b))
	w.open(t, "nobody works")
	must(t, l.plane.Close())
	l.open()
	w.closed(t, "at the start")
}

// TestOnlyNamespacesWithSockets: who has no socket to the service is not visited, and what
// is known of a pod goes with it.
func TestOnlyNamespacesWithSockets(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.apply(web(0, b))
	l.expect(l.node, "tcp", webIP+":80", b)
	l.expect(a.ns, "udp", webIP+":80", b)
	cookie, err := netNSCookie(a.ns)
	must(t, err)
	var v programsVisit
	var yes uint8
	n := 0
	for it := l.plane.objs.Visits.Iterate(); it.Next(&v, &yes); n++ {
		if v.Cookie != cookie || addrOf(v.Addr).String() != webIP || be16(v.Port) != 80 {
			t.Errorf("a visit of %d to %s:%d", v.Cookie, addrOf(v.Addr), be16(v.Port))
		}
	}
	if n != 1 {
		t.Errorf("%d visits; want that of one pod", n)
	}
	must(t, l.plane.DetachPod(a.ip))
	if n := count[programsVisit, uint8](l.plane.objs.Visits); n != 0 {
		t.Errorf("%d visits of a pod that went", n)
	}
	if _, err := os.Stat(l.plane.namespaceFile(cookie)); !os.IsNotExist(err) {
		t.Errorf("its namespace is still known: %v", err)
	}
}

// TestFullTableOfVisits: then every namespace is looked at.
func TestFullTableOfVisits(t *testing.T) {
	l := newLab(t)
	l.closes()
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.apply(web(0, b))
	must(t, l.plane.objs.VisitsLost.Put(uint32(0), uint32(1)))
	w := waitOn(t, a.ns, "udp", webIP+":80")
	must(t, prune(l.plane.objs.Visits, func(programsVisit, uint8) bool { return true }))
	l.apply(web(0, c))
	w.closed(t, "whose visit was lost")
}

// TestWithoutCloser: services work on a kernel that cannot close sockets.
func TestWithoutCloser(t *testing.T) {
	l := newLab(t)
	l.closes()
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.plane.stop()
	l.plane.background.Wait()
	must(t, l.plane.closer.close())
	l.plane.closer = nil
	for _, p := range []*pod{b, c} {
		must(t, l.plane.Apply([]plan.Service{web(0, p)}))
		l.expect(a.ns, "udp", webIP+":80", p)
	}
}
