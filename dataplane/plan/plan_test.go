package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func endpoints(s ...string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, x := range s {
		out = append(out, netip.MustParseAddrPort(x))
	}
	return out
}

func web(eps ...string) Service {
	return Service{Key: "default/web", ClusterIP: netip.MustParseAddr("10.96.0.1"), Ports: []Port{
		{Proto: TCP, Port: 80, NodePort: 30000, Endpoints: endpoints(eps...)}}}
}

func printed(ws []Write) string {
	var lines []string
	for _, w := range ws {
		lines = append(lines, w.String())
	}
	return strings.Join(lines, "\n")
}

// TestWritesPrintThemselves shows a service's life as its writes tell it.
func TestWritesPrintThemselves(t *testing.T) {
	w := New()
	steps := []struct {
		name string
		want []Service
		out  string
	}{
		{"appears", []Service{web("10.1.0.3:80", "10.1.0.2:80")},
			"set #0 = 10.1.0.2:80 10.1.0.3:80 at 0\nbind 10.96.0.1:80/TCP to #0\nbind node:30000/TCP to #0"},
		{"order means nothing", []Service{web("10.1.0.2:80", "10.1.0.3:80")}, ""},
		{"grows", []Service{web("10.1.0.2:80", "10.1.0.3:80", "10.1.0.4:80")},
			"set #0 = 10.1.0.2:80 10.1.0.3:80 10.1.0.4:80 at 4"},
		{"scaled to zero", []Service{web()}, "set #0 = refuse"},
		{"goes", nil, "unbind 10.96.0.1:80/TCP\nunbind node:30000/TCP"},
	}
	for _, s := range steps {
		out, err := Diff(s.want, w, start)
		if err != nil || printed(out) != s.out {
			t.Errorf("%s: %v\n%s\nwant\n%s", s.name, err, printed(out), s.out)
		}
	}
}

// TestUDPSocketsAreShed: only what took a backend away, and after it.
func TestUDPSocketsAreShed(t *testing.T) {
	w := New()
	names := func(eps ...string) []Service {
		return []Service{{Key: "kube-system/dns", ClusterIP: netip.MustParseAddr("10.96.0.10"), Ports: []Port{
			{Proto: UDP, Port: 53, Endpoints: endpoints(eps...)}}}}
	}
	for _, s := range []struct {
		name string
		want []Service
		out  string
	}{
		{"appears", names("10.1.0.2:53"), "set #0 = 10.1.0.2:53 at 0\nbind 10.96.0.10:53/UDP to #0"},
		{"grows", names("10.1.0.2:53", "10.1.0.3:53"), "set #0 = 10.1.0.2:53 10.1.0.3:53 at 2"},
		{"loses one", names("10.1.0.3:53"), "set #0 = 10.1.0.3:53 at 1\nshed sockets of 10.96.0.10:53/UDP"},
		{"goes", nil, "unbind 10.96.0.10:53/UDP\nshed sockets of 10.96.0.10:53/UDP"},
	} {
		out, err := Diff(s.want, w, start)
		if err != nil || printed(out) != s.out {
			t.Errorf("%s: %v\n%s\nwant\n%s", s.name, err, printed(out), s.out)
		}
	}
}

func TestHeadlessNeedsNoTables(t *testing.T) {
	s := web("10.1.0.2:80")
	s.ClusterIP, s.Ports[0].NodePort = netip.Addr{}, 0
	if out, err := Diff([]Service{s}, New(), start); err != nil || len(out) != 0 {
		t.Fatalf("wrote %v, %v", out, err)
	}
}

// TestFrontendMovesWithoutGap: a ClusterIP that changes its owner in one change is
// bound over, never unbound first.
func TestFrontendMovesWithoutGap(t *testing.T) {
	w := New()
	a := web("10.1.0.2:80")
	if _, err := Diff([]Service{a}, w, start); err != nil {
		t.Fatal(err)
	}
	b := web("10.1.0.9:80")
	b.Key = "default/other"
	out, err := Diff([]Service{b}, w, start)
	if err != nil || printed(out) != "set #0 = 10.1.0.9:80 at 1" {
		t.Fatalf("%v\n%s", err, printed(out))
	}
}

