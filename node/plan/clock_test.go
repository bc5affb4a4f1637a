package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// asked is a row that asks to stop, by a log whose clock is ahead of the node's.
func asked(row *projections.DesiredPod, grace, ahead time.Duration) *projections.DesiredPod {
	n, s := stopping(row, ahead+grace), int64(grace/time.Second)
	n.Grace = &s
	return n
}

// What a pod is given to end in counts by the node's clock from when the node learns of it, wherever the log's clock is.
func TestGraceIsTheNodes(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	o := told(withTold(ready("a").Put(running("a", 1))))
	after := func(row *projections.DesiredPod, o Observed, d time.Duration) string {
		return Decide(row, o, Node{}, t0.Add(d)).String()
	}
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		row := asked(row, 30*time.Second, ahead)
		heard := o.Hear(row, t0)
		for _, c := range []struct {
			at   time.Duration
			want string
		}{{0, "stop a run 1 within 30s\n"}, {12 * time.Second, "stop a run 1 within 18s\n"}, {time.Minute, "stop a run 1 within 0s\n"}, {-time.Hour, "stop a run 1 within 30s\n"}} {
			if got := after(row, heard.Hear(row, t0.Add(c.at)), c.at); got != c.want { // told once more, after a restart
				t.Errorf("%s ahead, at %s: %s, want %s", ahead, c.at, got, c.want)
			}
		}
		short := asked(row, 5*time.Second, ahead+20*time.Second) // somebody is in a hurry after 20 s
		if got := after(short, heard.Hear(short, t0.Add(20*time.Second)), 21*time.Second); got != "stop a run 1 within 4s\n" {
			t.Errorf("%s ahead, in a hurry: %s", ahead, got)
		}
	}
}

// A clock that is set back by an hour keeps nobody waiting for an hour.
func TestWaitsOfAClockThatWasAhead(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	crashed := exited("a", 1, 1, time.Second)
	crashed.Crashes = 4
	for name, o := range map[string]Observed{
		"crash loop": ready("a").Put(crashed),
		"pull": ready("a").Remember("a", func(k *Known) {
			k.Image, k.Ref, k.Retry = 0, "nginx:1.14", Retry{}.Failed(t0, ErrImagePull, "no such host")
		}),
		"sandbox": {Remains: true, Setup: Retry{}.Failed(t0, ContainerCreating, "no room")},
	} {
		if d := Decide(row, o, Node{}, t0.Add(time.Second)); d.WakeAt.IsZero() {
			t.Errorf("%s: it does not wait: %s", name, d)
		}
		d := Decide(row, o, Node{}, t0.Add(-time.Hour))
		if len(d.Ops) == 0 || !d.WakeAt.IsZero() {
			t.Errorf("%s: it waits until %s: %s", name, d.WakeAt, d)
		}
		if _, ok := d.Ops[len(d.Ops)-1].(Report); ok {
			t.Errorf("%s: all that it does is to tell: %s", name, d)
		}
	}
	c := row.Pod.Spec.Containers[0]
	c.ReadinessProbe = &corev1.Probe{InitialDelaySeconds: 5, PeriodSeconds: 10}
	if got := NewTrack(&c, Readiness, t0, false, t0.Add(-time.Hour)); got.Due.After(t0.Add(-time.Hour + 5*time.Second)) {
		t.Errorf("a probe is due %s after an agent's start", got.Due.Sub(t0.Add(-time.Hour)))
	}
}
