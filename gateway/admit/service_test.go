package admit

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

func svc(name, spec string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {%s}\n", name, spec)
}

func TestClusterIPs(t *testing.T) {
	w := newTown(t)
	all := netip.MustParsePrefix("10.96.0.0/16")
	seen := map[string]bool{"10.96.0.10": true, "10.96.0.0": true}
	for i := range 50 {
		s := get[*corev1.Service](w, w.must(wire.Create, svc(fmt.Sprint("s", i), "ports: [{port: 80}]"), Created)).Spec
		if a := netip.MustParseAddr(s.ClusterIP); !all.Contains(a) || seen[s.ClusterIP] || s.ClusterIPs[0] != s.ClusterIP {
			t.Fatalf("service %d has %s", i, s.ClusterIP)
		}
		seen[s.ClusterIP] = true
	}
	w.must(wire.Create, svc("asked", "clusterIP: 10.96.0.77, ports: [{port: 80}]"), Created)
	for spec, message := range map[string]string{
		"clusterIP: 10.96.0.77": `spec.clusterIPs[0]: Invalid value: "10.96.0.77": failed to allocate IP 10.96.0.77: provided IP is already allocated`,
		"clusterIP: 10.0.0.1":   `spec.clusterIPs[0]: Invalid value: "10.0.0.1": failed to allocate IP 10.0.0.1: the provided IP is not in the valid range. The range of valid IPs is 10.96.0.0/16`,
		"clusterIP: x":          `spec.clusterIPs[0]: Invalid value: "x": must be a valid IPv4 address`,
	} {
		w.refused(w.do(wire.Create, svc("b", spec+", ports: [{port: 80}]")), metav1.StatusReasonInvalid, `Service "b" is invalid: `+message)
	}
	if s := get[*corev1.Service](w, w.must(wire.Create, svc("h", "clusterIP: None, ports: [{port: 80}]"), Created)).Spec; s.ClusterIP != "None" {
		t.Errorf("headless has %s", s.ClusterIP)
	}
	if s := get[*corev1.Service](w, w.must(wire.Create, svc("e", "type: ExternalName, externalName: a.b"), Created)).Spec; s.ClusterIP != "" {
		t.Errorf("external name has %s", s.ClusterIP)
	}
}

// A small range is used up to the last address, and then refused.
func TestClusterIPsRunOut(t *testing.T) {
	for bits, want := range map[int]int{28: 14, 29: 6, 30: 2, 31: 0} {
		taken := given{addresses: map[string]bool{}}
		prefix := netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), bits)
		n := 0
		for {
			a, ok := taken.free(prefix, "", "op")
			if !ok {
				break
			}
			if taken.addresses[a] || a == "10.0.0.0" || !prefix.Contains(netip.MustParseAddr(a)) {
				t.Fatalf("/%d gave %s", bits, a)
			}
			taken.addresses[a] = true
			n++
		}
		if n != want {
			t.Errorf("/%d gave %d addresses, want %d", bits, n, want)
		}
	}
}

func TestNodePorts(t *testing.T) {
	w := newTown(t)
	ports := func(r wire.Result) (out []int32) {
		for _, p := range get[*corev1.Service](w, r).Spec.Ports {
			out = append(out, p.NodePort)
		}
		return out
	}
	a := w.must(wire.Create, svc("a", "type: NodePort, ports: [{port: 80, nodePort: 30000}]"), Created)
	if got := ports(a); got[0] != 30000 {
		t.Errorf("ports %d", got)
	}
	w.refused(w.do(wire.Create, svc("c", "type: NodePort, ports: [{port: 80, nodePort: 30000}]")), metav1.StatusReasonInvalid,
		`Service "c" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is already allocated`)
	// Those that nobody asks for differ, and leave the first ports to people.
	seen := map[int32]bool{}
	for i := range 100 {
		for _, p := range ports(w.must(wire.Create, svc(fmt.Sprintf("s%d", i), "type: NodePort, ports: [{name: x, port: 80}, {name: y, port: 81}]"), Created)) {
			if seen[p] || p < 30000+staticNodePorts || p > 32767 {
				t.Errorf("port %d was given out", p)
			}
			seen[p] = true
		}
	}
	w.delete(a.Key, nil)
	w.must(wire.Create, svc("c", "type: NodePort, ports: [{port: 80, nodePort: 30000}]"), Created)
}

