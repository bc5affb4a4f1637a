package admit

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

func (w *town) join(name string) wire.JoinReply {
	w.t.Helper()
	drafts, st := Join(w.v, wire.JoinRequest{Node: name, Facts: events.NodeFacts{Hostname: name, Architecture: "amd64"}})
	if st != nil {
		w.t.Fatalf("join %s: %v", name, st)
	}
	w.fold("join-"+name, drafts)
	return Place(w.v, name)
}

// assign gives a pod to a node, as the scheduler does.
func (w *town) assign(r wire.Result, node string) {
	w.event(events.Envelope{Subject: events.AssignSubject(node), Type: events.PodsAssigned,
		Body: events.MustBody(events.Assigned{Pods: []events.Ref{{Key: r.Key, UID: r.UID}}})})
}

func seconds(n int64) func(*Request) { return func(r *Request) { r.Grace = &n } }

func TestDeletePod(t *testing.T) {
	w := newTown(t)
	w.join("n1")
	r := w.must(wire.Create, pod, Created)
	if d := w.delete(r.Key, nil); d.Outcome != Deleted || d.UID != r.UID {
		t.Fatalf("delete: %+v", d)
	}
	if _, ok := w.v.Get(r.Key); ok {
		t.Fatal("a pod that no node had is still there")
	}
	r = w.must(wire.Create, pod, Created)
	w.assign(r, "n1")
	w.delete(r.Key, nil)
	o, ok := w.v.Get(r.Key)
	if !ok || o.Deletion == nil || o.Deletion.Grace != 30 {
		t.Fatalf("the pod on its node: %+v", o)
	}
	seq := w.v.Seq
	if w.delete(r.Key, seconds(60)); w.v.Seq != seq {
		t.Error("a wish for a longer grace was appended")
	}
	if w.delete(r.Key, seconds(5)); w.v.Seq == seq {
		t.Error("a wish for a shorter grace was not")
	}
	w.refused(w.do(wire.Create, pod), metav1.StatusReasonAlreadyExists, `object is being deleted: pods "p" already exists`)
	w.delete(r.Key, func(r *Request) { r.Force = true })
	if _, ok := w.v.Get(r.Key); ok {
		t.Error("the forced delete waits")
	}
	w.refused(w.delete(r.Key, nil), metav1.StatusReasonNotFound, `pods "p" not found`)
}

func TestDeletePreconditions(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Create, config, Created)
	for _, edit := range []func(*Request){
		func(r *Request) { r.Item.UID = "other" }, func(r *Request) { r.Item.ResourceVersion = "1" }} {
		if d := w.delete(r.Key, edit); d.Error == nil || d.Error.Reason != metav1.StatusReasonConflict {
			t.Errorf("delete: %+v", d)
		}
	}
	if d := w.delete(r.Key, func(q *Request) { q.Item.UID = r.UID }); d.Outcome != Deleted {
		t.Errorf("delete: %+v", d)
	}
	if _, ok := w.v.Get(r.Key); ok {
		t.Error("the ConfigMap is still there")
	}
}

func TestDeleteWorkload(t *testing.T) {
	w := newTown(t)
	r := w.must(wire.Create, deploy, Created)
	if d := w.delete(r.Key, func(r *Request) { r.Cascade = "sideways" }); d.Error == nil {
		t.Error("an unknown cascade went through")
	}
	for _, cascade := range []string{"background", "foreground", "orphan"} {
		w.delete(r.Key, func(r *Request) { r.Cascade = cascade })
		o, _ := w.v.Get(r.Key)
		if o.Deletion == nil || o.Deletion.Foreground != (cascade == "foreground") || o.Deletion.Orphan != (cascade == "orphan") {
			t.Errorf("%s: %+v", cascade, o.Deletion)
		}
		seq := w.v.Seq
		if w.delete(r.Key, func(r *Request) { r.Cascade = cascade }); w.v.Seq != seq {
			t.Errorf("%s a second time was appended", cascade)
		}
	}
}

