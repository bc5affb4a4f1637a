package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/dataplane/plan"
)

// TestFullTables: more backends than the tables hold. Who does not fit is named, who fits
// works, a service that fits can still change, and when one goes the other comes by itself.
func TestFullTables(t *testing.T) {
	told := make(chan plan.Refusals, 10)
	l := newLabWith(t, func(o *Options) { o.Unplaced = func(r plan.Refusals) { told <- r } })
	a, b, c := l.pod("a"), l.pod("b"), l.pod("c")
	want := []plan.Service{web(0, b)}
	for i := range plan.MaxSlots >> 15 {
		want = append(want, huge(i, 1<<15))
	}
	for order := 14; order >= 0; order-- { // and what lies between
		want = append(want, huge(100+order, 1<<order))
	}
	late := web(0, c)
	late.Key, late.ClusterIP = "default/late", netip.MustParseAddr("10.201.0.12")
	want = append(want, late)
	if err := l.plane.Apply(want); !errors.Is(err, plan.ErrFull) {
		t.Fatalf("placed it all: %v", err)
	}
	if r := <-told; !strings.Contains(fmt.Sprint(r), "default/late") || strings.Contains(fmt.Sprint(r), "default/web") {
		t.Fatalf("told of %v", r)
	}
	l.expect(a.ns, "tcp", webIP+":80", b)
	must(t, l.plane.Change([]plan.Service{web(0, c)}, nil))
	l.expect(a.ns, "tcp", webIP+":80", c)
	must(t, l.plane.Change(nil, []string{want[1].Key, want[2].Key, want[3].Key, want[4].Key}))
	select {
	case r := <-told:
		if len(r) != 0 {
			t.Fatalf("still not placed: %v", r)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody tries again")
	}
	l.expect(a.ns, "tcp", "10.201.0.12:80", c)
}

// TestLargeSet: a set of backends that reaches over several windows of the mapped table is
// found again as it was written.
func TestLargeSet(t *testing.T) {
	l := newLab(t)
	s := huge(1, 3<<(windowOrder-1))
	l.apply(s)
	must(t, l.plane.Close())
	l.open()
	got, _ := l.plane.written.Lookup(plan.Frontend{Addr: s.ClusterIP, Port: 80, Proto: plan.TCP})
	if !slices.Equal(got, s.Ports[0].Endpoints) {
		t.Fatalf("%d backends were read back, %d written, and not the same", len(got), len(s.Ports[0].Endpoints))
	}
}

// huge is a service of n backends that nobody calls.
func huge(i, n int) plan.Service {
	p := plan.Port{Proto: plan.TCP, Port: 80}
	for j := range n {
		p.Endpoints = append(p.Endpoints, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 210 + byte(j>>16), byte(j >> 8), byte(j)}), uint16(1000+i)))
	}
	return plan.Service{Key: fmt.Sprintf("huge/s%02d", i), ClusterIP: netip.AddrFrom4([4]byte{10, 201, 1, byte(i)}), Ports: []plan.Port{p}}
}
