package projections_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// town is a cluster of two nodes with a service, which spec completes, and two ready pods behind it on n1 and one on n2.
func town(spec string) *foldtest.Log {
	l := foldtest.New()
	l.Lease("test")
	l.Node("n1", foldtest.Facts)
	l.Node("n2", foldtest.Facts)
	l.Create(foldtest.Key(events.Services, "web"), `{"spec":{"clusterIP":"10.96.0.7","selector":{"app":"web"},"ports":[{"port":80,"protocol":"TCP"}],`+spec+`}}`)
	for i, node := range []string{"n1", "n1", "n2"} {
		k := foldtest.Key(events.Pods, fmt.Sprintf("p%d", i))
		l.Create(k, `{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
		l.Assign(node, k)
		l.Saw(k, foldtest.Up("c", fmt.Sprintf("10.244.%s.%d", node[1:], i), l.Now)...)
	}
	return l
}

func webRow(l *foldtest.Log) projections.NetService {
	row, _ := projections.NetRow(l.State, foldtest.Key(events.Services, "web"))
	return row
}

// found is what clients on the nodes find: all that there are, and who is on their node.
func found(row projections.NetService) string {
	var out []string
	for _, node := range []string{"n1", "n2"} {
		all, local := row.Ports[0].LeadsOn(node, row.Kept.Rather)
		out = append(out, fmt.Sprintf("%s: %s | %s (%d)", node, strings.Join(all, " "), strings.Join(local, " "), row.ReadyOn(node)))
	}
	return strings.Join(out, "\n")
}

const (
	one, two, three = "10.244.1.0:80", "10.244.1.1:80", "10.244.2.2:80"
	local           = `"type":"NodePort","externalTrafficPolicy":"Local"`
)

// TestWhoIsOnTheNode follows a service with a policy as its pods end: who ends serves on where nobody else does.
func TestWhoIsOnTheNode(t *testing.T) {
	l := town(local)
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"three are ready", func() {}, "n1: " + one + " " + two + " " + three + " | " + one + " " + two + " (2)\nn2: " + one + " " + two + " " + three + " | " + three + " (1)"},
		{"one of two ends", func() { l.Delete(foldtest.Key(events.Pods, "p0"), foldtest.Person, 30) },
			"n1: " + two + " " + three + " | " + two + " (1)\nn2: " + two + " " + three + " | " + three + " (1)"},
		{"the other, too", func() { l.Delete(foldtest.Key(events.Pods, "p1"), foldtest.Person, 30) },
			"n1: " + three + " | " + one + " " + two + " (0)\nn2: " + three + " | " + three + " (1)"},
		{"all end", func() { l.Delete(foldtest.Key(events.Pods, "p2"), foldtest.Person, 30) },
			"n1: " + one + " " + two + " " + three + " | " + one + " " + two + " (0)\nn2: " + one + " " + two + " " + three + " | " + three + " (0)"},
		{"one is not ready any more", func() {
			l.Saw(foldtest.Key(events.Pods, "p0"), events.Fact{Kind: events.FactUnready, Container: "c", Run: 1, At: l.Now})
		}, "n1: " + two + " " + three + " | " + two + " (0)\nn2: " + two + " " + three + " | " + three + " (0)"},
	} {
		step.do()
		if got := found(webRow(l)); got != step.want {
			t.Errorf("%s:\n%s\nwant\n%s", step.name, got, step.want)
		}
	}
}

// TestRatherOnTheNode: a preference is one, and no fence.
func TestRatherOnTheNode(t *testing.T) {
	l := town(`"type":"ClusterIP","trafficDistribution":"PreferSameNode"`)
	if got, want := found(webRow(l)), "n1: "+one+" "+two+" | "+one+" "+two+" (2)\nn2: "+three+" | "+three+" (1)"; got != want {
		t.Errorf("each has some:\n%s", got)
	}
	l.Delete(foldtest.Key(events.Pods, "p2"), foldtest.Person, 30)
	if got, want := found(webRow(l)), "n1: "+one+" "+two+" | "+one+" "+two+" (2)\nn2: "+one+" "+two+" | "+three+" (0)"; got != want {
		t.Errorf("one has none that is ready:\n%s", got)
	}
}

// TestWhereWrittenEndpointsAre: a slice that somebody wrote says itself on which nodes its endpoints are, and how they are.
func TestWhereWrittenEndpointsAre(t *testing.T) {
	l := foldtest.New()
	l.Node("n1", foldtest.Facts)
	l.Node("n2", foldtest.Facts)
	l.Create(foldtest.Key(events.Services, "web"), `{"spec":{"clusterIP":"10.96.0.7","internalTrafficPolicy":"Local","ports":[{"port":80,"protocol":"TCP"}]}}`)
	l.Create(foldtest.Key(events.EndpointSlices, "web-1"), slice("web-1", "web", "IPv4", `{"addresses":["192.0.2.1"],"nodeName":"n1"},
		{"addresses":["192.0.2.2"]},
		{"addresses":["192.0.2.3"],"nodeName":"n2","conditions":{"ready":false,"serving":true,"terminating":true}},
		{"addresses":["192.0.2.4"],"nodeName":"n2","conditions":{"ready":false,"serving":false,"terminating":true}}`, `{"name":"","port":80,"protocol":"TCP"}`))
	want := "n1: 192.0.2.1:80 192.0.2.2:80 | 192.0.2.1:80 (1)\nn2: 192.0.2.1:80 192.0.2.2:80 | 192.0.2.3:80 (0)"
	if row := webRow(l); found(row) != want || !row.Kept.Internal || row.Kept.External {
		t.Errorf("%+v\n%s", row.Kept, found(row))
	}
}

// TestWhatIsToldOfPolicies: a service that keeps nothing tells nothing of where its endpoints are.
func TestWhatIsToldOfPolicies(t *testing.T) {
	for _, c := range []struct {
		spec   string
		kept   projections.Kept
		health int32
	}{
		{`"type":"NodePort","externalTrafficPolicy":"Cluster","internalTrafficPolicy":"Cluster"`, projections.Kept{}, 0},
		{local, projections.Kept{External: true}, 0},
		{`"type":"LoadBalancer","externalTrafficPolicy":"Local","healthCheckNodePort":30700`, projections.Kept{External: true}, 30700},
		{`"type":"ClusterIP","internalTrafficPolicy":"Local","trafficDistribution":"PreferClose"`, projections.Kept{Internal: true}, 0},
	} {
		row := webRow(town(c.spec))
		if row.Kept != c.kept || row.HealthPort != c.health || (row.Ports[0].Local != nil) != (c.kept != projections.Kept{}) {
			t.Errorf("%s: %+v", c.spec, row)
		}
	}
}

// TestBalancersOfServices: who serves a service writes its addresses into the status; nodes answer for those that are
// theirs to answer for, while it is a service for balancers.
func TestBalancersOfServices(t *testing.T) {
	const spec = `"type":"LoadBalancer"`
	l, k := town(spec), foldtest.Key(events.Services, "web")
	before := l.State.PositionOf(k)
	l.Add(events.Envelope{Subject: events.StatusSubject(k), Type: events.TypeOf(k.Resource, events.VerbStatus), Actor: "user:metallb", Body: events.MustBody(events.StatusReported{
		UID: foldtest.UID(k, 1), Status: []byte(`{"loadBalancer":{"ingress":[{"ip":"203.0.113.7","ipMode":"VIP"},{"ip":"203.0.113.8","ipMode":"Proxy"},{"ip":"203.0.113.9"},{"ip":"2001:db8::1"},{"hostname":"lb.example"}]}}`)})})
	if got := webRow(l).Balancers; !slices.Equal(got, []string{"203.0.113.7", "203.0.113.9"}) {
		t.Errorf("balancers %v", got)
	}
	if changed, _ := projections.NetChanges(l.Changes); l.State.PositionOf(k) <= before || len(changed) != 1 {
		t.Errorf("nodes hear nothing of it: %v", changed)
	}
	l.Change(k, foldtest.Person, `{"spec":{"clusterIP":"10.96.0.7","ports":[{"port":80,"protocol":"TCP"}],"type":"NodePort"}}`)
	if got := webRow(l).Balancers; got != nil {
		t.Errorf("of a node port: %v", got)
	}
}

// TestOthersCarry: a label takes a service from the nodes' own proxies, and its end gives it back; nodes hear of both.
func TestOthersCarry(t *testing.T) {
	l, k := town(`"type":"ClusterIP"`), foldtest.Key(events.Services, "web")
	for _, c := range []struct {
		labels string
		others bool
	}{{`"service.kubernetes.io/service-proxy-name":"mine"`, true}, {`"app":"web"`, false}, {`"service.kubernetes.io/headless":""`, true}, {``, false}} {
		l.Change(k, foldtest.Person, `{"metadata":{"labels":{`+c.labels+`}},"spec":{"clusterIP":"10.96.0.7","selector":{"app":"web"},"ports":[{"port":80,"protocol":"TCP"}]}}`)
		row := webRow(l)
		if changed, _ := projections.NetChanges(l.Changes); row.Others != c.others || row.ClusterIP != "10.96.0.7" || len(changed) != 1 {
			t.Errorf("labels %s: %+v, nodes hear of %v", c.labels, row, changed)
		}
	}
}

// TestLocalIsPartOfAll: whatever becomes of the pods, what is local to nodes is made of what there is, once, and each
// node has all of its own that are ready.
func TestLocalIsPartOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := town(local)
		for range rapid.IntRange(0, 8).Draw(t, "steps") {
			l.Pass(time.Second)
			k := foldtest.Key(events.Pods, fmt.Sprintf("p%d", rapid.IntRange(0, 2).Draw(t, "pod")))
			if _, ok := l.State.Get(k); !ok {
				continue
			}
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				l.Delete(k, foldtest.Person, 30)
			case 1:
				l.Saw(k, events.Fact{Kind: events.FactUnready, Container: "c", Run: 1, At: l.Now})
			case 2:
				l.Saw(k, events.Fact{Kind: events.FactReady, Container: "c", Run: 1, At: l.Now})
			default:
				l.Remove(k)
			}
		}
		p := webRow(l).Ports[0]
		if len(p.Endpoints) > 0 && len(p.Draining) > 0 {
			t.Fatalf("%v are ready, and %v are told of all the same", p.Endpoints, p.Draining)
		}
		var ready []string
		for node, here := range p.Local {
			prefix := "10.244." + node[1:] + "."
			for _, at := range here {
				if !strings.HasPrefix(at, prefix) {
					t.Fatalf("%s is not on %s", at, node)
				}
				if slices.Contains(p.Endpoints, at) {
					ready = append(ready, at)
				}
			}
		}
		if slices.Sort(ready); !slices.Equal(ready, p.Endpoints) {
			t.Fatalf("ready are %v, and on the nodes %v", p.Endpoints, ready)
		}
	})
}
