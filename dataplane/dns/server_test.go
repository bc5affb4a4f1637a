package dns

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

func serve(t *testing.T, o Options) *Server {
	t.Helper()
	o.Listen = loopback
	s, err := Serve(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ask(t *testing.T, s *Server, network, name string, kind uint16, size uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, kind)
	if size > 0 {
		q.SetEdns0(size, false)
	}
	c := &dns.Client{Net: network, Timeout: 5 * time.Second}
	m, _, err := c.Exchange(q, s.Addr().String())
	if err != nil {
		t.Fatalf("%s %s: %v", network, name, err)
	}
	return m
}

// upstream stands for the node's own name server: example.com has an address, and
// big.example.com more than fits in a packet.
func upstream(t *testing.T) netip.AddrPort {
	t.Helper()
	handle := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		n := map[string]int{"example.com.": 1, "big.example.com.": 200}[q.Question[0].Name]
		if n == 0 {
			m.Rcode = dns.RcodeNameError
		}
		for i := range n {
			rr, err := dns.NewRR(fmt.Sprintf("%s 60 IN A 203.0.113.%d", q.Question[0].Name, 1+i))
			if err != nil {
				t.Error(err)
			}
			m.Answer = append(m.Answer, rr)
		}
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(dns.MinMsgSize)
		}
		w.WriteMsg(m)
	})
	s, err := Serve(t.Context(), Options{Listen: loopback, Upstreams: []netip.AddrPort{}})
	if err != nil {
		t.Fatal(err)
	}
	addr := s.Addr()
	s.Close() // only to find a port that is free for both protocols
	var up sync.WaitGroup
	for _, network := range []string{"udp", "tcp"} {
		up.Add(1)
		d := &dns.Server{Addr: addr.String(), Net: network, Handler: handle, NotifyStartedFunc: up.Done}
		go func() {
			if err := d.ListenAndServe(); err != nil {
				t.Error(err)
			}
		}()
		t.Cleanup(func() { d.Shutdown() })
	}
	up.Wait()
	return addr
}

func TestServerAnswers(t *testing.T) {
	s := serve(t, Options{Upstreams: []netip.AddrPort{upstream(t)}})
	const web, far = "web.default.svc.cluster.local.", "far.default.svc.cluster.local."
	if m := ask(t, s, "udp", web, dns.TypeA, 0); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("before the rows are known: %s", show(m, ""))
	}
	s.Update(rows)
	for _, c := range []struct {
		network, name, want string
		authoritative       bool
	}{
		{"udp", web, "NOERROR A 10.96.0.5", true},
		{"tcp", web, "NOERROR A 10.96.0.5", true},
		{"udp", "gone.default.svc.cluster.local.", "NXDOMAIN SOA", true},
		{"udp", "example.com.", "NOERROR A 203.0.113.1", false},
		{"tcp", "example.com.", "NOERROR A 203.0.113.1", false},
		{"udp", "other.com.", "NXDOMAIN", false},
		{"udp", "away.default.svc.cluster.local.", "NOERROR CNAME web.default.svc.cluster.local. A 10.96.0.5", true},
		{"udp", far, "NOERROR CNAME example.com. A 203.0.113.1", true},
	} {
		m := ask(t, s, c.network, c.name, dns.TypeA, 0)
		if got := show(m, ""); got != c.want || m.Authoritative != c.authoritative || !m.RecursionAvailable && c.authoritative {
			t.Errorf("%s %s: %s (authoritative %v); want %s", c.network, c.name, got, m.Authoritative, c.want)
		}
	}
	s.Update(nil)
	if m := ask(t, s, "udp", web, dns.TypeA, 0); m.Rcode != dns.RcodeNameError {
		t.Errorf("after the service went: %s", show(m, ""))
	}
}

// TestSizes: what a client can't take is cut off and marked, never sent.
func TestSizes(t *testing.T) {
	s := serve(t, Options{Upstreams: []netip.AddrPort{upstream(t)}})
	many := Row{Name: "many", Namespace: "default"}
	for i := range 100 {
		many.Hosts = append(many.Hosts, Host{Addr: netip.AddrFrom4([4]byte{10, 1, 1, byte(i)})})
	}
	s.Update([]Row{many})
	for _, c := range []struct {
		network   string
		size      uint16
		truncated bool
	}{{"udp", 0, true}, {"udp", 512, true}, {"udp", 4096, false}, {"tcp", 0, false}} {
		m := ask(t, s, c.network, "many.default.svc.cluster.local.", dns.TypeA, c.size)
		if m.Truncated != c.truncated || !c.truncated && len(m.Answer) != 100 {
			t.Errorf("%s %d: truncated %v with %d answers", c.network, c.size, m.Truncated, len(m.Answer))
		}
		if c.size > 0 && m.IsEdns0() == nil {
			t.Errorf("%s %d: EDNS was not answered", c.network, c.size)
		}
	}
	// The upstream cuts its UDP answers at 512 bytes; they are fetched whole over TCP.
	if m := ask(t, s, "udp", "big.example.com.", dns.TypeA, 4096); m.Truncated || len(m.Answer) != 200 {
		t.Errorf("large upstream answer: truncated %v, %d answers", m.Truncated, len(m.Answer))
	}
}

