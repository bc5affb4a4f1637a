package ebpf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// dropped is how long nobody answers when packets are dropped; who answers does so within milliseconds.
const dropped = time.Second

// elsewhere is a backend on another node.
func (l *lab) elsewhere() *pod {
	l.t.Helper()
	p := &pod{name: "far", ns: l.namespace("far"), ip: netip.MustParseAddr("192.168.78.101")}
	l.connect(l.node, "192.168.78.1", p.ns, p.ip.String())
	p.close = l.serve(p.ns, p.name, p.addrPort().String())
	must(l.t, l.plane.syncDevices())
	return p
}

// kept is the service web with policies: all its pods, and those of them on this node.
func kept(internal, external bool, all, local []*pod) plan.Service {
	s, here := web(nodePort, all...), web(nodePort, local...)
	s.InternalLocal, s.ExternalLocal = internal, external
	for i := range s.Ports {
		s.Ports[i].Local = here.Ports[i].Endpoints
	}
	return s
}

// answering asks until all of the pods have answered, and fails when another one does.
func (l *lab) answering(ns, network, addr string, pods ...*pod) {
	l.t.Helper()
	missing := map[string]bool{}
	for _, p := range pods {
		missing[p.name] = true
	}
	for i := 0; len(missing) > 0 || i < 10; i++ {
		name, _, err := askOnce(ns, network, addr)
		if err != nil || !slices.ContainsFunc(pods, func(p *pod) bool { return p.name == name }) {
			l.t.Fatalf("%s %s: answered by %q, %v", network, addr, name, err)
		}
		if delete(missing, name); i > 2000 {
			l.t.Fatalf("%s %s: after %d requests nothing of %v", network, addr, i, missing)
		}
	}
}

// silent fails unless nobody answers at all: a refusal is an answer.
func (l *lab) silent(ns, network, addr string) {
	l.t.Helper()
	var c net.Conn
	err := inNetNS(ns, func() (err error) {
		c, err = net.DialTimeout(network, addr, dropped)
		return err
	})
	if err == nil {
		defer c.Close()
		must(l.t, c.SetDeadline(time.Now().Add(dropped)))
		_, _, err = ask(c)
	}
	if e := net.Error(nil); !errors.As(err, &e) || !e.Timeout() {
		l.t.Fatalf("%s %s: %v, want silence", network, addr, err)
	}
}

func (l *lab) refused(ns, network, addr string) {
	l.t.Helper()
	if _, _, err := askOnce(ns, network, addr); !errors.Is(err, unix.ECONNREFUSED) {
		l.t.Fatalf("%s %s from %s: %v, want a refusal", network, addr, ns, err)
	}
}

// TestExternalLocal: what comes from outside stays on its node, with its address; who is inside asks all.
func TestExternalLocal(t *testing.T) {
	l := newLab(t)
	a, b, c, far := l.pod("a"), l.pod("b"), l.pod("c"), l.elsewhere()
	l.bypass(c)
	all := []*pod{b, far}
	at := onNode(nodePort)
	for _, network := range []string{"tcp", "udp"} {
		l.apply(kept(false, true, all, []*pod{b}))
		l.answering(l.outside, network, at, b)
		if seen := l.expect(l.outside, network, at, b); seen != outsideAddr {
			t.Errorf("%s: the pod saw %s, not its client", network, seen)
		}
		for _, inside := range []string{a.ns, c.ns, l.node} {
			l.answering(inside, network, at, all...)
			l.answering(inside, network, webIP+":80", all...)
		}
		open, err := dial(l.outside, network, at)
		must(t, err)
		defer open.Close()
		if name, _, err := ask(open); err != nil || name != "b" {
			t.Fatalf("%s: answered by %q, %v", network, name, err)
		}

		// The last one here ends: new connections get no answer, one that is there goes on.
		l.apply(kept(false, true, []*pod{far}, nil))
		l.silent(l.outside, network, at)
		if network == "tcp" {
			if name, _, err := ask(open); err != nil || name != "b" {
				t.Fatalf("the open connection: answered by %q, %v", name, err)
			}
		}
		l.answering(a.ns, network, at, far)
		l.answering(c.ns, network, at, far)

		l.apply(kept(false, true, all, []*pod{b}))
		l.answering(l.outside, network, at, b)

		// Nobody anywhere is a refusal, as by every service without anybody.
		l.apply(kept(false, true, nil, nil))
		if network == "tcp" {
			l.refused(l.outside, network, at)
		}
		l.refused(a.ns, network, at)

		l.apply(kept(false, false, []*pod{far}, nil))
		l.answering(l.outside, network, at, far)
		if seen := l.expect(l.outside, network, at, far); seen != "192.168.78.1" {
			t.Errorf("%s, for the whole cluster: the pod saw %s, not the node", network, seen)
		}
	}
}

