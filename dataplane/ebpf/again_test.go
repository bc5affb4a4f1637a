package ebpf

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/dataplane/plan"
)

// TestSynSentAgain: nobody answers a connection's first packet, so it is sent again. It is the same connection: the backend
// sees it from the same port, and not a second one whose answers the first one's client gets too.
func TestSynSentAgain(t *testing.T) {
	l := newLab(t)
	hidden := l.pod("hidden")
	l.bypass(hidden)
	const port = 9300
	out := web(nodePort)
	out.ClusterIP = netip.MustParseAddr("10.201.0.14")
	out.Ports = []plan.Port{{Proto: plan.TCP, Port: 80, Endpoints: []netip.AddrPort{netip.MustParseAddrPort(fmt.Sprintf("%s:%d", outsideAddr, port))}}}
	l.apply(out)
	l.swallow(l.outside, port)
	h := l.handle(l.outside)
	defer h.Close()
	nowhere := &netlink.Route{Dst: netlink.NewIPNet(net.ParseIP(nodeAddr)), Type: unix.RTN_BLACKHOLE}
	must(t, h.RouteAdd(nowhere))
	connected := make(chan error, 1)
	go func() { connected <- l.transfer(hidden.ns, "10.201.0.14:80", 1000) }()
	for end := time.Now().Add(20 * time.Second); l.sentAgain(hidden.ns) < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the client did not send its first packet again")
		}
	}
	if ports := l.answerable(outsideAddr, port); len(ports) != 1 {
		t.Errorf("the backend's answers are awaited at %v; want one port", ports)
	}
	must(t, h.RouteDel(nowhere))
	if err := <-connected; err != nil {
		t.Error(err)
	}
}

// netFile reads a file of /proc/net of a namespace.
func (l *lab) netFile(ns, name string) string {
	l.t.Helper()
	var b []byte
	must(l.t, inNetNS(ns, func() (err error) {
		b, err = os.ReadFile("/proc/thread-self/net/" + name)
		return err
	}))
	return string(b)
}

// sentAgain is how many segments of TCP a namespace has sent more than once.
func (l *lab) sentAgain(ns string) int {
	l.t.Helper()
	var names []string
	for line := range strings.Lines(l.netFile(ns, "snmp")) {
		words := strings.Fields(line)
		if words[0] != "Tcp:" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, name := range names {
			if name == "RetransSegs" {
				n, err := strconv.Atoi(words[i])
				must(l.t, err)
				return n
			}
		}
	}
	l.t.Fatal("no count of what was sent again")
	return 0
}

// answerable are the ports of the node at which a backend's answers are taken for a client's.
func (l *lab) answerable(addr string, port uint16) (ports []uint16) {
	l.t.Helper()
	var t programsTuple
	var f programsFlow
	it := l.plane.objs.Flows.Iterate()
	for it.Next(&t, &f) {
		if t.Src == be32(netip.MustParseAddr(addr)) && t.Sport == be16(port) {
			ports = append(ports, be16(t.Dport))
		}
	}
	must(l.t, it.Err())
	return ports
}
