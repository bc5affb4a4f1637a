package ebpf

import (
	"testing"

	"github.com/vishvananda/netlink"
)

// TestOlderKernel: the same traffic with filters in the place of links, over a restart,
// beside a second cluster, and nothing is left at the end.
func TestOlderKernel(t *testing.T) {
	l := newLabWith(t, func(o *Options) { o.classic = true })
	a, b := l.pod("a"), l.pod("b")
	l.bypass(a)
	l.serve(l.outside, "world", outsideAddr+":9000")
	l.apply(web(nodePort, b))
	second := l.opts
	second.Cluster += "-2"
	other, err := Open(t.Context(), second)
	must(t, err)
	check := func() {
		t.Helper()
		for _, network := range []string{"tcp", "udp"} {
			l.expect(l.outside, network, onNode(nodePort), b)
			l.expect(a.ns, network, webIP+":80", b)
			if _, seen, err := askOnce(a.ns, network, outsideAddr+":9000"); err != nil || hostOf(seen) != nodeAddr {
				t.Errorf("%s to outside: the server saw %s, %v", network, seen, err)
			}
		}
	}
	check()
	must(t, l.plane.Close())
	check()
	l.open()
	check()
	if n := l.filters(); n != 2*(2+1+1) {
		t.Errorf("%d filters; want two each on the uplink and two pods, and the other cluster's on the uplink", n)
	}
	must(t, other.Remove())
	check()
	must(t, l.plane.Remove())
	if n := l.filters(); n != 0 {
		t.Errorf("%d filters are left", n)
	}
	h := l.handle(l.node)
	defer h.Close()
	qdiscs, err := h.QdiscList(nil)
	must(t, err)
	for _, q := range qdiscs {
		if q.Type() == "clsact" {
			t.Errorf("left: %v", q)
		}
	}
	l.open()
}

// filters counts all filters on all links of the node.
func (l *lab) filters() int {
	l.t.Helper()
	h := l.handle(l.node)
	defer h.Close()
	links, err := h.LinkList()
	must(l.t, err)
	n := 0
	for _, k := range links {
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			list, err := h.FilterList(k, parent)
			must(l.t, err)
			n += len(list)
		}
	}
	return n
}
