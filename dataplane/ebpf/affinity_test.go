package ebpf

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// sticky is web for clients that stay.
func sticky(seconds uint32, pods ...*pod) plan.Service {
	s := web(nodePort, pods...)
	s.AffinitySeconds = seconds
	return s
}

// TestAffinity: a client stays with its backend wherever it is and by whatever address it
// comes, is led to another one when its own goes, and stays there.
func TestAffinity(t *testing.T) {
	l := newLab(t)
	a, b, c, hidden := l.pod("a"), l.pod("b"), l.pod("c"), l.pod("hidden")
	l.bypass(hidden)
	for _, from := range []struct{ name, ns, addr string }{
		{"pod", a.ns, webIP + ":80"},
		{"pod by node port", a.ns, onNode(nodePort)},
		{"node", l.node, webIP + ":80"},
		{"node by loopback", l.node, "127.0.0.1:30000"},
		{"outside", l.outside, onNode(nodePort)},
		{"packets", hidden.ns, webIP + ":80"},
	} {
		t.Run(from.name, func(t *testing.T) {
			l.apply(sticky(60, b, c))
			for _, network := range []string{"tcp", "udp"} {
				first, _, err := askOnce(from.ns, network, from.addr)
				must(t, err)
				for range 12 {
					if name, _, err := askOnce(from.ns, network, from.addr); err != nil || name != first {
						t.Fatalf("%s: answered by %s, %v; first by %s", network, name, err, first)
					}
				}
				other := map[string]*pod{"b": c, "c": b}[first]
				l.apply(sticky(60, other))
				l.expect(from.ns, network, from.addr, other)
				l.apply(sticky(60, b, c))
				for range 12 {
					l.expect(from.ns, network, from.addr, other)
				}
			}
		})
	}
}

// TestAffinityEnds: who was silent for the timeout is a new client, and finds any backend.
func TestAffinityEnds(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	const timeout = 60
	l.apply(sticky(timeout, b, c))
	served := map[string]int{}
	for range 24 {
		name, _, err := askOnce(a.ns, "tcp", webIP+":80")
		must(t, err)
		served[name]++
		must(t, l.aged(a, timeout))
	}
	if served["b"] == 0 || served["c"] == 0 {
		t.Errorf("a client that was silent 24 times always found the same: %v", served)
	}
}

// TestAffinityOfManyClients: a client whose row had to make room for others finds its
// backend again; clients are spread over the backends.
func TestAffinityOfManyClients(t *testing.T) {
	l := newLab(t)
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	l.apply(sticky(60, b, c))
	first, _, err := askOnce(a.ns, "tcp", webIP+":80")
	must(t, err)
	for range 12 {
		must(t, prune(l.plane.objs.Stickies, func(programsStickyKey, programsSticky) bool { return true }))
		if name, _, err := askOnce(a.ns, "tcp", webIP+":80"); err != nil || name != first {
			t.Fatalf("answered by %s, %v; first by %s", name, err, first)
		}
	}
	served := map[string]int{}
	for i := range 40 {
		ip := netip.AddrFrom4([4]byte{192, 168, 77, byte(150 + i)})
		l.address(l.outside, ip)
		name, err := askFrom(l.outside, ip, onNode(nodePort))
		must(t, err)
		served[name]++
	}
	if served["b"] < 6 || served["c"] < 6 {
		t.Errorf("unfair: %v", served)
	}
}

// TestAffinityAmongThousands: how many backends there are makes no difference.
func TestAffinityAmongThousands(t *testing.T) {
	l := newLab(t)
	a := l.pod("a")
	s := sticky(60)
	const many = 5000
	for i := range many {
		s.Ports[1].Endpoints = append(s.Ports[1].Endpoints, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 203, byte(i >> 8), byte(i)}), 80))
	}
	l.apply(s)
	l.connectUDP(a.ns)
	for _, i := range []int{0, 1, many / 2, many - 2, many - 1} {
		want := slot(s.Ports[1].Endpoints[i])
		must(t, l.stick(a, want))
		l.connectUDP(a.ns)
		if got := l.stuck(a); got != want {
			t.Errorf("the client of backend %d was moved to %s", i, backendOf(got))
		}
		without := s
		without.Ports = append([]plan.Port{}, s.Ports...)
		without.Ports[1].Endpoints = append(append([]netip.AddrPort{}, s.Ports[1].Endpoints[:i]...), s.Ports[1].Endpoints[i+1:]...)
		l.apply(without)
		l.connectUDP(a.ns)
		if got := l.stuck(a); got == want {
			t.Errorf("the client of backend %d, which is gone, stays there", i)
		}
		l.apply(s)
	}
}

// connectUDP connects to the service without sending anything.
func (l *lab) connectUDP(ns string) {
	l.t.Helper()
	c, err := dial(ns, "udp", webIP+":80")
	must(l.t, err)
	must(l.t, c.Close())
}

// rows are a pod's stickies: of one service port in these tests.
func (l *lab) rows(p *pod) map[programsStickyKey]programsSticky {
	l.t.Helper()
	cookie, err := netNSCookie(p.ns)
	must(l.t, err)
	out := map[programsStickyKey]programsSticky{}
	for it, k, v := l.plane.objs.Stickies.Iterate(), (programsStickyKey{}), (programsSticky{}); it.Next(&k, &v); {
		if k.Client == cookie {
			out[k] = v
		}
	}
	if len(out) != 1 {
		l.t.Fatalf("%d stickies of %s", len(out), p.name)
	}
	return out
}

func (l *lab) stuck(p *pod) uint64 {
	l.t.Helper()
	for _, v := range l.rows(p) {
		return v.Slot
	}
	return 0
}

// stick makes a backend the one that a pod had.
func (l *lab) stick(p *pod, slot uint64) error {
	l.t.Helper()
	for k, v := range l.rows(p) {
		v.Slot = slot
		return l.plane.objs.Stickies.Put(k, v)
	}
	return nil
}

// aged has a pod been silent for some seconds more.
func (l *lab) aged(p *pod, seconds uint64) error {
	l.t.Helper()
	for k, v := range l.rows(p) {
		v.Seen -= seconds
		if err := l.plane.objs.Stickies.Put(k, v); err != nil {
			return err
		}
	}
	return nil
}

// askFrom asks once over TCP from an address.
func askFrom(ns string, from netip.Addr, to string) (name string, err error) {
	err = inNetNS(ns, func() error {
		s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		ap := netip.MustParseAddrPort(to)
		if err := unix.Bind(s, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
			return err
		}
		if err := unix.Connect(s, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
			return err
		}
		if _, err := unix.Write(s, []byte("?\n")); err != nil {
			return err
		}
		buf := make([]byte, 100)
		n, err := unix.Read(s, buf)
		for i, c := range buf[:max(n, 0)] {
			if c == ' ' {
				name = string(buf[:i])
				break
			}
		}
		return err
	})
	return name, err
}

// address gives a namespace's uplink one more address.
func (l *lab) address(ns string, ip netip.Addr) {
	l.t.Helper()
	h := l.handle(ns)
	defer h.Close()
	links, err := h.LinkList()
	must(l.t, err)
	for _, k := range links {
		if k.Attrs().Name != "lo" {
			must(l.t, h.AddrAdd(k, &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(24, 32)}}))
			return
		}
	}
	l.t.Fatalf("no link in %s", ns)
}

// slot is a backend as the tables have it.
func slot(a netip.AddrPort) uint64 {
	b, _ := plan.BackendOf(a)
	return slotOf(b)
}