func TestDeleteNamespace(t *testing.T) {
	w := newTown(t)
	ns := func(name string) events.Key { return events.Key{Resource: events.Namespaces, Name: name} }
	w.refused(w.delete(ns("default"), nil), metav1.StatusReasonForbidden, `namespaces "default" is forbidden: this namespace may not be deleted`)
	w.must(wire.Create, "apiVersion: v1\nkind: Namespace\nmetadata: {name: blue}\n", Created)
	if d := w.delete(ns("blue"), nil); d.Outcome != Deleted {
		t.Fatalf("delete: %+v", d)
	}
	if o, ok := w.v.Get(ns("blue")); !ok || o.Deletion == nil {
		t.Fatal("the namespace has to stay until it is empty")
	}
	seq := w.v.Seq
	if w.delete(ns("blue"), nil); w.v.Seq != seq {
		t.Error("a second wish was appended")
	}
	r := w.do(wire.Create, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: blue}\n")
	w.refused(r, metav1.StatusReasonForbidden, `configmaps "c" is forbidden: unable to create new content in namespace blue because it is being terminated`)
	if r.Error.Code != 403 || r.Error.Details.Causes[0].Type != "NamespaceTerminating" {
		t.Errorf("status %+v", r.Error)
	}
}

func TestDeleteWhatIsNoObject(t *testing.T) {
	w := newTown(t)
	for _, k := range []events.Key{{Resource: "cows", Name: "x"}, {Resource: events.Pods, Namespace: "default"}, {Resource: events.Endpoints, Namespace: "default", Name: "x"}} {
		if d := w.delete(k, nil); d.Error == nil {
			t.Errorf("%s was deleted", k)
		}
	}
}

func TestJoin(t *testing.T) {
	w := newTown(t)
	a, b := w.join("n1"), w.join("n2")
	if a.PodCIDR != "10.244.0.0/24" || b.PodCIDR != "10.244.1.0/24" || a.ServiceCIDR != "10.96.0.0/16" || a.DNS != "10.96.0.10" || a.Domain != "cluster.local" || a.UID == "" {
		t.Errorf("places %+v, %+v", a, b)
	}
	if again := w.join("n1"); again != a {
		t.Errorf("joining again: %+v", again)
	}
	w.delete(NodeKey("n1"), nil)
	if c := w.join("n3"); c.PodCIDR != "10.244.0.0/24" {
		t.Errorf("what was given back is given out again: %+v", c)
	}
	if p := Place(w.v, "n1"); p.Error == nil {
		t.Error("a node that is gone has a place")
	}
	if _, st := Join(w.v, wire.JoinRequest{Node: "Bad_Name"}); st == nil || st.Reason != metav1.StatusReasonInvalid {
		t.Errorf("status %v", st)
	}
}

func TestJoinUnderATakenName(t *testing.T) {
	w := newTown(t)
	w.join("n1")
	facts := events.NodeFacts{MachineID: "first"}
	w.event(events.Envelope{Subject: events.SeenSubject("n1"), Type: events.PodsSeen, Body: events.MustBody(events.Seen{Node: &facts})})
	if drafts, st := Join(w.v, wire.JoinRequest{Node: "n1", Facts: facts}); st != nil || len(drafts) != 0 {
		t.Errorf("the same machine: %v, %v", drafts, st)
	}
	if _, st := Join(w.v, wire.JoinRequest{Node: "n1", Facts: events.NodeFacts{MachineID: "second"}}); st == nil || st.Reason != metav1.StatusReasonConflict {
		t.Errorf("another machine: %v", st)
	}
}

func TestJoinUntilTheCIDRIsFull(t *testing.T) {
	w := newTown(t)
	var have []string
	for i := range 256 {
		have = append(have, w.join("n"+string(rune('a'+i/26))+string(rune('a'+i%26))).PodCIDR)
	}
	slices.Sort(have)
	if n := len(slices.Compact(have)); n != 256 {
		t.Errorf("%d different parts for 256 nodes", n)
	}
	if _, st := Join(w.v, wire.JoinRequest{Node: "more"}); st == nil {
		t.Error("a node too many joined")
	}
}

// People may write nodes, as those who run a kubelet elsewhere: whatever ranges stand in them, others join.
func TestJoinBesideNodesOfPeople(t *testing.T) {
	w := newTown(t)
	for name, cidr := range map[string]string{"six": "fd00:10::/64", "mapped": "::ffff:10.244.2.0/120", "wide": "192.0.0.0/2", "tiny": "10.244.0.7/32"} {
		w.must(wire.Create, "apiVersion: v1\nkind: Node\nmetadata: {name: "+name+"}\nspec: {podCIDR: '"+cidr+"'}\n", Created)
	}
	if p := w.join("n1"); p.Error != nil || p.PodCIDR != "10.244.1.0/24" {
		t.Errorf("%+v", p)
	}
}
