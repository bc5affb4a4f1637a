package admit

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/reconcilers"
)

func quota(hard string) string {
	return "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec:\n  hard: {" + hard + "}\n"
}

func named(kind, name, more string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: %s\nmetadata: {name: %s}\n%s", kind, name, more)
}

func TestQuotaRefuses(t *testing.T) {
	w := newTown(t)
	w.must(wire.Create, quota(`configmaps: "1", services.nodeports: "1", requests.cpu: "1", count/deployments.apps: "1"`), Created)
	w.must(wire.Create, named("ConfigMap", "a", ""), Created)
	w.refused(w.do(wire.Apply, named("ConfigMap", "b", "")), metav1.StatusReasonForbidden,
		`configmaps "b" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1`)
	w.must(wire.Apply, named("ConfigMap", "a", "data: {x: y}\n"), Configured) // no more of it than before
	w.refused(w.do(wire.Create, pod), metav1.StatusReasonForbidden, `pods "p" is forbidden: failed quota: q: must specify requests.cpu for: a`)
	w.must(wire.Apply, deploy, Created)
	w.refused(w.do(wire.Apply, renamed(deploy, "two")), metav1.StatusReasonForbidden,
		`deployments.apps "two" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1`)

	service := "spec: {type: %s, ports: [{name: a, port: 80}%s]}\n"
	w.must(wire.Create, named("Service", "s", fmt.Sprintf(service, "ClusterIP", ", {name: b, port: 81}")), Created)
	w.refused(w.do(wire.Replace, named("Service", "s", fmt.Sprintf(service, "NodePort", ", {name: b, port: 81}"))), metav1.StatusReasonForbidden,
		`services "s" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1`)
	w.must(wire.Replace, named("Service", "s", fmt.Sprintf(service, "NodePort", "")), Replaced)

	w.delete(events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: "a"}, nil)
	w.must(wire.Create, named("ConfigMap", "b", ""), Created)
}

// renamed is a manifest with another name.
func renamed(s, name string) string {
	docs, _ := manifest.Decode("f", []byte(s))
	docs[0].Object.SetName(name)
	return string(events.MustBody(docs[0].Object))
}

// The requests of one change see each other, and so do those that come one after
// the other: whatever is asked, in whatever batches, a quota is never exceeded,
// and nothing is refused that it has room for.
func TestQuotaHolds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newTown(t)
		most := rapid.IntRange(0, 6).Draw(rt, "most")
		w.must(wire.Create, quota(fmt.Sprintf(`configmaps: "%d"`, most)), Created)
		there := map[string]bool{}
		for range rapid.IntRange(1, 8).Draw(rt, "changes") {
			w.n++
			id := fmt.Sprint("c", w.n)
			var asks []Request
			fresh := map[string]bool{}
			for i := range rapid.IntRange(1, 4).Draw(rt, "items") {
				name := fmt.Sprint("m", rapid.IntRange(0, 9).Draw(rt, "name"))
				docs, _ := manifest.Decode("f", []byte(named("ConfigMap", name, "")))
				if !there[name] {
					fresh[name] = true
				}
				asks = append(asks, Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Apply}, Item: wire.Item{Object: docs[0].JSON()}, Op: w.op(fmt.Sprint(id, "/", i))})
			}
			out := Together(w.v, asks, w.v.Time)
			fits := len(there)+len(fresh) <= most || len(fresh) == 0
			if fits != (out.Refused == 0) {
				rt.Fatalf("%d there, %d new, at most %d: %d refused", len(there), len(fresh), most, out.Refused)
			}
			if out.Refused > 0 {
				continue
			}
			for i := range out.Outcomes {
				w.fold(fmt.Sprint(id, "/", i), out.Outcomes[i].Drafts)
			}
			for name := range fresh {
				there[name] = true
			}
		}
		n := 0
		for range w.v.List(events.ConfigMaps, "default") {
			n++
		}
		if n > most && len(there) != n {
			rt.Fatalf("%d of at most %d", n, most)
		}
	})
}

func TestUndoMeetsQuotas(t *testing.T) {
	w := newTown(t)
	w.must(wire.Create, quota(`configmaps: "1"`), Created)
	create := func(name string) reconcilers.Draft {
		return reconcilers.Create(events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: name}, events.Created{Object: []byte(`{}`)})
	}
	if said := Overdrawn(w.v, "x", []reconcilers.Draft{create("a")}, start); said != "" {
		t.Error(said)
	}
	said := Overdrawn(w.v, "x", []reconcilers.Draft{create("a"), create("b")}, start)
	if want := `configmaps "b" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1`; said != want {
		t.Errorf("%s\nwant %s", said, want)
	}
}

func TestLimitRangeFillsIn(t *testing.T) {
	w := newTown(t)
	w.must(wire.Create, quota(`limits.cpu: "1"`), Created)
	w.must(wire.Create, named("LimitRange", "l", "spec: {limits: [{type: Container, max: {cpu: 600m}, defaultRequest: {cpu: 100m}}]}\n"), Created)
	got := get[*corev1.Pod](w, w.must(wire.Create, pod, Created))
	r := got.Spec.Containers[0].Resources
	if r.Limits.Cpu().String() != "600m" || r.Requests.Cpu().String() != "100m" ||
		got.Annotations["kubernetes.io/limit-ranger"] != "LimitRanger plugin set: cpu request for container a; cpu limit for container a" {
		t.Errorf("%+v, %v", r, got.Annotations)
	}
	w.must(wire.Apply, pod, Unchanged)
	big := "spec:\n  containers: [{name: a, image: nginx, resources: {limits: {cpu: %s}}}]\n"
	w.refused(w.do(wire.Create, named("Pod", "q", fmt.Sprintf(big, "700m"))), metav1.StatusReasonForbidden,
		`pods "q" is forbidden: maximum cpu usage per Container is 600m, but limit is 700m`)
	w.refused(w.do(wire.Create, named("Pod", "q", fmt.Sprintf(big, "500m"))), metav1.StatusReasonForbidden,
		`pods "q" is forbidden: exceeded quota: q, requested: limits.cpu=500m, used: limits.cpu=600m, limited: limits.cpu=1`)
}
