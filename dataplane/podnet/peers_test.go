package podnet

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestPeers: routes to other nodes' pods come and go with them, those of other clusters
// stay, and one that can't be reached keeps none from theirs.
func TestPeers(t *testing.T) {
	o := options(t)
	o.ClusterCIDR = netip.MustParsePrefix("10.77.0.0/16")
	n := open(t, o)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "wire"
	must(t, n.node.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	wire, err := n.node.LinkByName("wire")
	must(t, err)
	must(t, n.node.AddrAdd(wire, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.79.0.1/24"))}))
	must(t, n.node.LinkSetUp(wire))
	foreign := netip.MustParsePrefix("10.80.0.0/24")
	must(t, n.node.RouteAdd(&netlink.Route{Dst: ipNet(foreign), Gw: netip.MustParseAddr("10.79.0.9").AsSlice(), Protocol: routeProtocol}))

	a := Peer{netip.MustParsePrefix("10.77.4.0/24"), netip.MustParseAddr("10.79.0.4")}
	b := Peer{netip.MustParsePrefix("10.77.5.0/24"), netip.MustParseAddr("10.79.0.5")}
	lost := Peer{netip.MustParsePrefix("10.77.6.0/24"), netip.MustParseAddr("203.0.113.1")}
	for _, step := range []struct {
		peers []Peer
		want  []Peer
		fails bool
	}{
		{[]Peer{a, b}, []Peer{a, b}, false},
		{[]Peer{lost, b}, []Peer{b}, true},
		{[]Peer{{a.PodCIDR, b.Via}}, []Peer{{a.PodCIDR, b.Via}}, false},
		{nil, nil, false},
	} {
		if err := n.SetPeers(step.peers); (err != nil) != step.fails {
			t.Errorf("%v: %v", step.peers, err)
		}
		step.want = append(step.want, Peer{foreign, netip.MustParseAddr("10.79.0.9")})
		routes, err := n.node.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{LinkIndex: wire.Attrs().Index, Protocol: routeProtocol}, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL)
		must(t, err)
		if len(routes) != len(step.want) {
			t.Errorf("%v: routes %v", step.peers, routes)
		}
		for _, w := range step.want {
			got, err := n.node.RouteGet(w.PodCIDR.Addr().Next().AsSlice())
			if err != nil || len(got) != 1 || !got[0].Gw.Equal(w.Via.AsSlice()) {
				t.Errorf("to %s: %v, %v", w.PodCIDR, got, err)
			}
		}
	}
	must(t, n.SetPeers([]Peer{a}))
	must(t, n.Remove())
	h, err := nodeHandle(o)
	must(t, err)
	defer h.Close()
	if routes, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: routeProtocol}, netlink.RT_FILTER_PROTOCOL); err != nil || len(routes) != 1 {
		t.Errorf("left: %v, %v", routes, err)
	}
}
