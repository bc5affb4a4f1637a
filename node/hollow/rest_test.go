package hollow

import (
	"reflect"
	"testing"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
)

// What a machine observed of a pod is the same after a rest, whichever part of it is set, and the pod after it can be told of
// anything without another one hearing of it.
func TestAPodAtRestForgetsNothing(t *testing.T) {
	full := func(uid string) *plan.Observed {
		return &plan.Observed{Sandbox: true, Remains: true, IP: "10.1.0." + uid, Volumes: "print", TokensDue: began.Add(time.Hour),
			Containers: []plan.Container{{Name: "c", Run: 2, ID: "hollow-" + uid + "-c-2", Image: "i", Phase: plan.Running, StartedAt: began, Health: plan.Health{Up: true}},
				{Name: "d", Run: 1, ID: "of another form", Phase: plan.Exited, StartedAt: began.Add(time.Second), Exit: plan.Exit{Code: 3, At: began}}},
			Known: map[string]plan.Known{"c": {Run: 2, Ready: true}, "d": {Run: 1, Ended: true}},
			Setup: plan.Retry{Failures: 1}, Told: plan.Told{Generation: 2, Since: began}, Outgrown: "much"}
	}
	m := newBench(t, Model{}).machine
	for i, change := range []func(*plan.Observed){
		func(*plan.Observed) {}, func(*plan.Observed) {}, func(o *plan.Observed) { o.Told.Since = began.Add(time.Minute) },
		func(o *plan.Observed) { o.Containers[0].StartedAt = began.Add(time.Minute) }, func(o *plan.Observed) { *o = plan.Observed{} },
		func(o *plan.Observed) { o.Containers[1].Exit.Code = 4 },
	} {
		uid := string(rune('1' + i))
		want, p := full(uid), &pod{uid: events.UID(uid), obs: full(uid)}
		change(want)
		change(p.obs)
		m.settles(p)
		if p.obs != nil {
			t.Fatal("a pod at rest keeps all of its observations")
		}
		p.wakes()
		if !reflect.DeepEqual(p.obs, want) {
			t.Errorf("have %+v\nwant %+v", p.obs, want)
		}
		m.settles(p)
		p.wakes()
		*p.obs = p.obs.Put(plan.Container{Name: "c", Run: 2, Phase: plan.Exited}).Remember("c", func(k *plan.Known) { k.Run = 9 })
		p.obs.Containers[0].Image = "other"
	}
	again := &pod{uid: "1", obs: full("1")}
	m.settles(again)
	if n := len(m.rests); n != 3 {
		t.Errorf("%d kinds of observations are kept: want what differs in times and addresses alone, none, and another code", n)
	}
	if again.wakes(); !reflect.DeepEqual(again.obs, full("1")) {
		t.Errorf("what another pod was told is known of this one: %+v", again.obs)
	}
}
