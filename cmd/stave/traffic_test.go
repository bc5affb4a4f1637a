package main

import (
	"fmt"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// TestRowsOfNodes: from one row of the feed each node's tables get what is theirs.
func TestRowsOfNodes(t *testing.T) {
	const a, b = "10.244.1.2:80", "10.244.2.2:80"
	s := projections.NetService{Key: events.Key{Resource: events.Services, Namespace: "default", Name: "web"}, ClusterIP: "10.96.0.7", Balancers: []string{"203.0.113.7"},
		Ports: []projections.NetPort{{Protocol: "TCP", Port: 80, NodePort: 30080, Endpoints: []string{a, b}, Local: map[string][]string{"n1": {a}, "n2": {b}}}}}
	for _, c := range []struct {
		kept projections.Kept
		node string
		want string
	}{
		{projections.Kept{External: true}, "n1", "false true [10.244.1.2:80 10.244.2.2:80] [10.244.1.2:80]"},
		{projections.Kept{Internal: true}, "n2", "true false [10.244.1.2:80 10.244.2.2:80] [10.244.2.2:80]"},
		{projections.Kept{Internal: true, External: true}, "n3", "true true [10.244.1.2:80 10.244.2.2:80] []"},
		{projections.Kept{Rather: true}, "n2", "false false [10.244.2.2:80] [10.244.2.2:80]"},
		{projections.Kept{Rather: true}, "n3", "false false [10.244.1.2:80 10.244.2.2:80] []"},
	} {
		s.Kept = c.kept
		row, err := tableRow(s, c.node)
		if err != nil {
			t.Fatal(err)
		}
		p := row.Ports[0]
		if got := fmt.Sprint(row.InternalLocal, row.ExternalLocal, p.Endpoints, p.Local); got != c.want || len(row.Outer) != 1 {
			t.Errorf("%+v on %s: %s %v, want %s", c.kept, c.node, got, row.Outer, c.want)
		}
	}
	others := s
	others.Others = true
	if row, err := tableRow(others, "n1"); err != nil || row.Key != "default/web" || row.ClusterIP.IsValid() || len(row.Outer)+len(row.Ports) > 0 {
		t.Errorf("what another proxy carries leads to %+v, %v", row, err)
	}
	s.Balancers = []string{"no address"}
	if _, err := tableRow(s, "n1"); err == nil {
		t.Error("an address that is none is taken")
	}
}
