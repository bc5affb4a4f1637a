package plan

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// TestWhomPoliciesLeadWhere states, apart from how it is done, what every kind of client finds behind a service.
func TestWhomPoliciesLeadWhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawServices(t)
		w := New()
		if _, err := Diff(want, w, start); err != nil {
			t.Fatal(err)
		}
		frontends := 0
		leads := func(f Frontend, to []netip.AddrPort) {
			t.Helper()
			frontends++
			got, ok := w.Lookup(f)
			if want := addrPorts(canonical(to)); !ok || !equalAddrs(got, want) {
				t.Fatalf("%s leads to %v (bound: %v), want %v", f, got, ok, want)
			}
		}
		for _, s := range want {
			for _, p := range s.Ports {
				here := func(kept bool) []netip.AddrPort {
					if kept {
						return p.Local
					}
					return p.Endpoints
				}
				if s.ClusterIP.IsValid() {
					leads(Frontend{Addr: s.ClusterIP, Port: p.Port, Proto: p.Proto}, here(s.InternalLocal))
				}
				// From inside, what is there for the outside leads to all, whatever the policies are.
				if p.NodePort != 0 {
					leads(Frontend{Port: p.NodePort, Proto: p.Proto}, p.Endpoints)
				}
				// A node port for the outside of its own is there where it differs.
				if p.NodePort != 0 && s.ExternalLocal {
					leads(Frontend{Port: p.NodePort, Proto: p.Proto, Outside: true}, p.Local)
				}
				for _, a := range s.Outer {
					leads(Frontend{Addr: a, Port: p.Port, Proto: p.Proto}, p.Endpoints)
					leads(Frontend{Addr: a, Port: p.Port, Proto: p.Proto, Outside: true}, here(s.ExternalLocal))
				}
			}
		}
		if all := w.Frontends(); len(all) != frontends {
			t.Fatalf("%d frontends of %d that somebody asked for: %v", len(all), frontends, all)
		}
	})
}

func equalAddrs(a, b []netip.AddrPort) bool {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

// TestAPolicyIsTakenBack shows what a change of policy writes: no frontend of before is without its backends meanwhile.
func TestAPolicyIsTakenBack(t *testing.T) {
	w := New()
	service := func(internal, external bool) []Service {
		s := web("10.1.0.2:80", "10.1.1.3:80")
		s.InternalLocal, s.ExternalLocal = internal, external
		s.Ports[0].Local = endpoints("10.1.0.2:80")
		return []Service{s}
	}
	for _, s := range []struct {
		name string
		want []Service
		out  string
	}{
		{"cluster", service(false, false), "set #0 = 10.1.0.2:80 10.1.1.3:80 at 0\nbind 10.96.0.1:80/TCP to #0\nbind node:30000/TCP to #0"},
		{"external", service(false, true), "set #1 = 10.1.0.2:80 at 2\nbind node:30000/TCP from outside to #1"},
		{"cluster again", service(false, false), "unbind node:30000/TCP from outside"},
		{"goes", nil, "unbind 10.96.0.1:80/TCP\nunbind node:30000/TCP"},
		{"appears with both", service(true, true), "set #2 = 10.1.0.2:80 10.1.1.3:80 at 4\nbind node:30000/TCP to #2\n" +
			"set #3 = 10.1.0.2:80 at 3\nbind 10.96.0.1:80/TCP to #3\nbind node:30000/TCP from outside to #3"},
	} {
		out, err := Diff(s.want, w, start)
		if err != nil || printed(out) != s.out {
			t.Errorf("%s: %v\n%s\nwant\n%s", s.name, err, printed(out), s.out)
		}
	}
}
