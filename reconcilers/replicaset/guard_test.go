package replicaset

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// What bars a set's pods is said once, until they may be made.
func TestGuard(t *testing.T) {
	w := stage.New()
	k := stage.In(events.ReplicaSets, "web")
	w.Apply(k, `{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},
		"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	said := "no"
	r := Reconciler{Guards: func(reconcilers.View) Guard {
		return func(pod *corev1.Pod) string {
			if pod.Labels["app"] != "web" || pod.Spec.RestartPolicy != corev1.RestartPolicyAlways || pod.OwnerReferences[0].Name != "web" || pod.GenerateName != "web-" {
				t.Errorf("asked about %+v", pod)
			}
			return said
		}
	}}
	decide := func() reconcilers.Decision {
		d := r.Decide(w.State, k, w.Now)
		w.Do(d.Events...)
		return d
	}
	d := decide()
	v, ok := w.State.Verdict(k)
	if !ok || v.Reasons[0].Code != events.FailedCreate || v.Reasons[0].Said != "no" || !d.WakeAt.Equal(w.Now.Add(again)) || len(made(w)) != 0 {
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
