package projections_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

func TestDesiredRow(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	l.Create(projections.ClusterKey, string(events.MustBody(map[string]any{"data": projections.Cluster{Name: "c", PodCIDR: "10.244.0.0/16",
		ServiceCIDR: "10.96.0.0/12", DNS: "10.96.0.10", Domain: "cluster.local"}.Data()})))
	l.Create(foldtest.Service, `{"spec":{"clusterIP":"10.96.0.20","selector":{"app":"x"},"ports":[{"port":80}]}}`)
	l.Create(foldtest.Key(events.Services, "headless"), `{"spec":{"clusterIP":"None"}}`)
	conf := foldtest.Key(events.ConfigMaps, "conf")
	l.Create(conf, `{"data":{"k":"v"}}`)
	secret := foldtest.Key(events.Secrets, "conf")
	l.Create(secret, `{"data":{"k":"dg=="}}`)
	k := foldtest.Key(events.Pods, "p")
	l.Create(k, `{"spec":{"containers":[{"name":"c","image":"i","envFrom":[{"configMapRef":{"name":"conf"}},{"configMapRef":{"name":"missing"}}]}],"volumes":[{"name":"s","secret":{"secretName":"conf"}}]}}`)
	if _, ok := projections.DesiredRow(l.State, k); ok {
		t.Fatal("a pod without a node is desired")
	}
	given := l.Assign("n1", k)
	set := projections.DesiredFor(l.State, "n1")
	if set.DNS != "10.96.0.10" || set.Domain != "cluster.local" || len(set.Pods) != 1 || set.Position.Seq() != given {
		t.Fatalf("set %+v", set)
	}
	d := set.Pods[0]
	if d.Assigned != given || d.Pod.Spec.NodeName != "n1" || d.Stop || len(d.ConfigMaps) != 1 || d.ConfigMaps["conf"].Data["k"] != "v" || string(d.Secrets["conf"].Data["k"]) != "v" ||
		len(d.Services) != 1 || d.Services[0].IP != "10.96.0.20" {
		t.Errorf("row %+v", d)
	}
	l.Saw(k, foldtest.Up("c", "10.244.0.5", l.Now)...)
	if got := projections.NodeChanges(l.State, l.Changes); len(got) != 0 {
		t.Errorf("a node is told what it said: %+v", got)
	}
	if again, _ := projections.DesiredRow(l.State, k); again.Position != d.Position || again.Runs["c"] != 1 {
		t.Errorf("after the node's facts: position %d, runs %v", again.Position, again.Runs)
	}
	l.Change(conf, foldtest.Person, `{"data":{"k":"w"}}`)
	if got := projections.NodeChanges(l.State, l.Changes); !reflect.DeepEqual(got, []projections.NodeRows{{Node: "n1", Pods: []events.Key{k}}}) {
		t.Errorf("a ConfigMap changed: %+v", got)
	}
	if again, _ := projections.DesiredRow(l.State, k); again.Position <= d.Position || again.ConfigMaps["conf"].Data["k"] != "w" {
		t.Errorf("after the ConfigMap changed: %+v", again)
	}
	d, _ = projections.DesiredRow(l.State, k)
	l.Change(secret, foldtest.Person, `{"data":{"k":"dw=="}}`)
	if got := projections.NodeChanges(l.State, l.Changes); len(got) != 1 || len(got[0].Pods) != 1 {
		t.Errorf("a Secret changed: %+v", got)
	}
	if again, _ := projections.DesiredRow(l.State, k); again.Position <= d.Position || string(again.Secrets["conf"].Data["k"]) != "w" {
		t.Errorf("after the Secret changed: %+v", again)
	}
	l.Delete(k, foldtest.Person, 30)
	if d, _ = projections.DesiredRow(l.State, k); !d.Stop || d.Deadline.Sub(l.Now).Seconds() != 30 || d.Grace == nil || *d.Grace != 30 || d.Why != "deleted by user:ann" {
		t.Errorf("after the deletion: %+v", d)
	}
	l.Remove(k)
	want := []projections.NodeRows{{Node: "n1", Gone: []events.Ref{{Key: k, UID: foldtest.UID(k, 1)}}}}
	if got := projections.NodeChanges(l.State, l.Changes); !reflect.DeepEqual(got, want) {
		t.Errorf("after the removal: %+v", got)
	}
}

// Only a pod that names its node can be there against its own words: the scheduler looks at all others.
func TestDesiredRowKnowsMisfits(t *testing.T) {
	const ssd = `"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"disk","operator":"In","values":["ssd"]}]}]}}}`
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	for name, c := range map[string]struct {
		spec string
		want bool
	}{
		"plain": {`"nodeName":"n1"`, false}, "selector": {`"nodeName":"n1","nodeSelector":{"disk":"ssd"}`, true}, "affinity": {`"nodeName":"n1",` + ssd, true}, "scheduled": {ssd, false},
	} {
		k := foldtest.Key(events.Pods, name)
		l.Create(k, `{"spec":{"containers":[{"name":"c","image":"i"}],`+c.spec+`}}`)
		l.Assign("n1", k)
		if d, ok := projections.DesiredRow(l.State, k); !ok || d.Misfit != c.want {
			t.Errorf("%s: %v, %+v", name, ok, d)
		}
	}
	l.Change(foldtest.Key(events.Nodes, "n1"), foldtest.Person, `{"metadata":{"name":"n1","labels":{"disk":"ssd"}}}`)
	for _, name := range []string{"selector", "affinity"} {
		if d, _ := projections.DesiredRow(l.State, foldtest.Key(events.Pods, name)); d.Misfit {
			t.Errorf("%s: with the label it does not fit", name)
		}
	}
}