// TestExternalLocalIsSticky: affinity holds among those that are here.
func TestExternalLocalIsSticky(t *testing.T) {
	l := newLab(t)
	a, b, far := l.pod("a"), l.pod("b"), l.elsewhere()
	s := kept(false, true, []*pod{a, b, far}, []*pod{a, b})
	s.AffinitySeconds = 600
	l.apply(s)
	first, _, err := askOnce(l.outside, "tcp", onNode(nodePort))
	must(t, err)
	mine, other := a, b
	if first == "b" {
		mine, other = b, a
	}
	l.answering(l.outside, "tcp", onNode(nodePort), mine)
	s = kept(false, true, []*pod{other, far}, []*pod{other})
	s.AffinitySeconds = 600
	l.apply(s)
	l.answering(l.outside, "tcp", onNode(nodePort), other)
}

// TestInternalLocal: the ClusterIP leads to who is on the node, and nowhere where nobody is.
func TestInternalLocal(t *testing.T) {
	l := newLab(t)
	a, b, c, far := l.pod("a"), l.pod("b"), l.pod("c"), l.elsewhere()
	l.bypass(c)
	all := []*pod{b, far}
	for _, network := range []string{"tcp", "udp"} {
		l.apply(kept(true, false, all, []*pod{b}))
		for _, from := range []string{a.ns, b.ns, c.ns, l.node} {
			l.answering(from, network, webIP+":80", b)
			l.answering(from, network, onNode(nodePort), all...)
		}
		l.answering(l.outside, network, onNode(nodePort), all...)
		l.apply(kept(true, false, []*pod{far}, nil))
		for _, from := range []string{a.ns, c.ns, l.node} {
			l.refused(from, network, webIP+":80")
		}
		l.answering(l.outside, network, onNode(nodePort), far)
	}
	// Both policies at once.
	l.apply(kept(true, true, all, []*pod{b}))
	l.answering(l.outside, "tcp", onNode(nodePort), b)
	l.answering(a.ns, "tcp", webIP+":80", b)
	l.answering(a.ns, "tcp", onNode(nodePort), all...)
}

// TestBalancersAddress: a load balancer leaves the address on its packets, and nobody inside needs to go out to it.
func TestBalancersAddress(t *testing.T) {
	l := newLab(t)
	a, b, c, far := l.pod("a"), l.pod("b"), l.pod("c"), l.elsewhere()
	l.bypass(c)
	const balancer = "203.0.113.7"
	h := l.handle(l.outside)
	defer h.Close()
	to, err := netlink.ParseIPNet(balancer + "/32")
	must(t, err)
	must(t, h.RouteAdd(&netlink.Route{Dst: to, Gw: net.ParseIP(nodeAddr)}))
	at := fmt.Sprintf("%s:%d", balancer, 80)
	with := func(external bool, all, local []*pod) {
		s := kept(false, external, all, local)
		s.Outer = []netip.Addr{netip.MustParseAddr(balancer)}
		l.apply(s)
	}
	for _, network := range []string{"tcp", "udp"} {
		with(false, []*pod{b, far}, []*pod{b})
		for _, from := range []string{l.outside, l.node, a.ns, c.ns} {
			l.answering(from, network, at, b, far)
		}
		with(true, []*pod{b, far}, []*pod{b})
		l.answering(l.outside, network, at, b)
		if seen := l.expect(l.outside, network, at, b); seen != outsideAddr {
			t.Errorf("%s: the pod saw %s, not its client", network, seen)
		}
		for _, from := range []string{l.node, a.ns, c.ns} {
			l.answering(from, network, at, b, far)
		}
		with(true, []*pod{far}, nil)
		l.silent(l.outside, network, at)
		l.answering(a.ns, network, at, far)
		with(true, nil, nil)
		for _, from := range []string{l.outside, l.node, a.ns, c.ns} {
			l.refused(from, network, at)
		}
	}
}