// TestAddressesTakeTurns: clients take the first address, and shall not all come to one pod.
func TestAddressesTakeTurns(t *testing.T) {
	s := serve(t, Options{Upstreams: []netip.AddrPort{}})
	many := Row{Name: "many", Namespace: "default"}
	for i := range 3 {
		many.Hosts = append(many.Hosts, Host{Addr: netip.AddrFrom4([4]byte{10, 1, 1, byte(i)})})
	}
	s.Update([]Row{many, {Name: "alias", Namespace: "default", ExternalName: "many.default.svc.cluster.local"}})
	first := map[string]int{}
	for range 100 {
		m := ask(t, s, "udp", "alias.default.svc.cluster.local.", dns.TypeA, 0)
		if len(m.Answer) != 4 || m.Answer[0].Header().Rrtype != dns.TypeCNAME {
			t.Fatal(show(m, ""))
		}
		first[m.Answer[1].String()]++
	}
	if len(first) != 3 {
		t.Errorf("first of a hundred answers: %v", first)
	}
}

func TestNoUpstream(t *testing.T) {
	s := serve(t, Options{Upstreams: []netip.AddrPort{}})
	if m := ask(t, s, "udp", "example.com.", dns.TypeA, 0); m.Rcode != dns.RcodeRefused {
		t.Errorf("without upstreams: %s", show(m, ""))
	}
	dead := serve(t, Options{Upstreams: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}})
	if m := ask(t, dead, "udp", "example.com.", dns.TypeA, 0); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("with a dead upstream: %s", show(m, ""))
	}
	both := serve(t, Options{Upstreams: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1"), upstream(t)}})
	if m := ask(t, both, "udp", "example.com.", dns.TypeA, 0); len(m.Answer) != 1 {
		t.Errorf("with one of two dead: %s", show(m, ""))
	}
}

// TestResolvConfIsFollowed: the node's servers change under way, as laptops' do. The file
// can only name port 53, so the servers are compared and not asked.
func TestResolvConfIsFollowed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	u := newUpstreams(Options{ResolvConf: file})
	if got := fmt.Sprint(u.list(loopback)); got != "[]" {
		t.Errorf("without the file: %s", got)
	}
	for i, c := range []struct{ body, want string }{
		{"nameserver 192.0.2.53\n", "[192.0.2.53:53]"},
		{"search x\nnameserver 192.0.2.54\nnameserver 127.0.0.1\n", "[192.0.2.54:53]"},
	} {
		if err := os.WriteFile(file, []byte(c.body), 0o644); err != nil {
			t.Fatal(err)
		}
		stamp := time.Unix(1_700_000_000+int64(i), 0)
		if err := os.Chtimes(file, stamp, stamp); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(u.list(netip.MustParseAddrPort("127.0.0.1:53"))); got != c.want {
			t.Errorf("%q: %s, want %s", c.body, got, c.want)
		}
	}
}

func TestServerStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Serve(ctx, Options{Listen: loopback})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Serve(ctx, Options{Listen: s.Addr()}); err == nil {
		t.Error("two servers on one address")
	}
	cancel()
	s.running.Wait()
	again, err := Serve(t.Context(), Options{Listen: s.Addr()})
	if err != nil {
		t.Fatalf("the address is not free again: %v", err)
	}
	again.Close()
	if _, err := Serve(t.Context(), Options{}); err == nil {
		t.Error("no address is accepted")
	}
}

func TestMalformedQuestions(t *testing.T) {
	s := serve(t, Options{Upstreams: []netip.AddrPort{}})
	s.Update(rows)
	none := new(dns.Msg).SetQuestion("x.", dns.TypeA)
	none.Question = nil
	if m := s.reply(none, "udp"); m.Rcode != dns.RcodeFormatError {
		t.Errorf("no question: %s", show(m, ""))
	}
	notify := new(dns.Msg).SetNotify("cluster.local.")
	if m := s.reply(notify, "udp"); m.Rcode != dns.RcodeNotImplemented {
		t.Errorf("notify: %s", show(m, ""))
	}
	loop := []Row{{Name: "a", Namespace: "d", ExternalName: "b.d.svc.cluster.local"}, {Name: "b", Namespace: "d", ExternalName: "a.d.svc.cluster.local"}}
	s.Update(loop)
	if m := ask(t, s, "udp", "a.d.svc.cluster.local.", dns.TypeA, 0); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("aliases in a circle: %s", show(m, ""))
	}
}
