package replicaset

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/stage"
)

// What bars a set's pods is said once, until they may be made.
func TestGuard(t *testing.T) {
	w := stage.New()
	k := stage.In(events.ReplicaSets, "web")
	w.Apply(k, `{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},
		"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	said := "no"
	r := Reconciler{Guards: func(reconcilers.View, events.Resource) birth.Guard {
		return birth.Guard{Bars: func(o events.Object) string {
			pod := o.(*corev1.Pod)
			if pod.Labels["app"] != "web" || pod.Spec.RestartPolicy != corev1.RestartPolicyAlways || pod.OwnerReferences[0].Name != "web" || pod.GenerateName != "web-" {
				t.Errorf("asked about %+v", pod)
			}
			return said
		}}
	}}
	decide := func() reconcilers.Decision {
		d := r.Decide(w.State, k, w.Now)
		w.Do(d.Events...)
		return d
	}
	d := decide()
	v, ok := w.State.Verdict(k)
	if !ok || v.Reasons[0].Code != events.FailedCreate || v.Reasons[0].Said != "no" || !d.WakeAt.Equal(w.Now.Add(birth.Again)) || len(made(w)) != 0 {
		t.Fatalf("%+v, wakes at %v", v, d.WakeAt)
	}
	before := w.State.Seq
	w.Now = w.Now.Add(time.Minute)
	if decide(); w.State.Seq != before {
		t.Error("it says the same again")
	}
	said = ""
	decide()
	decide()
	if v, ok = w.State.Verdict(k); ok && len(v.Reasons) > 0 || len(made(w)) != 2 {
		t.Errorf("%d pods, and %+v", len(made(w)), v)
	}
}

func made(w *stage.World) (out []events.Key) {
	for o := range w.State.List(events.Pods, "") {
		out = append(out, o.Key)
	}
	return out
}

// Of a hundred pods as many are made as a quota has room for, in one decision; more
// when there is more room, and it says so once.
func TestQuota(t *testing.T) {
	w := stage.New()
	k, q := stage.In(events.ReplicaSets, "web"), stage.In(events.Quotas, "q")
	w.Apply(q, `{"metadata":{"name":"q"},"spec":{"hard":{"pods":"7","requests.cpu":"10"}}}`)
	w.Apply(stage.In(events.LimitRanges, "l"), `{"spec":{"limits":[{"type":"Container","defaultRequest":{"cpu":"1"}}]}}`)
	w.Apply(k, `{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":100,"selector":{"matchLabels":{"app":"web"}},
		"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	run := func() int {
		if _, err := w.Run(Reconciler{}, k); err != nil {
			t.Fatal(err)
		}
		return len(made(w))
	}
	said := func() string { v, _ := w.State.Verdict(k); return v.Reasons[0].Said }
	if n := run(); n != 7 || !strings.HasSuffix(said(), "is forbidden: exceeded quota: q, requested: pods=1, used: pods=7, limited: pods=7") {
		t.Fatalf("%d pods: %s", n, said())
	}
	before := w.State.Seq
	if n := run(); n != 7 || w.State.Seq != before {
		t.Errorf("%d pods, and %d events more", n, w.State.Seq-before)
	}
	pod := w.Get(made(w)[0])
	if cpu := pod.PodSpec().Containers[0].Resources.Requests.Cpu().String(); cpu != "1" || !pod.Bare() {
		t.Errorf("cpu %s, shares its template: %v", cpu, pod.Bare())
	}
	w.Apply(q, `{"metadata":{"name":"q"},"spec":{"hard":{"pods":"70","requests.cpu":"10"}}}`)
	if n := run(); n != 10 || !strings.Contains(said(), "requested: requests.cpu=1, used: requests.cpu=10, limited: requests.cpu=10") {
		t.Errorf("%d pods: %s", n, said())
	}
	w.Apply(q, `{"metadata":{"name":"q"},"spec":{"hard":{"pods":"70","requests.cpu":"10500m"}}}`)
	if n := run(); n != 10 || !strings.HasSuffix(said(), "limited: requests.cpu=10500m") {
		t.Errorf("another limit: %d pods: %s", n, said())
	}
	w.Apply(stage.In(events.Pods, "other"), `{"metadata":{"name":"other","namespace":"default"},"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"300m"}}}]}}`)
	before = w.State.Seq
	if n := run(); n != 11 || w.State.Seq != before || !strings.Contains(said(), "used: requests.cpu=10,") {
		t.Errorf("only the numbers moved: %d pods, %d events more: %s", n, w.State.Seq-before, said())
	}
	w.Do(reconcilers.Remove(w.Get(stage.In(events.Pods, "other"))))
	full := w.Get(q)
	w.Delete(pod.Key)
	w.Stopped(pod)
	c := projections.Change{Key: q, Before: full, After: w.Get(q)}
	if (Reconciler{}).Keys(w.State, c) != nil {
		t.Error("a quota that is no emptier wakes those who wait")
	}
	w.Do(reconcilers.Remove(w.Get(pod.Key)))
	c.After = w.Get(q)
	if keys := (Reconciler{}).Keys(w.State, c); len(keys) != 1 || keys[0] != k {
		t.Errorf("an emptier quota wakes %v", keys)
	}
}
