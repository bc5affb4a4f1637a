package projections_test

import (
	"encoding/json"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

func TestDifference(t *testing.T) {
	for _, c := range []struct{ name, derived, written, over, under string }{
		{"nothing", `{"a":1}`, `{"a":1}`, ``, ``},
		{"a field", `{"a":1,"b":"x"}`, `{"a":2,"b":"x"}`, `{"a":2}`, `{"a":1}`},
		{"a new one", `{"a":1}`, `{"a":1,"c":[1]}`, `{"c":[1]}`, `{}`},
		{"a zero that Go leaves out", `{"a":1,"b":"x"}`, `{"b":"x"}`, `{"a":null}`, `{"a":1}`},
		{"words and lists that are left out come back", `{"b":"x","l":[1]}`, `{"c":1}`, `{"c":1}`, `{}`},
		{"nothing at all says nothing", `{"a":1}`, `{}`, ``, ``},
		{"below a field", `{"m":{"a":1,"b":2}}`, `{"m":{"a":1,"b":3}}`, `{"m":{"b":3}}`, `{"m":{"b":2}}`},
		{"a condition", `{"conditions":[{"type":"x","status":"True"},{"type":"y","status":"True"}]}`, `{"conditions":[{"type":"y","status":"False"},{"type":"z","status":"True"}]}`,
			`{"conditions":[{"status":"False","type":"y"},{"status":"True","type":"z"}]}`, `{"conditions":[{"status":"True","type":"y"}]}`},
		{"the first conditions", `{}`, `{"conditions":[{"type":"z"}]}`, `{"conditions":[{"type":"z"}]}`, `{}`},
		{"no object", `{"a":1}`, `7`, ``, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			over, under := projections.Difference(json.RawMessage(c.derived), json.RawMessage(c.written))
			if string(over) != c.over || string(under) != c.under {
				t.Errorf("over %s, under %s", over, under)
			}
		})
	}
}

// written folds what a client wrote of a status.
func written(l *foldtest.Log, k events.Key, status string) {
	o, _ := l.State.Get(k)
	b := events.StatusWritten{UID: o.UID}
	b.Status, b.Over = projections.Difference(l.State.DerivedStatus(o, l.State.Time), json.RawMessage(status))
	l.Add(events.Envelope{Subject: events.StatusSubject(k), Type: events.TypeOf(k.Resource, events.VerbStatusWritten), Body: events.MustBody(b)})
}

// A number that a client sets to zero is zero, until what is derived changes.
func TestAnOverlayCanBeZero(t *testing.T) {
	l := foldtest.Nginx(2)
	ready := func() int32 {
		o, _ := l.State.Object(foldtest.ReplicaSet, l.Now)
		return o.(*appsv1.ReplicaSet).Status.ReadyReplicas
	}
	if ready() != 2 {
		t.Fatalf("%d ready", ready())
	}
	written(l, foldtest.ReplicaSet, `{"replicas":2}`)
	if ready() != 0 {
		t.Errorf("%d ready, and somebody said that none is", ready())
	}
	l.Delete(foldtest.Pod(1), foldtest.Person, 30)
	if ready() != 1 {
		t.Errorf("%d ready, when one was left", ready())
	}
}

// An object with nothing in it says that it is there.
func TestAnOverlayCanBeThere(t *testing.T) {
	l := foldtest.Nginx(1)
	k := foldtest.Key(events.DeviceClaims, "gpu")
	l.Create(k, `{"spec":{"devices":{}}}`)
	given := func() bool {
		o, _ := l.State.Object(k, l.Now)
		return o.(*resourcev1.ResourceClaim).Status.Allocation != nil
	}
	if written(l, k, `{"allocation":{"devices":{}}}`); !given() {
		t.Error("an allocation of nothing is none")
	}
	if written(l, k, `{}`); given() {
		t.Error("it is there when nobody says so")
	}
}

func TestAnOverlayLapses(t *testing.T) {
	l := foldtest.Nginx(1)
	k := foldtest.Pod(0)
	was := pod(t, l, k)
	written(l, k, `{"message":"mine","conditions":[{"type":"Ready","status":"False","reason":"Mine"},{"type":"example.com/gate","status":"True"}]}`)
	find := func(kind corev1.PodConditionType) corev1.PodCondition {
		for _, c := range pod(t, l, k).Status.Conditions {
			if c.Type == kind {
				return c
			}
		}
		return corev1.PodCondition{}
	}
	if p := pod(t, l, k); p.Status.Message != "mine" || find("Ready").Reason != "Mine" || find("example.com/gate").Status != corev1.ConditionTrue || p.Status.PodIP != was.Status.PodIP {
		t.Fatalf("%+v", p.Status)
	}
	if o, _ := l.State.Get(k); o.Generation != was.Generation {
		t.Errorf("generation %d", o.Generation)
	}
	l.Heard("n1", false) // not ready by now, and then ready again
	l.Pass(time.Minute)
	l.Heard("n1", true)
	if c := find("Ready"); c.Reason == "Mine" || c.Status != corev1.ConditionTrue {
		t.Errorf("what lapsed came back: %+v", c)
	}
	if p := pod(t, l, k); p.Status.Message != "mine" || find("example.com/gate").Status != corev1.ConditionTrue {
		t.Errorf("what nothing derives is gone: %+v", p.Status)
	}
	written(l, k, `{}`)
	if p := pod(t, l, k); p.Status.Message != "" || find("example.com/gate").Type != "" || p.Status.Phase != corev1.PodRunning {
		t.Errorf("it was taken back: %+v", p.Status)
	}
}

// Whatever somebody writes over whatever is derived: it shows what was written,
// and of another derived status what was written and not derived anew.
func TestOverlaysShowWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := foldtest.Nginx(1)
		k := foldtest.Pod(0)
		draw := func(what string) string {
			return rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, what)
		}
		want := corev1.PodStatus{Reason: draw("reason"), Message: draw("message"), NominatedNodeName: draw("nominated")}
		for _, kind := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"Ready", "mine", "other"}), rapid.ID[string]).Draw(t, "conditions") {
			want.Conditions = append(want.Conditions, corev1.PodCondition{Type: corev1.PodConditionType(kind), Status: corev1.ConditionFalse, Reason: draw(kind)})
		}
		written(l, k, string(events.MustBody(want)))
		v, _ := l.State.Object(k, l.State.Time)
		got := v.(*corev1.Pod).Status
		if got.Reason != want.Reason || got.Message != want.Message || got.NominatedNodeName != want.NominatedNodeName || got.Phase != corev1.PodRunning {
			t.Fatalf("%+v", got)
		}
		for _, c := range want.Conditions {
			found := false
			for _, x := range got.Conditions {
				found = found || x.Type == c.Type && x.Status == c.Status && x.Reason == c.Reason
			}
			if !found {
				t.Fatalf("%s is not among %+v", c.Type, got.Conditions)
			}
		}
	})
}