// TestHeldNodePorts: what programs and other clusters on the machine have is not given out.
func TestHeldNodePorts(t *testing.T) {
	w := newTown(t)
	tcp := func(n int32) Port { return Port{n, corev1.ProtocolTCP} }
	held := map[Port]string{tcp(30000): "nginx (pid 7)"}
	do := func(op wire.Operation, yaml string) wire.Result {
		docs, _ := manifest.Decode("f", []byte(yaml))
		return w.ask(Request{ChangeRequest: wire.ChangeRequest{Operation: op}, Item: wire.Item{Object: docs[0].JSON()}, Held: held})
	}
	w.refused(do(wire.Create, svc("a", "type: NodePort, ports: [{port: 80, nodePort: 30000}]")), metav1.StatusReasonInvalid,
		`Service "a" is invalid: spec.ports[0].nodePort: Invalid value: 30000: provided port is in use on this machine by nginx (pid 7); leave nodePort out to be given a free one`)
	if r := do(wire.Create, svc("u", "type: NodePort, ports: [{port: 53, protocol: UDP, nodePort: 30000}]")); r.Error != nil {
		t.Error(r.Error) // nobody has that
	}
	// All but two are held: they are given out, and then no more.
	for n := manifest.FirstNodePort; n <= manifest.LastNodePort; n++ {
		if n != 30001 && n != 32000 {
			held[tcp(n)] = "cluster two (default/web)"
		}
	}
	for i, want := range []int32{32000, 30001} {
		r := do(wire.Apply, svc(fmt.Sprintf("s%d", i), "type: NodePort, ports: [{port: 80}]"))
		if r.Error != nil || get[*corev1.Service](w, r).Spec.Ports[0].NodePort != want {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if r := do(wire.Create, svc("full", "type: NodePort, ports: [{port: 80}]")); r.Error == nil {
		t.Error("a port was given out that is not free")
	}
	// A service keeps what it has, whoever says that it has it.
	held[tcp(32000)] = "nginx (pid 8)"
	if r := do(wire.Apply, svc("s0", "type: NodePort, ports: [{port: 80, targetPort: 8080}]")); r.Error != nil || r.Outcome != Configured {
		t.Errorf("%+v", r)
	}
	if r := do(wire.Apply, svc("s0", "type: NodePort, ports: [{port: 80, nodePort: 32100}]")); r.Error == nil {
		t.Error("another one's port was taken")
	}
}

func TestServiceUpdates(t *testing.T) {
	w := newTown(t)
	src := svc("s", "type: NodePort, ports: [{port: 80}]")
	r := w.must(wire.Apply, src, Created)
	before := get[*corev1.Service](w, r).Spec
	w.must(wire.Apply, src, Unchanged)
	w.must(wire.Replace, strings.Replace(src, "port: 80", "port: 80, targetPort: 8080", 1), Replaced)
	after := get[*corev1.Service](w, r).Spec
	if after.ClusterIP != before.ClusterIP || after.Ports[0].NodePort != before.Ports[0].NodePort || after.Ports[0].TargetPort.IntVal != 8080 {
		t.Errorf("replaced: %+v", after)
	}
	w.must(wire.Apply, svc("s", "type: ClusterIP, ports: [{port: 80}]"), Configured)
	after = get[*corev1.Service](w, r).Spec
	if after.ClusterIP != before.ClusterIP || after.Ports[0].NodePort != 0 || after.ExternalTrafficPolicy != "" {
		t.Errorf("no node port any more: %+v", after)
	}
	w.refused(w.do(wire.Apply, svc("s", "clusterIP: 10.96.9.9, type: ClusterIP, ports: [{port: 80}]")), metav1.StatusReasonInvalid,
		`Service "s" is invalid: spec.clusterIPs[0]: Invalid value: "10.96.9.9": may not change once set`)
	w.must(wire.Apply, svc("s", "type: ExternalName, externalName: a.b"), Configured)
	if s := get[*corev1.Service](w, r).Spec; s.ClusterIP != "" || len(s.Ports) != 0 {
		t.Errorf("external name: %+v", s)
	}
	w.must(wire.Apply, svc("s", "type: ClusterIP, ports: [{port: 80}]"), Configured)
	if s := get[*corev1.Service](w, r).Spec; s.ClusterIP == "" || s.ExternalName != "" {
		t.Errorf("back again: %+v", s)
	}
	// A client that writes back what it read, with another type, means that the name is over; DNS would go on telling it.
	w.must(wire.Apply, svc("s", "type: ExternalName, externalName: a.b"), Configured)
	r = w.must(wire.Replace, svc("s", "type: ClusterIP, externalName: a.b, ports: [{port: 80}]"), Replaced)
	if s := get[*corev1.Service](w, r).Spec; s.ClusterIP == "" || s.ExternalName != "" {
		t.Errorf("written back: %+v", s)
	}
}

// TestHealthPorts: where nodes tell load balancers whether they have endpoints is given out, kept and given back as
// node ports are, and can be named.
func TestHealthPorts(t *testing.T) {
	w := newTown(t)
	const local = "type: LoadBalancer, externalTrafficPolicy: Local, "
	r := w.must(wire.Apply, svc("s", local+"ports: [{port: 80}]"), Created)
	first := get[*corev1.Service](w, r).Spec
	if p := first.HealthCheckNodePort; p < manifest.FirstNodePort || p > manifest.LastNodePort || p == first.Ports[0].NodePort {
		t.Fatalf("given %d beside node port %d", p, first.Ports[0].NodePort)
	}
	w.must(wire.Apply, svc("s", local+"ports: [{port: 80}]"), Unchanged)
	w.must(wire.Replace, svc("s", local+"ports: [{port: 81}]"), Replaced)
	if p := get[*corev1.Service](w, r).Spec.HealthCheckNodePort; p != first.HealthCheckNodePort {
		t.Errorf("it went from %d to %d", first.HealthCheckNodePort, p)
	}
	for in, want := range map[string]string{
		local + "healthCheckNodePort: 30010, ports: [{port: 81}]":                                             "spec.healthCheckNodePort: Forbidden: field is immutable",
		"type: LoadBalancer, externalTrafficPolicy: Cluster, healthCheckNodePort: 30010, ports: [{port: 81}]": "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
		"type: NodePort, externalTrafficPolicy: Local, healthCheckNodePort: 30010, ports: [{port: 81}]":       "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
	} {
		if got := w.do(wire.Replace, svc("s", in)); got.Error == nil || !strings.Contains(got.Error.Message, want) {
			t.Errorf("%s: %+v", in, got.Error)
		}
	}
	taken := fmt.Sprint(first.HealthCheckNodePort)
	for in, want := range map[string]string{
		local + "healthCheckNodePort: " + taken + ", ports: [{port: 80}]":          "provided port is already allocated",
		local + "healthCheckNodePort: 30009, ports: [{port: 80, nodePort: 30009}]": "provided port is already allocated",
		local + "healthCheckNodePort: 8080, ports: [{port: 80}]":                   "The range of valid ports is 30000-32767",
		"type: NodePort, ports: [{port: 80, nodePort: " + taken + "}]":             "provided port is already allocated",
	} {
		if got := w.do(wire.Create, svc("other", in)); got.Error == nil || !strings.Contains(got.Error.Message, want) {
			t.Errorf("%s: %+v", in, got.Error)
		}
	}
	w.must(wire.Replace, svc("s", "type: LoadBalancer, externalTrafficPolicy: Cluster, ports: [{port: 81}]"), Replaced)
	if p := get[*corev1.Service](w, r).Spec.HealthCheckNodePort; p != 0 {
		t.Errorf("nobody asks at %d any more", p)
	}
	w.must(wire.Create, svc("other", local+"healthCheckNodePort: "+taken+", ports: [{port: 80}]"), Created)
}

// TestBalancersWithoutNodePorts: who says that none are needed is given none.
func TestBalancersWithoutNodePorts(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Apply, svc("s", "type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{name: a, port: 80}, {name: b, port: 81, nodePort: 30020}]"), Created)
	if p := get[*corev1.Service](w, r).Spec.Ports; p[0].NodePort != 0 || p[1].NodePort != 30020 {
		t.Errorf("given %+v", p)
	}
}

// What is for load balancers alone, or for services that are reached from outside, goes with the type that wanted it, unless somebody
// writes it anew.
func TestServicesLeaveWhatTheyHaveNoUseFor(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Create, svc("s", "type: LoadBalancer, loadBalancerClass: a.b/c, externalTrafficPolicy: Cluster, ports: [{port: 80}]"), Created)
	all := "loadBalancerClass: a.b/c, allocateLoadBalancerNodePorts: true, externalTrafficPolicy: Cluster, ports: [{port: 80}]"
	w.refused(w.do(wire.Replace, svc("s", strings.Replace(all, "a.b/c", "a.b/d", 1)+", type: LoadBalancer")), metav1.StatusReasonInvalid,
		`Service "s" is invalid: spec.loadBalancerClass: Invalid value: "a.b/d": may not change once set`)
	w.must(wire.Replace, svc("s", all+", type: ClusterIP"), Replaced) // as a client writes that changes the type of what it read
	if s := get[*corev1.Service](w, r).Spec; s.LoadBalancerClass != nil || s.AllocateLoadBalancerNodePorts != nil || s.ExternalTrafficPolicy != "" {
		t.Errorf("%+v", s)
	}
	w.refused(w.do(wire.Replace, svc("s", all+", type: ClusterIP")), metav1.StatusReasonInvalid,
		"Service \"s\" is invalid: [spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer', spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer', "+
			`spec.externalTrafficPolicy: Invalid value: "Cluster": may only be set for externally-accessible services]`)
	w.must(wire.Replace, svc("s", "externalIPs: [192.0.2.1], externalTrafficPolicy: Local, ports: [{port: 80}]"), Replaced)
	w.must(wire.Replace, svc("s", "externalTrafficPolicy: Local, ports: [{port: 80}]"), Replaced)
	if s := get[*corev1.Service](w, r).Spec; s.ExternalTrafficPolicy != "" {
		t.Errorf("%+v", s)
	}
}

