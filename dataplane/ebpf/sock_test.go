package ebpf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

func TestClusterIP(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.apply(web(0, b))
	for _, network := range []string{"tcp", "udp"} {
		if seen := l.expect(a.ns, network, webIP+":80", b); seen != a.ip.String() {
			t.Errorf("%s from a pod: the server saw %s", network, seen)
		}
		if seen := l.expect(l.node, network, webIP+":80", b); seen != l.net.Gateway().String() {
			t.Errorf("%s from the node: the server saw %s", network, seen)
		}
		if seen := l.expect(b.ns, network, webIP+":80", b); seen != b.ip.String() {
			t.Errorf("%s from the backend itself: the server saw %s", network, seen)
		}
	}
}

// TestServiceAddressOnlyInside: the hooks are on the machine's root cgroup, but a service
// address means nothing to namespaces that are not of the cluster, not even to one that
// sends everything to the node and could reach the pods.
func TestServiceAddressOnlyInside(t *testing.T) {
	l := newLab(t)
	a := l.pod("a")
	l.apply(web(nodePort, a))
	h := l.handle(l.outside)
	defer h.Close()
	must(t, h.RouteAdd(&netlink.Route{Gw: net.ParseIP(nodeAddr)}))
	l.expect(l.outside, "tcp", a.addrPort().String(), a)
	l.expect(l.outside, "tcp", onNode(nodePort), a)
	if _, _, err := askOnce(l.outside, "tcp", webIP+":80"); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Fatalf("from outside: %v", err)
	}
}

func TestPeerIsTheService(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	l.apply(web(0, b))
	for _, network := range []string{"tcp", "udp"} {
		c, err := dial(a.ns, network, webIP+":80")
		must(t, err)
		defer c.Close()
		if got := peerName(t, c); got != webIP+":80" {
			t.Errorf("%s: getpeername says %s", network, got)
		}
	}
	direct, err := dial(a.ns, "tcp", b.addrPort().String())
	must(t, err)
	defer direct.Close()
	if got := peerName(t, direct); got != b.addrPort().String() {
		t.Errorf("direct: getpeername says %s", got)
	}
	if got := peerAfterBoth(t, a.ns, b.addrPort()); got != b.addrPort().String() {
		t.Errorf("to the service and then to its backend directly: getpeername says %s", got)
	}
}

// peerAfterBoth connects one UDP socket to the service and then to its backend.
func peerAfterBoth(t *testing.T, ns string, backend netip.AddrPort) string {
	t.Helper()
	var peer unix.Sockaddr
	must(t, inNetNS(ns, func() error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		for _, to := range []netip.AddrPort{netip.MustParseAddrPort(webIP + ":80"), backend} {
			if err := unix.Connect(s, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
				return err
			}
		}
		peer, err = unix.Getpeername(s)
		return err
	}))
	return sockaddrString(peer)
}

// peerName asks the kernel; Go's RemoteAddr remembers what was dialed.
func peerName(t *testing.T, c net.Conn) string {
	t.Helper()
	raw, err := c.(interface {
		SyscallConn() (syscall.RawConn, error)
	}).SyscallConn()
	must(t, err)
	var peer unix.Sockaddr
	must(t, raw.Control(func(fd uintptr) { peer, err = unix.Getpeername(int(fd)) }))
	must(t, err)
	return sockaddrString(peer)
}

func sockaddrString(sa unix.Sockaddr) string {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port)).String()
	}
	return fmt.Sprint(sa)
}

// TestSocketKinds goes through the kinds of sockets that take different paths in the
// kernel: by family, protocol, and connected or not.
func TestSocketKinds(t *testing.T) {
	l := newLab(t)
	a, b := l.pod("a"), l.pod("b")
	for _, k := range []struct {
		name              string
		family, kind      int
		connect, answered bool
	}{
		{"tcp", unix.AF_INET, unix.SOCK_STREAM, true, true},
		{"tcp v4-mapped", unix.AF_INET6, unix.SOCK_STREAM, true, true},
		{"udp connected", unix.AF_INET, unix.SOCK_DGRAM, true, true},
		{"udp connected v4-mapped", unix.AF_INET6, unix.SOCK_DGRAM, true, true},
		{"udp sendto", unix.AF_INET, unix.SOCK_DGRAM, false, true},
		{"udp sendto v4-mapped", unix.AF_INET6, unix.SOCK_DGRAM, false, true},
	} {
		t.Run(k.name, func(t *testing.T) {
			l.apply(web(0, b))
			peer, err := exchange(a.ns, k.family, k.kind, k.connect)
			if err != nil || peer != webIP+":80" {
				t.Errorf("answer from %s, %v", peer, err)
			}
			l.apply(web(0))
			if _, err := exchange(a.ns, k.family, k.kind, k.connect); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("without endpoints: %v", err)
			}
		})
	}
}

