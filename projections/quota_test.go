package projections_test

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/ration"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// used is what the status of a quota says.
func used(s projections.State, name string) map[corev1.ResourceName]string {
	o, _ := s.Object(foldtest.Key(events.Quotas, name), s.Time)
	out := map[corev1.ResourceName]string{}
	for k, n := range o.(*corev1.ResourceQuota).Status.Used {
		out[k] = n.String()
	}
	return out
}

func TestQuotaCounts(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	k := foldtest.Key(events.Pods, "p")
	pod := `{"metadata":{"name":"p"},"spec":{"restartPolicy":"Never","containers":[{"name":"c","resources":{"requests":{"cpu":"250m","memory":"64Mi"},"limits":{"cpu":"500m"}}}]}}`
	l.Create(k, pod)
	q := foldtest.Key(events.Quotas, "q")
	l.Create(q, `{"spec":{"hard":{"pods":"2","count/pods":"5","cpu":"1","requests.memory":"1Gi","limits.cpu":"2","services.nodeports":"1","services":"2","services.loadbalancers":"1","resourcequotas":"1","configmaps":"3"}}}`)
	want := map[corev1.ResourceName]string{"pods": "1", "count/pods": "1", "cpu": "250m", "requests.memory": "64Mi", "limits.cpu": "500m", "services.nodeports": "0",
		"services": "0", "services.loadbalancers": "0", "resourcequotas": "1", "configmaps": "0"}
	check := func(what string) {
		t.Helper()
		if got := used(l.State, "q"); !maps.Equal(got, want) {
			t.Errorf("%s: used %v\nwant %v", what, got, want)
		}
	}
	check("what was there before the quota")
	svc := foldtest.Key(events.Services, "s")
	l.Create(svc, `{"spec":{"type":"LoadBalancer","ports":[{"port":80},{"port":81}]}}`)
	want["services"], want["services.nodeports"], want["services.loadbalancers"] = "1", "2", "1"
	check("a load balancer")
	l.Change(svc, foldtest.Person, `{"spec":{"type":"NodePort","ports":[{"port":80}]}}`)
	want["services.nodeports"], want["services.loadbalancers"] = "1", "0"
	check("a service of another type")
	l.Assign("n1", k)
	at := l.State.PositionOf(q)
	l.Saw(k, events.Fact{Kind: events.FactStarted, Container: "c", Run: 1})
	if l.State.PositionOf(q) != at {
		t.Error("a start that alters no sum moved the quota")
	}
	l.Saw(k, events.Fact{Kind: events.FactExited, Container: "c", Run: 1})
	want["pods"], want["cpu"], want["requests.memory"], want["limits.cpu"] = "0", "0", "0", "0"
	check("a pod at its end is an object alone")
	if l.State.PositionOf(q) == at {
		t.Error("nobody who watches the quota hears of it")
	}
	l.Remove(k)
	want["count/pods"] = "0"
	check("a pod that is gone")
	l.Change(q, foldtest.Person, `{"spec":{"hard":{"count/services":"1"}}}`)
	want = map[corev1.ResourceName]string{"count/services": "1"}
	check("a quota of something else")
	l.Remove(q)
	if l.State.Quotas("default") != nil {
		t.Error("the quota is still there")
	}
}

// What the fold keeps of quotas is what a quota that were new would count.
func TestQuotasEqualARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := random(t).State
		for o := range s.List(events.Quotas, "") {
			k := o.Key
			k.Name += "-anew"
			after, _ := projections.Apply(s, events.Envelope{Seq: s.Seq + 1, Time: s.Time, Version: 1, Epoch: s.Epoch, Subject: events.SpecSubject(k),
				Type: events.TypeOf(k.Resource, events.VerbCreated), Body: events.MustBody(events.Created{UID: "anew", Object: o.Raw})})
			kept, anew := used(after, o.Key.Name), used(after, k.Name)
			if !maps.Equal(kept, anew) {
				t.Fatalf("%s: kept %v, counted anew %v", o.Raw, kept, anew)
			}
			if !slices.ContainsFunc(after.Quotas("default"), func(q ration.Quota) bool { return q.Name == k.Name }) {
				t.Fatalf("%s is not among the quotas", k)
			}
		}
	})
}