func TestSecondOwnerWaitsForTheFirst(t *testing.T) {
	w := New()
	a, b := web("10.1.0.2:80"), web("10.1.0.9:80")
	b.Key, b.ClusterIP = "default/thief", netip.MustParseAddr("10.96.0.2")
	_, err := Diff([]Service{a, b}, w, start)
	if !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), "default/thief") || !strings.Contains(err.Error(), "node:30000/TCP") {
		t.Fatalf("error %v", err)
	}
	node := Frontend{Port: 30000, Proto: TCP}
	if got, _ := w.Lookup(node); got[0].Addr().String() != "10.1.0.2" {
		t.Fatalf("the node port was stolen: %v", got)
	}
	if _, err := Diff([]Service{b}, w, start); err != nil {
		t.Fatal(err)
	}
	if got, _ := w.Lookup(node); got[0].Addr().String() != "10.1.0.9" {
		t.Fatalf("the node port did not move on: %v", got)
	}
}

// TestFullIsAnError: a service that does not fit is named, the others work, and it is
// placed as soon as there is room.
func TestFullIsAnError(t *testing.T) {
	w := New()
	w.slots = newArena(2)
	big := web("10.1.0.1:80", "10.1.0.2:80", "10.1.0.3:80")
	small := Service{Key: "default/small", ClusterIP: netip.MustParseAddr("10.96.0.7"),
		Ports: []Port{{Proto: UDP, Port: 53, Endpoints: endpoints("10.1.0.7:53")}}}
	out, err := Diff([]Service{big, small}, w, start)
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "default/small") || len(out) != 3 {
		t.Fatalf("%v\n%s", err, printed(out))
	}
	now := start.Add(2 * Quarantine)
	if _, err = Diff([]Service{small}, w, now); !errors.Is(err, ErrFull) {
		t.Fatalf("reused slots that a program may still read: %v", err)
	}
	if _, err = Diff([]Service{small}, w, now.Add(Quarantine)); err != nil {
		t.Fatal(err)
	}
}

// TestRetryWhenThereIsRoom: what did not fit is placed as soon as something is free, and
// nothing is tried in vain.
func TestRetryWhenThereIsRoom(t *testing.T) {
	w := New()
	w.slots = newArena(2)
	small := Service{Key: "default/small", ClusterIP: netip.MustParseAddr("10.96.0.7"),
		Ports: []Port{{Proto: UDP, Port: 53, Endpoints: endpoints("10.1.0.7:53")}}}
	if _, err := Diff([]Service{web("10.1.0.1:80", "10.1.0.2:80", "10.1.0.3:80"), small}, w, start); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	for range 2 {
		if out, err := w.Retry(start.Add(time.Minute)); !errors.Is(err, ErrFull) || len(out) != 0 {
			t.Fatalf("%v\n%s", err, printed(out))
		}
	}
	if r := w.Unplaced(); len(r) != 1 || r[0].Key != "default/small" {
		t.Fatalf("unplaced %v", r)
	}
	now := start.Add(time.Hour)
	if _, err := w.Change(nil, []string{"default/web"}, now); err != nil {
		t.Fatal(err)
	}
	if out, err := w.Retry(now); !errors.Is(err, ErrFull) || len(out) != 0 {
		t.Fatalf("placed where a program may still read: %v\n%s", err, printed(out))
	}
	out, err := w.Retry(now.Add(Quarantine))
	if err != nil || len(out) != 2 || len(w.Unplaced()) != 0 {
		t.Fatalf("%v\n%s", err, printed(out))
	}
	if out, err := w.Retry(now.Add(time.Hour)); err != nil || len(out) != 0 {
		t.Fatalf("%v\n%s", err, printed(out))
	}
}

// TestRetryOfATakenFrontend: its owner has gone, by a change that did not know of who waits.
func TestRetryOfATakenFrontend(t *testing.T) {
	w := New()
	a, b := web("10.1.0.2:80"), web("10.1.0.9:80")
	b.Key, b.ClusterIP = "default/second", netip.MustParseAddr("10.96.0.2")
	if _, err := w.Change([]Service{a, b}, nil, start); !errors.Is(err, ErrTaken) {
		t.Fatal(err)
	}
	if _, err := w.Change(nil, []string{a.Key}, start); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Retry(start); err != nil {
		t.Fatal(err)
	}
	if got, _ := w.Lookup(Frontend{Port: 30000, Proto: TCP}); fmt.Sprint(got) != "[10.1.0.9:80]" {
		t.Fatalf("the node port leads to %v", got)
	}
}