// exchange sends one request to the service with plain system calls and returns whom the
// kernel names as the sender of the answer.
func exchange(ns string, family, kind int, connect bool) (peer string, err error) {
	to := unix.Sockaddr(&unix.SockaddrInet4{Port: 80, Addr: netip.MustParseAddr(webIP).As4()})
	if family == unix.AF_INET6 {
		to = &unix.SockaddrInet6{Port: 80, Addr: netip.MustParseAddr("::ffff:" + webIP).As16()}
	}
	err = inNetNS(ns, func() error {
		s, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10}); err != nil {
			return err
		}
		if connect {
			if err := unix.Connect(s, to); err != nil {
				return err
			}
			_, err = unix.Write(s, []byte("?\n"))
		} else {
			err = unix.Sendto(s, []byte("?\n"), 0, to)
		}
		if err != nil {
			return err
		}
		_, from, err := receive(s, make([]byte, 200))
		if err == nil && kind == unix.SOCK_STREAM {
			from, err = unix.Getpeername(s)
		}
		peer = sockaddrString(from)
		return err
	})
	return peer, err
}

// receive goes on when a signal of the runtime cuts the wait short.
func receive(s int, buf []byte) (n int, from unix.Sockaddr, err error) {
	for {
		if n, from, err = unix.Recvfrom(s, buf, 0); !errors.Is(err, unix.EINTR) {
			return n, from, err
		}
	}
}

// TestSwapUnderLoad: backends come and go while requests are made, and none fails.
func TestSwapUnderLoad(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.apply(web(0, b))
	stop, requests := l.load(a.ns, "tcp"), 0
	for i := range 200 {
		l.apply([]plan.Service{web(0, c), web(0, b, c), web(0, b)}[i%3])
		time.Sleep(2 * time.Millisecond)
	}
	requests = stop()
	t.Logf("200 changes, %d requests", requests)
}

// load asks the service again and again until the returned function is called, which
// fails the test if any request failed and tells how many there were.
func (l *lab) load(ns, network string) (stop func() int) {
	var n atomic.Int64
	var first atomic.Pointer[error]
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, _, err := askOnce(ns, network, webIP+":80"); err != nil {
					first.CompareAndSwap(nil, &err)
				}
				n.Add(1)
			}
		})
	}
	return func() int {
		l.t.Helper()
		close(done)
		wg.Wait()
		if err := first.Load(); err != nil {
			l.t.Errorf("a request failed: %v", *err)
		}
		if n.Load() == 0 {
			l.t.Error("no request was made")
		}
		return int(n.Load())
	}
}

// TestUDPBackendReplaced: a socket that names the service in each packet reaches the new
// backend with the next one; a connected one after it connects again.
func TestUDPBackendReplaced(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.apply(web(0, b))
	var s net.PacketConn
	must(t, inNetNS(a.ns, func() (err error) {
		s, err = net.ListenPacket("udp4", ":0")
		return err
	}))
	defer s.Close()
	must(t, s.SetDeadline(time.Now().Add(20*time.Second)))
	to := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(webIP + ":80"))
	for _, p := range []*pod{b, b, c, c, b} {
		l.apply(web(0, p))
		_, err := s.WriteTo([]byte("?"), to)
		must(t, err)
		buf := make([]byte, 100)
		n, from, err := s.ReadFrom(buf)
		if err != nil || from.String() != to.String() || string(buf[:1]) != p.name {
			t.Fatalf("%q from %v, %v; want %s from %s", buf[:n], from, err, p.name, to)
		}
		l.expect(a.ns, "udp", webIP+":80", p)
	}
}

// TestBothBackendsServe: without affinity the backends share the load.
func TestBothBackendsServe(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.apply(web(0, b, c))
	served := map[string]int{}
	for range 60 {
		name, _, err := askOnce(a.ns, "tcp", webIP+":80")
		must(t, err)
		served[name]++
	}
	// 60 fair coins show less than 12 heads once in a million.
	if served["b"] < 12 || served["c"] < 12 {
		t.Fatalf("unfair: %v", served)
	}
}
