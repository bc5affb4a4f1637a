package projections_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// selectorless is a service without a selector, with two ports.
func selectorless() *foldtest.Log {
	l := foldtest.New()
	l.Create(foldtest.Key(events.Services, "db"), `{"metadata":{"name":"db"},"spec":{"type":"ClusterIP","clusterIP":"10.96.0.7","ports":[
		{"name":"sql","port":5432,"protocol":"TCP"},{"name":"stats","port":80,"protocol":"TCP"}]}}`)
	return l
}

func net(t *testing.T, l *foldtest.Log, name string) string {
	t.Helper()
	row, ok := projections.NetRow(l.State, foldtest.Key(events.Services, name))
	if !ok {
		t.Fatalf("no row for %s", name)
	}
	var out []string
	for _, p := range row.Ports {
		out = append(out, p.Name+strings.Join(p.Endpoints, ","))
	}
	return strings.Join(out, " ")
}

func slice(name, service, addressType, endpoints, ports string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"labels":{"kubernetes.io/service-name":%q}},"addressType":%q,"endpoints":[%s],"ports":[%s]}`, name, service, addressType, endpoints, ports)
}

// A slice that somebody wrote for a service is where its connections go: by the names
// of ports, and to the first address of what is ready.
func TestWrittenSlicesAreRoutes(t *testing.T) {
	l := selectorless()
	if got := net(t, l, "db"); got != "sql stats" {
		t.Errorf("alone: %s", got)
	}
	k := foldtest.Key(events.EndpointSlices, "db-1")
	const sql = `{"name":"sql","port":6000,"protocol":"TCP"}`
	before := l.State.PositionOf(foldtest.Key(events.Services, "db"))
	l.Create(k, slice("db-1", "db", "IPv4", `{"addresses":["192.0.2.9","192.0.2.10"]},{"addresses":["192.0.2.11"],"conditions":{"ready":false}}`, sql+`,{"name":"stats","port":9,"protocol":"UDP"},{"name":"other","port":7,"protocol":"TCP"}`))
	if got := net(t, l, "db"); got != "sql192.0.2.9:6000 stats" {
		t.Errorf("with a slice: %s", got)
	}
	if l.State.PositionOf(foldtest.Key(events.Services, "db")) <= before {
		t.Error("nobody is told that the service changed")
	}
	l.Create(foldtest.Key(events.EndpointSlices, "db-2"), slice("db-2", "db", "IPv4", `{"addresses":["192.0.2.1"]},{"addresses":["192.0.2.9"]}`, sql))
	l.Create(foldtest.Key(events.EndpointSlices, "db-3"), slice("db-3", "db", "IPv6", `{"addresses":["2001:db8::1"]}`, sql))
	l.Create(foldtest.Key(events.EndpointSlices, "else"), slice("else", "other", "IPv4", `{"addresses":["192.0.2.3"]}`, sql))
	if got := net(t, l, "db"); got != "sql192.0.2.1:6000,192.0.2.9:6000 stats" {
		t.Errorf("with two: %s", got)
	}
	l.Change(k, "user:ann", slice("db-1", "other", "IPv4", `{"addresses":["192.0.2.9"]}`, sql)) // it leaves for another service
	l.Remove(foldtest.Key(events.EndpointSlices, "db-2"))
	if got := net(t, l, "db"); got != "sql stats" {
		t.Errorf("without: %s", got)
	}
}

// Endpoints that somebody wrote are told of as slices, and are routes, while the
// service of their name has no selector.
func TestWrittenEndpointsAreMirrored(t *testing.T) {
	l := selectorless()
	k, svc := foldtest.Key(events.Endpoints, "db"), foldtest.Key(events.Services, "db")
	l.Create(k, `{"metadata":{"name":"db","labels":{"a":"b"}},"subsets":[{"addresses":[{"ip":"192.0.2.9","hostname":"one"},{"ip":"2001:db8::1"}],"notReadyAddresses":[{"ip":"192.0.2.8"}],"ports":[{"name":"sql","port":6000,"protocol":"TCP"}]},
		{"addresses":[{"ip":"192.0.2.9"}],"ports":[{"name":"stats","port":9,"protocol":"TCP"}]}]}`)
	var got []string
	for o := range l.State.Objects(events.EndpointSlices, "default", l.Now) {
		s := o.(*discoveryv1.EndpointSlice)
		text := string(s.AddressType) + " " + *s.Ports[0].Name
		for _, e := range s.Endpoints {
			text += fmt.Sprintf(" %s %v", e.Addresses[0], *e.Conditions.Ready)
		}
		got = append(got, text)
		if s.Labels[discoveryv1.LabelServiceName] != "db" || s.Labels["a"] != "b" || s.Labels[discoveryv1.LabelManagedBy] != "endpointslicemirroring-controller.k8s.io" || s.OwnerReferences[0].Kind != "Endpoints" {
			t.Errorf("%+v", s.ObjectMeta)
		}
		if again, ok := l.State.Object(events.Key{Resource: events.EndpointSlices, Namespace: "default", Name: s.Name}, l.Now); !ok || again.GetUID() != s.UID {
			t.Errorf("%s is not found by its name", s.Name)
		}
	}
	slices.Sort(got)
	if want := []string{"IPv4 sql 192.0.2.9 true 192.0.2.8 false", "IPv4 stats 192.0.2.9 true", "IPv6 sql 2001:db8::1 true"}; !slices.Equal(got, want) {
		t.Errorf("slices %q", got)
	}
	if got := net(t, l, "db"); got != "sql192.0.2.9:6000 stats192.0.2.9:9" {
		t.Errorf("routes %s", got)
	}
	if shown := l.State.Shown(svc, events.EndpointSlices); len(shown) != 3 {
		t.Errorf("the service shows %v", shown)
	}
	if l.State.Follows(k) || len(l.State.Shown(svc, events.Endpoints)) != 0 {
		t.Error("its Endpoints follow from nothing")
	}
	// With a selector the endpoints are chosen, whatever somebody wrote.
	l.Change(svc, "user:ann", `{"metadata":{"name":"db"},"spec":{"type":"ClusterIP","selector":{"app":"db"},"ports":[{"name":"sql","port":5432,"protocol":"TCP"}]}}`)
	if got := net(t, l, "db"); got != "sql" || !l.State.Follows(k) {
		t.Errorf("with a selector: %s", got)
	}
	if all := slices.Collect(l.State.Objects(events.Endpoints, "default", l.Now)); len(all) != 1 || all[0].GetUID() == "" || all[0].GetLabels()["a"] != "" {
		t.Errorf("%+v", all)
	}
	l.Change(svc, "user:ann", `{"metadata":{"name":"db"},"spec":{"type":"ClusterIP","ports":[{"name":"sql","port":5432,"protocol":"TCP"}]}}`)
	l.Change(k, "user:ann", `{"metadata":{"name":"db","labels":{"endpointslice.kubernetes.io/skip-mirror":"true"}},"subsets":[{"addresses":[{"ip":"192.0.2.9"}],"ports":[{"name":"sql","port":6000,"protocol":"TCP"}]}]}`)
	if got := net(t, l, "db"); got != "sql" {
		t.Errorf("not to be mirrored: %s", got)
	}
}

// Whoever may write slices does not become the API for all pods.
func TestNobodyWritesTheAPIsEndpoints(t *testing.T) {
	l := foldtest.New()
	l.Create(projections.GatewayKey, `{"metadata":{"name":"kubernetes"},"spec":{"type":"ClusterIP","clusterIP":"10.96.0.1","ports":[{"name":"https","port":443,"protocol":"TCP"}]}}`)
	l.Create(foldtest.Key(events.EndpointSlices, "mine"), slice("mine", "kubernetes", "IPv4", `{"addresses":["192.0.2.9"]}`, `{"name":"https","port":443,"protocol":"TCP"}`))
	l.Create(foldtest.Key(events.Endpoints, "kubernetes"), `{"metadata":{"name":"kubernetes"},"subsets":[{"addresses":[{"ip":"192.0.2.9"}],"ports":[{"name":"https","port":443,"protocol":"TCP"}]}]}`)
	if got := net(t, l, "kubernetes"); got != "https" {
		t.Errorf("routes %s", got)
	}
	if !l.State.Follows(foldtest.Key(events.Endpoints, "kubernetes")) {
		t.Error("its Endpoints are somebody's")
	}
}

// Pods that give a port's name to different numbers are in slices of their own.
func TestSlicesByTargetPorts(t *testing.T) {
	l := foldtest.New()
	l.Node("n1", events.NodeFacts{})
	l.Create(foldtest.Key(events.Services, "web"), `{"metadata":{"name":"web"},"spec":{"type":"ClusterIP","selector":{"app":"web"},"ports":[{"name":"http","port":80,"protocol":"TCP","targetPort":"http"}]}}`)
	one := l.State.Shown(foldtest.Key(events.Services, "web"), events.EndpointSlices)
	for i, port := range []string{"8080", "8081", "8080"} {
		k := foldtest.Key(events.Pods, fmt.Sprintf("p%d", i))
		l.Create(k, `{"metadata":{"name":"`+k.Name+`","labels":{"app":"web"}},"spec":{"containers":[{"name":"c","ports":[{"name":"http","containerPort":`+port+`,"protocol":"TCP"}]}]}}`)
		l.Assign("n1", k)
		l.Saw(k, foldtest.Up("c", fmt.Sprintf("10.244.0.%d", i+5), l.Now)...)
	}
	keys := l.State.Shown(foldtest.Key(events.Services, "web"), events.EndpointSlices)
	if len(one) != 1 || len(keys) != 2 || keys[0] != one[0] {
		t.Fatalf("%v, then %v", one, keys)
	}
	for i, want := range []string{"8080 p0 p2", "8081 p1"} {
		o, ok := l.State.Object(keys[i], l.Now)
		if !ok {
			t.Fatalf("no %s", keys[i])
		}
		s := o.(*discoveryv1.EndpointSlice)
		got := fmt.Sprint(*s.Ports[0].Port)
		for _, e := range s.Endpoints {
			got += " " + e.TargetRef.Name
		}
		if got != want {
			t.Errorf("slice %d: %s", i, got)
		}
	}
}

// Whether Endpoints follow from a service is asked at each change of a pod behind it, so
// it must not cost what making them costs.
func TestWhetherEndpointsFollowCostsTheSame(t *testing.T) {
	cost := func(pods int) float64 {
		l := foldtest.New()
		svc := foldtest.Key(events.Services, "web")
		l.Create(svc, `{"metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80}]}}`)
		for i := range pods {
			k := foldtest.Pod(i)
			l.Create(k, fmt.Sprintf(`{"metadata":{"name":%q,"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`, k.Name))
			l.Assign("n1", k)
			l.Saw(k, foldtest.Up("c", "10.0.0.1", l.Now)...)
		}
		if k := foldtest.Key(events.Endpoints, "web"); !l.State.Follows(k) {
			t.Fatalf("with %d pods nothing follows", pods)
		}
		return testing.AllocsPerRun(10, func() { l.State.Follows(foldtest.Key(events.Endpoints, "web")) })
	}
	if few, many := cost(1), cost(100); many > few {
		t.Errorf("asking costs %v allocations with one pod, %v with a hundred", few, many)
	}
}