// An API that is served is told of once: its certificate, and its service on the
// first address, or on another one when somebody has that.
func TestPublish(t *testing.T) {
	w := newTown(t)
	taken := newTown(t)
	taken.must(wire.Create, svc("mine", "clusterIP: 10.96.0.1, ports: [{port: 80}]"), Created)
	for _, c := range []struct {
		w     *town
		first bool
	}{{w, true}, {taken, false}} {
		drafts := Publish(c.w.v, "one", "front")
		c.w.fold("publish", drafts)
		v := c.w.v
		o, ok := v.Get(projections.GatewayKey)
		if !ok || len(drafts) != 3 {
			t.Fatalf("%d drafts, %v", len(drafts), ok)
		}
		s := projections.As[*corev1.Service](o).Spec
		if (s.ClusterIP == "10.96.0.1") != c.first || s.ClusterIP == "" || s.ClusterIPs[0] != s.ClusterIP {
			t.Errorf("the service has %v", s.ClusterIPs)
		}
		if again := Publish(v, "one", "front"); len(again) != 0 {
			t.Errorf("again: %v", again)
		}
		if renewed := Publish(v, "two", "front"); len(renewed) != 2 || renewed[0].Subject != events.SpecSubject(projections.RootKey) {
			t.Errorf("another certificate: %v", renewed)
		}
	}
}

// A pod wants its account to be there; the default one may come a moment later. What
// a pod was given does not come back with it.
func TestAccountsOfPods(t *testing.T) {
	w := newTown(t)
	pod := func(name, more string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {" + more + "containers: [{name: c, image: i}]}\n"
	}
	w.refused(w.do(wire.Create, pod("p", "serviceAccountName: robot, ")), metav1.StatusReasonForbidden,
		`pods "p" is forbidden: error looking up service account default/robot: serviceaccount "robot" not found`)
	w.must(wire.Create, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot}\n", Created)
	w.must(wire.Create, pod("p", "serviceAccountName: robot, "), Created)
	k := w.must(wire.Create, pod("q", ""), Created)
	row, _ := w.v.Get(events.Key{Resource: events.Pods, Namespace: "default", Name: "q"})
	seen := projections.As[*corev1.Pod](row).DeepCopy()
	projections.FillAccess(seen, row.UID, true)
	seen.ResourceVersion = ""
	raw, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	w.must(wire.Replace, string(raw), Replaced)
	if got := get[*corev1.Pod](w, k).Spec; len(got.Volumes)+len(got.Containers[0].VolumeMounts) > 0 || got.ServiceAccountName != "" {
		t.Errorf("it came back as %+v", got)
	}
}