// TestAdoptCorruptRows: whatever is found in the kernel, its frontends keep working
// until their service is placed anew, and nothing is written over them.
func TestAdoptCorruptRows(t *testing.T) {
	front := Frontend{Addr: netip.MustParseAddr("10.96.0.1"), Port: 80, Proto: TCP}
	w := Adopt([]Row{
		{Frontend: Frontend{Port: 1, Proto: TCP}, ID: 3, Base: 0, Backends: canonical(endpoints("10.1.0.1:1", "10.1.0.2:1"))},
		{Frontend: front, ID: 4, Base: 1, Backends: canonical(endpoints("10.1.0.2:80"))},
		{Frontend: Frontend{Port: 2, Proto: TCP}, ID: 1 << 20, Base: 1 << 30, Backends: canonical(endpoints("10.1.0.2:80"))},
	})
	out, err := Diff([]Service{web("10.1.0.2:80")}, w, start)
	want := "set #5 = 10.1.0.2:80 at 2\nbind 10.96.0.1:80/TCP to #5\nbind node:30000/TCP to #5\nunbind node:1/TCP\nunbind node:2/TCP"
	if err != nil || printed(out) != want {
		t.Fatalf("%v\n%s\nwant\n%s", err, printed(out), want)
	}
}

func TestProtoAndAffinityPrint(t *testing.T) {
	if s := (SetBackends{ID: 1, Backends: canonical(endpoints("10.1.0.1:1")), AffinitySeconds: 9}).String(); s != "set #1 = 10.1.0.1:1 at 0 sticky 9s" {
		t.Error(s)
	}
	if s := fmt.Sprint(TCP, UDP, Proto(132)); s != "TCP UDP proto-132" {
		t.Error(s)
	}
}

// TestAMillionBackendsFit: 10,000 services of 100 backends fit, and a quarter of them can
// lose a backend at once.
func TestAMillionBackendsFit(t *testing.T) {
	w, all := New(), many(10_000, 100)
	if _, err := Diff(all, w, start); err != nil {
		t.Fatal(err)
	}
	for i := range all[:2500] {
		all[i].Ports[0].Endpoints = all[i].Ports[0].Endpoints[1:]
	}
	if out, err := Diff(all, w, start); err != nil || len(out) != 2500 {
		t.Fatalf("%d writes, %v", len(out), err)
	}
}

// TestOneChangeAmongMany: the writes of one change do not grow with the services.
func TestOneChangeAmongMany(t *testing.T) {
	w := New()
	if _, err := Diff(many(2000, 10), w, start); err != nil {
		t.Fatal(err)
	}
	changed := many(2000, 10)
	changed[777].Ports[0].Endpoints = changed[777].Ports[0].Endpoints[1:]
	out, err := Diff(changed, w, start)
	if err != nil || len(out) != 1 {
		t.Fatalf("%v: %d writes", err, len(out))
	}
}

func many(n, backends int) []Service {
	out := make([]Service, n)
	for i := range out {
		p := Port{Proto: TCP, Port: 80}
		for j := range backends {
			p.Endpoints = append(p.Endpoints, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(j), byte(i >> 8), byte(i)}), 80))
		}
		out[i] = Service{Key: fmt.Sprintf("ns/s%d", i), ClusterIP: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Ports: []Port{p}}
	}
	return out
}

// BenchmarkChangeOne is the cost of one service's change, beside 100 and 10,000 others.
func BenchmarkChangeOne(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := New()
			all := many(n, 10)
			if _, err := Diff(all, w, start); err != nil {
				b.Fatal(err)
			}
			s, now := all[n/2], start
			full := s.Ports[0].Endpoints
			for i := 0; b.Loop(); i++ {
				s.Ports = []Port{{Proto: TCP, Port: 80, Endpoints: full[(i+1)%2:]}}
				now = now.Add(time.Second)
				if out, err := w.Change([]Service{s}, nil, now); err != nil || len(out) != 1 {
					b.Fatal(out, err)
				}
			}
		})
	}
}
