package ebpf

import (
	"net"
	"net/netip"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/stave-run/stave/dataplane/dns"
	"github.com/stave-run/stave/dataplane/plan"
)

// TestClusterDNS: a pod asks the cluster DNS service's address for a service and calls it
// by what it got; the answer comes from the server on its node.
func TestClusterDNS(t *testing.T) {
	l := newLab(t)
	a, b, bypassing := l.pod("a"), l.pod("b"), l.pod("c")
	l.bypass(bypassing)
	listen := netip.AddrPortFrom(l.net.Gateway(), 10053)
	var udp net.PacketConn
	var tcp net.Listener
	must(t, inNetNS(l.node, func() (err error) {
		if udp, err = net.ListenPacket("udp4", listen.String()); err != nil {
			return err
		}
		tcp, err = net.Listen("tcp4", listen.String())
		return err
	}))
	s := dns.ServeOn(t.Context(), udp, tcp, dns.Options{Upstreams: []netip.AddrPort{}})
	defer s.Close()
	s.Update([]dns.Row{{Name: "web", Namespace: "default", ClusterIP: netip.MustParseAddr(webIP)}})
	const clusterDNS = "10.201.0.53:53"
	l.apply(web(0, b), plan.Service{Key: "kube-system/kube-dns", ClusterIP: netip.MustParseAddr("10.201.0.53"), Ports: []plan.Port{
		{Name: "dns", Proto: plan.UDP, Port: 53, Endpoints: []netip.AddrPort{s.Addr()}},
		{Name: "dns-tcp", Proto: plan.TCP, Port: 53, Endpoints: []netip.AddrPort{s.Addr()}},
	}})
	for _, from := range []string{a.ns, l.node, bypassing.ns} {
		for _, network := range []string{"udp", "tcp"} {
			c, err := dial(from, network, clusterDNS)
			must(t, err)
			q := new(miekg.Msg).SetQuestion("web.default.svc.cluster.local.", miekg.TypeA)
			m, _, err := (&miekg.Client{Net: network, Timeout: 2 * time.Second}).ExchangeWithConn(q, &miekg.Conn{Conn: c})
			c.Close()
			if err != nil || len(m.Answer) != 1 {
				t.Fatalf("%s from %s: %v, %v", network, from, m, err)
			}
			l.expect(from, "tcp", m.Answer[0].(*miekg.A).A.String()+":80", b)
		}
	}
	if _, _, err := askOnce(l.outside, "udp", onNode(10053)); err == nil {
		t.Error("the server answers the outside")
	}
}
