package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	mdns "github.com/miekg/dns"

	"github.com/stave-run/stave/dataplane/dns"
)

// A node answers names as it knew them before it knows anything else: what it does not know of may have come since.
func TestRecallNames(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("port 53 needs root")
	}
	l := layout{name: "names", data: t.TempDir(), run: t.TempDir()}
	if s := recallNames(l, nil, quiet()); s != nil {
		t.Fatal("a node that never was answers")
	}
	n := &network{rows: map[string]dns.Row{}, noted: make(chan struct{}, 1)}
	n.noteNames([]dns.Row{{Name: "web", Namespace: "default", ClusterIP: netip.MustParseAddr("10.96.0.7")}, {Name: "old", Namespace: "default", ClusterIP: netip.MustParseAddr("10.96.0.8")}}, nil)
	n.noteNames(nil, []string{"default/old"})
	err := n.writeNames(l.names())
	if err == nil {
		err = os.MkdirAll(l.node(), 0o700)
	}
	if err == nil { // any address of the loopback network is there
		err = os.WriteFile(filepath.Join(l.node(), "place.json"), []byte(`{"podCIDR":"127.83.21.0/24","domain":"cluster.local"}`), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := recallNames(l, nil, quiet())
	if s == nil {
		t.Fatal("nobody answers")
	}
	defer s.Close()
	ask := func(name string) *mdns.Msg {
		t.Helper()
		r, err := mdns.Exchange(new(mdns.Msg).SetQuestion(name, mdns.TypeA), s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask("web.default.svc.cluster.local."); len(r.Answer) != 1 || r.Answer[0].(*mdns.A).A.String() != "10.96.0.7" {
		t.Errorf("web: %v", r)
	}
	for _, when := range []struct{ rcode int }{{mdns.RcodeServerFailure}, {mdns.RcodeNameError}} {
		if r := ask("old.default.svc.cluster.local."); r.Rcode != when.rcode {
			t.Errorf("old: %v", r)
		}
		s.Update([]dns.Row{{Name: "web", Namespace: "default", ClusterIP: netip.MustParseAddr("10.96.0.9")}})
		s.Recall(nil) // too late
	}
	if r := ask("web.default.svc.cluster.local."); len(r.Answer) != 1 || r.Answer[0].(*mdns.A).A.String() != "10.96.0.9" {
		t.Errorf("web: %v", r)
	}
	if again := recallNames(l, nil, quiet()); again != nil {
		t.Error("two answer at one place")
	}
}