// A slice with the label of headless services is no route to an address, and stays behind a name.
func TestHeadlessSlices(t *testing.T) {
	for ip, want := range map[string]string{`"None"`: "sql192.0.2.9:6000", `"10.96.0.9"`: "sql"} {
		l := foldtest.New()
		l.Lease("a")
		l.Create(foldtest.Key(events.Services, "db"), `{"spec":{"clusterIP":`+ip+`,"ports":[{"name":"sql","port":6000,"protocol":"TCP"}]}}`)
		k := foldtest.Key(events.EndpointSlices, "db-1")
		plain := slice("db-1", "db", "IPv4", `{"addresses":["192.0.2.9"]}`, `{"name":"sql","port":6000,"protocol":"TCP"}`)
		l.Create(k, plain)
		if got := net(t, l, "db"); got != "sql192.0.2.9:6000" {
			t.Errorf("%s: %s", ip, got)
		}
		l.Change(k, "user:ann", strings.Replace(plain, `"labels":{`, `"labels":{"service.kubernetes.io/headless":"",`, 1))
		if got := net(t, l, "db"); got != want {
			t.Errorf("%s with the label: %s, want %s", ip, got, want)
		}
	}
}

// A name that stands for the endpoints themselves tells of the ports that their slices have, known to the service or not.
func TestPortsOfSlicesBehindNames(t *testing.T) {
	for ip, want := range map[string]string{`"None"`: "sql192.0.2.9:6000 web192.0.2.9:80,192.0.2.10:8080", `"10.96.0.9"`: "sql192.0.2.9:6000"} {
		l := foldtest.New()
		l.Lease("a")
		l.Create(foldtest.Key(events.Services, "db"), `{"spec":{"clusterIP":`+ip+`,"ports":[{"name":"sql","port":6000,"protocol":"TCP"}]}}`)
		const sql, web = `{"name":"sql","port":6000,"protocol":"TCP"}`, `{"name":"web","port":80,"protocol":"TCP"}`
		l.Create(foldtest.Key(events.EndpointSlices, "db-1"), slice("db-1", "db", "IPv4", `{"addresses":["192.0.2.9"]}`, sql+","+web+`,{"port":7,"protocol":"TCP"}`))
		l.Create(foldtest.Key(events.EndpointSlices, "db-2"), slice("db-2", "db", "IPv4", `{"addresses":["192.0.2.10"]}`, strings.Replace(web, "80", "8080", 1)))
		row, _ := projections.NetRow(l.State, foldtest.Key(events.Services, "db"))
		var got []string
		for _, p := range row.Ports {
			slices.SortFunc(p.Endpoints, func(a, b string) int { return len(a) - len(b) })
			got = append(got, p.Name+strings.Join(p.Endpoints, ","))
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("with the address %s: %s, want %s", ip, text, want)
		}
	}
}