// A node is told what the pod's runtime class wants, and when that changes.
func TestDesiredRowKnowsHandlers(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	class := events.Key{Resource: events.RuntimeClasses, Name: "heavy"}
	k := foldtest.Key(events.Pods, "p")
	l.Create(foldtest.Key(events.Pods, "other"), `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	l.Create(k, `{"spec":{"runtimeClassName":"heavy","overhead":{"cpu":"250m","memory":"1Mi"},"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}}`)
	l.Assign("n1", k, foldtest.Key(events.Pods, "other"))
	if u := l.State.Used("n1"); u.CPU != 1250 || u.Memory != 1<<20 {
		t.Errorf("with the overhead the node holds %+v", u)
	}
	d, _ := projections.DesiredRow(l.State, k)
	if !d.Classless || d.Handler != "" {
		t.Errorf("of no class: %+v", d)
	}
	l.Create(class, `{"handler":"h"}`)
	if got := projections.NodeChanges(l.State, l.Changes); !reflect.DeepEqual(got, []projections.NodeRows{{Node: "n1", Pods: []events.Key{k}}}) {
		t.Errorf("a class came: %+v", got)
	}
	if again, _ := projections.DesiredRow(l.State, k); again.Classless || again.Handler != "h" || again.Position <= d.Position {
		t.Errorf("of the class: %+v", again)
	}
}

func TestNetRow(t *testing.T) {
	l := foldtest.Nginx(2)
	row, ok := projections.NetRow(l.State, foldtest.Service)
	want := []projections.NetPort{{Protocol: "TCP", Port: 80, Endpoints: []string{"10.244.0.5:80", "10.244.0.6:80"}}}
	if !ok || row.ClusterIP != "10.96.0.20" || row.Type != "ClusterIP" || !reflect.DeepEqual(row.Ports, want) {
		t.Errorf("row %+v", row)
	}
	l.Delete(foldtest.Pod(0), foldtest.Person, 30)
	changed, dropped := projections.NetChanges(l.Changes)
	if fmt.Sprint(changed) != fmt.Sprint([]events.Key{foldtest.Service}) || dropped != nil {
		t.Errorf("a backend leaves: changed %v, dropped %v", changed, dropped)
	}
	if row, _ = projections.NetRow(l.State, foldtest.Service); len(row.Ports[0].Endpoints) != 1 {
		t.Errorf("a pod that leaves still gets connections: %+v", row.Ports)
	}
	l.Conclude(foldtest.Pod(1), events.Reason{Code: "x"})
	if changed, _ := projections.NetChanges(l.Changes); changed != nil {
		t.Errorf("a verdict moved endpoints: %v", changed)
	}
	l.Remove(foldtest.Service)
	if _, dropped = projections.NetChanges(l.Changes); len(dropped) != 1 {
		t.Errorf("dropped %v", dropped)
	}
}

// A template stored once makes the same pod as one written whole.
func TestTemplateByHash(t *testing.T) {
	l := foldtest.New()
	body := []byte(foldtest.Template(""))
	h := events.HashOf(body)
	l.Add(events.Envelope{Subject: events.TemplateSubject(h), Type: events.TemplateStored, Body: body})
	a, b := foldtest.Key(events.Pods, "a"), foldtest.Key(events.Pods, "b")
	l.Spec(a, events.VerbCreated, foldtest.Person, 0, events.Created{UID: "a", Template: h, Object: []byte(`{"metadata":{"labels":{"more":"x"}}}`)})
	l.Create(b, foldtest.Template(`,"more":"x"`))
	x, y := pod(t, l, a), pod(t, l, b)
	if !reflect.DeepEqual(x.Spec, y.Spec) || !reflect.DeepEqual(x.Labels, y.Labels) {
		t.Errorf("by hash %+v %v\nwhole %+v %v", x.Spec, x.Labels, y.Spec, y.Labels)
	}
	if o, _ := l.State.Get(a); !reflect.DeepEqual(o.PodLabels(), x.Labels) {
		t.Errorf("labels without decoding %v", o.PodLabels())
	}
}

// A node's row has what the others' routes need, once the node has told it.
func TestNetNodeRow(t *testing.T) {
	l := foldtest.Nginx(1)
	k := events.Key{Resource: events.Nodes, Name: "n1"}
	row, ok := projections.NetNodeRow(l.State, k)
	if !ok || row.Address != "10.0.0.1" || row.Key != k || row.Position == 0 {
		t.Errorf("row %+v", row)
	}
	if all := projections.NetAll(l.State); len(all.Nodes) != 1 || !reflect.DeepEqual(all.Nodes[0], row) {
		t.Errorf("set %+v", all.Nodes)
	}
	for _, k := range []events.Key{foldtest.Service, {Resource: events.Nodes, Name: "n9"}} {
		if _, ok := projections.NetNodeRow(l.State, k); ok {
			t.Errorf("%s has a node's row", k)
		}
	}
}

// TestHostsOfHeadlessServices: only a service without an address has names for its endpoints.
func TestHostsOfHeadlessServices(t *testing.T) {
	l := foldtest.Nginx(2)
	headless := foldtest.Key(events.Services, "headless")
	l.Create(headless, `{"spec":{"clusterIP":"None","selector":{"app":"nginx"},"ports":[{"port":80}]}}`)
	for k, want := range map[events.Key]int{headless: 2, foldtest.Service: 0} {
		if row, ok := projections.NetRow(l.State, k); !ok || len(row.Hosts) != want || len(row.Ports[0].Endpoints) != 2 {
			t.Errorf("%s, want %d hosts: %+v", k, want, row)
		}
	}
}
