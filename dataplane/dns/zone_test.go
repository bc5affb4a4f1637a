package dns

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// rows are one service of each kind.
var rows = []Row{
	{Name: "web", Namespace: "default", ClusterIP: ip("10.96.0.5"), Ports: []Port{{Name: "http", Proto: "TCP", Port: 80}, {Proto: "UDP", Port: 9}}},
	{Name: "db", Namespace: "prod", Ports: []Port{{Name: "sql", Proto: "TCP", Port: 5432,
		Endpoints: []netip.AddrPort{netip.MustParseAddrPort("10.1.0.2:5432"), netip.MustParseAddrPort("10.1.0.3:5432")}}},
		Hosts: []Host{{ip("10.1.0.2"), "db-0"}, {ip("10.1.0.3"), ""}}},
	{Name: "empty", Namespace: "prod"},
	{Name: "away", Namespace: "default", ExternalName: "web.default.svc.cluster.local"},
	{Name: "far", Namespace: "default", ExternalName: "example.com."},
}

// TestAnswers goes through the names that Kubernetes' specification gives to services.
func TestAnswers(t *testing.T) {
	const noData, noName = "NOERROR SOA", "NXDOMAIN SOA"
	z := testZone("Cluster.Local")
	for _, c := range []struct {
		question, kind, want string
	}{
		{"web.default.svc.cluster.local.", "A", "NOERROR A 10.96.0.5"},
		{"WEB.default.SVC.cluster.local.", "A", "NOERROR A 10.96.0.5"},
		{"web.default.svc.cluster.local.", "AAAA", noData},
		{"web.default.svc.cluster.local.", "ANY", "NOERROR A 10.96.0.5"},
		{"web.svc.cluster.local.", "A", noName},
		{"nothing.default.svc.cluster.local.", "A", noName},
		{"default.svc.cluster.local.", "A", noData},
		{"nowhere.svc.cluster.local.", "A", noName},
		{"svc.cluster.local.", "A", noData},
		{"cluster.local.", "A", noData},
		{"cluster.local.", "NS", "NOERROR NS ns.dns.cluster.local."},
		{"dns-version.cluster.local.", "TXT", `NOERROR TXT "1.1.0"`},
		{"_http._tcp.web.default.svc.cluster.local.", "SRV", "NOERROR SRV 0 100 80 web.default.svc.cluster.local. + A 10.96.0.5"},
		{"_tcp.web.default.svc.cluster.local.", "SRV", noData},
		{"_http._udp.web.default.svc.cluster.local.", "SRV", noName},
		{"db.prod.svc.cluster.local.", "A", "NOERROR A 10.1.0.2 A 10.1.0.3"},
		{"db-0.db.prod.svc.cluster.local.", "A", "NOERROR A 10.1.0.2"},
		{"10-1-0-3.db.prod.svc.cluster.local.", "A", "NOERROR A 10.1.0.3"},
		{"_sql._tcp.db.prod.svc.cluster.local.", "SRV", "NOERROR SRV 0 50 5432 db-0.db.prod.svc.cluster.local. " +
			"SRV 0 50 5432 10-1-0-3.db.prod.svc.cluster.local. + A 10.1.0.2 A 10.1.0.3"},
		{"empty.prod.svc.cluster.local.", "A", noData},
		{"away.default.svc.cluster.local.", "A", "NOERROR CNAME web.default.svc.cluster.local. → web.default.svc.cluster.local."},
		{"far.default.svc.cluster.local.", "CNAME", "NOERROR CNAME example.com."},
		{"5.0.96.10.in-addr.arpa.", "PTR", "NOERROR PTR web.default.svc.cluster.local."},
		{"2.0.1.10.in-addr.arpa.", "PTR", "NOERROR PTR db-0.db.prod.svc.cluster.local."},
	} {
		if !z.owns(c.question) {
			t.Errorf("%s is not ours", c.question)
			continue
		}
		q := new(dns.Msg).SetQuestion(c.question, dns.StringToType[c.kind])
		reply := new(dns.Msg).SetReply(q)
		follow := z.answer(q.Question[0], reply)
		if got := show(reply, follow); got != c.want || !reply.Authoritative {
			t.Errorf("%s %s:\n got %s\nwant %s", c.kind, c.question, got, c.want)
		}
	}
}

// show prints a reply on one line: code, answers, + additional, → what is left to follow.
func show(m *dns.Msg, follow string) string {
	parts := []string{dns.RcodeToString[m.Rcode]}
	data := func(rr dns.RR) string {
		return dns.TypeToString[rr.Header().Rrtype] + " " + strings.TrimPrefix(rr.String(), rr.Header().String())
	}
	for _, rr := range m.Answer {
		parts = append(parts, data(rr))
	}
	for _, rr := range m.Ns {
		parts = append(parts, dns.TypeToString[rr.Header().Rrtype])
	}
	for i, rr := range m.Extra {
		if i == 0 {
			parts = append(parts, "+")
		}
		parts = append(parts, data(rr))
	}
	if follow != "" {
		parts = append(parts, "→ "+follow)
	}
	return strings.Join(parts, " ")
}

func TestZoneKeepsToItself(t *testing.T) {
	z := testZone("cluster.local")
	for _, other := range []string{"example.com.", "local.", "notcluster.local.", "9.9.9.9.in-addr.arpa.", "in-addr.arpa.", "."} {
		if z.owns(other) {
			t.Errorf("%s is taken for ours", other)
		}
	}
}

func testZone(domain string) *zone {
	z := newZone(domain)
	z.change(rows, nil)
	return z
}

// TestChanges: what goes leaves no name behind, and takes none from another.
func TestChanges(t *testing.T) {
	z := testZone("cluster.local")
	has := func(want bool, names ...string) {
		t.Helper()
		for _, n := range names {
			if got := z.find(n) != nil; got != want {
				t.Errorf("%s: %v", n, got)
			}
		}
	}
	const web, db, arpa = "web.default.svc.cluster.local.", "db.prod.svc.cluster.local.", "5.0.96.10.in-addr.arpa."
	has(true, web, db, arpa, "db-0."+db, "prod.svc.cluster.local.")
	// Another service gets the address in the change in which the first one goes.
	heir := Row{Name: "heir", Namespace: "prod", ClusterIP: ip("10.96.0.5")}
	z.change([]Row{heir}, []string{"default/web", "prod/nothing"})
	has(false, web, "_http._tcp."+web)
	has(true, arpa, "heir.prod.svc.cluster.local.")
	z.change(nil, []string{"prod/db", "prod/empty"})
	has(false, db, "db-0."+db, "_tcp."+db, "2.0.1.10.in-addr.arpa.")
	has(true, "prod.svc.cluster.local.")
	z.change([]Row{{Name: "heir", Namespace: "prod"}}, nil)
	has(false, arpa)
	z.change(nil, []string{"prod/heir"})
	has(false, "prod.svc.cluster.local.")
	has(true, "default.svc.cluster.local.", "svc.cluster.local.", "cluster.local.")
	if len(z.reverse) != 0 {
		t.Errorf("left: %v", z.reverse)
	}
	if z.serial != 5 {
		t.Errorf("serial %d after five changes", z.serial)
	}
}

// BenchmarkChange is the cost of one service's change among 10,000.
func BenchmarkChange(b *testing.B) {
	var many []Row
	for i := range 10_000 {
		many = append(many, Row{Name: "s" + strconv.Itoa(i), Namespace: "default", ClusterIP: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})})
	}
	z := newZone("cluster.local")
	z.change(many, nil)
	for b.Loop() {
		z.change(many[77:78], nil)
	}
}