// Whose pods are published before they are ready has them among its ready endpoints, and each says of itself whether it serves.
func TestPublishedBeforeReady(t *testing.T) {
	for publish, want := range map[bool]string{false: "ready false serving false", true: "ready true serving false"} {
		l := foldtest.New()
		l.Node("n1", events.NodeFacts{Hostname: "n1"})
		l.Create(foldtest.Key(events.Services, "db"), fmt.Sprintf(`{"metadata":{"name":"db"},"spec":{"clusterIP":"10.0.0.9","selector":{"app":"db"},"publishNotReadyAddresses":%v,"ports":[{"port":5432}]}}`, publish))
		pod := foldtest.Key(events.Pods, "db-0")
		l.Create(pod, `{"metadata":{"name":"db-0","labels":{"app":"db"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
		l.Assign("n1", pod)
		l.Saw(pod, foldtest.Up("c", "10.1.0.7", l.Now)[:2]...) // it has an address and does not answer yet
		if published := l.State.Shown(foldtest.Key(events.Services, "db"), events.EndpointSlices); len(published) != 1 {
			t.Fatalf("%d slices", len(published))
		}
		for o := range l.State.Objects(events.EndpointSlices, "default", l.Now) {
			c := o.(*discoveryv1.EndpointSlice).Endpoints[0].Conditions
			if got := fmt.Sprintf("ready %v serving %v", *c.Ready, *c.Serving); got != want {
				t.Errorf("published %v: %s, want %s", publish, got, want)
			}
		}
	}
}
