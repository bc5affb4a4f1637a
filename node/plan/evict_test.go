package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// A pod that has outgrown its bounds is told to have failed, once, then ended and cleaned, and never begun again.
func TestEviction(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	o := told(ready("a").Put(running("a", 1)))
	o.Outgrown = Outgrown("v", resource.MustParse("1Mi"))
	d := Decide(row, o, Node{}, t0)
	if got := d.String(); got != "report failed (Evicted)\nstop a run 1 within 1s\n" {
		t.Fatalf("first: %s", got)
	}
	if f := d.Ops[0].(Report).Facts[0]; f.Message != `Usage of EmptyDir volume "v" exceeds the limit "1Mi".` {
		t.Errorf("said %q", f.Message)
	}
	o = o.Tell(d.Ops[0].(Report).Facts)
	if got := Decide(row, o, Node{}, t0).String(); got != "stop a run 1 within 1s\n" {
		t.Fatalf("told: %s", got)
	}
	o.Outgrown = "" // by another agent after this one
	o = o.Put(exited("a", 1, 137, 0))
	d = Decide(row, o, Node{}, t0)
	o = o.Tell(d.Ops[0].(Report).Facts)
	if got := Decide(row, o, Node{}, t0).String(); got != "remove sandbox, containers and volumes\n" {
		t.Fatalf("ended: %s", got)
	}
	o = o.Cleaned()
	if got := Decide(row, o, Node{}, t0).String(); got != "" {
		t.Errorf("begun again: %s", got)
	}
	if got := Decide(stopping(row, 0), o, Node{}, t0).String(); got != "report stopping\nreport stopped\n" {
		t.Errorf("deleted: %s", got)
	}
}

// A pod that may run for some time only is failed then, with the grace that it asked for; one that is over by then has done its work.
func TestActiveDeadline(t *testing.T) {
	row, seconds := rowOf(corev1.RestartPolicyNever, "a"), int64(60)
	row.Pod.Spec.ActiveDeadlineSeconds = &seconds
	o := ready("a").Tell([]events.Fact{{Kind: events.FactSandbox, At: t0}}).Tell([]events.Fact{{Kind: events.FactSandbox, At: t0.Add(time.Hour)}})
	o = told(o.Put(running("a", 1)))
	if d := Decide(row, o, Node{}, t0.Add(59*time.Second)); len(d.Ops) != 0 || !d.WakeAt.Equal(t0.Add(time.Minute)) {
		t.Fatalf("in its time: %s, wakes at %s", d, d.WakeAt)
	}
	end := t0.Add(time.Minute)
	d := Decide(row, o, Node{}, end)
	if got := d.String(); got != "report failed (DeadlineExceeded)\nstop a run 1 within 30s\n" {
		t.Fatalf("at its end: %s", got)
	}
	o = o.Tell(d.Ops[0].(Report).Facts)
	if got := Decide(row, o, Node{}, end.Add(time.Second)).String(); got != "stop a run 1 within 30s\n" {
		t.Errorf("told: %s", got)
	}
	o = o.Put(exited("a", 1, 143, 0))
	o = o.Tell(Decide(row, o, Node{}, end).Ops[0].(Report).Facts)
	if got := Decide(row, o, Node{}, end).String(); got != "remove sandbox, containers and volumes\n" {
		t.Errorf("ended: %s", got)
	}
	done := told(ready("a").Tell([]events.Fact{{Kind: events.FactSandbox, At: t0}}).Put(running("a", 1))).Put(exited("a", 1, 0, 0))
	done = done.Tell(Decide(row, done, Node{}, t0).Ops[0].(Report).Facts)
	if got := Decide(row, done, Node{}, end).String(); strings.Contains(got, "failed") {
		t.Errorf("one that was over: %s", got)
	}
}

func TestOverstored(t *testing.T) {
	limited := func(name, limit string, stays bool) corev1.Container {
		c := corev1.Container{Name: name}
		if limit != "" {
			c.Resources.Limits = corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse(limit)}
		}
		if always := corev1.ContainerRestartPolicyAlways; stays {
			c.RestartPolicy = &always
		}
		return c
	}
	const all, one = "Pod ephemeral local storage usage exceeds the total limit of containers %s.", "Container a exceeded its local ephemeral storage limit \"1k\"."
	for _, c := range []struct {
		init, containers []corev1.Container
		volumes, a, b    int64
		want             string
	}{
		{nil, []corev1.Container{limited("a", "", false)}, 1 << 40, 1 << 40, 0, ""},
		{nil, []corev1.Container{limited("a", "1k", false)}, 0, 1000, 0, ""},
		{nil, []corev1.Container{limited("a", "1k", false)}, 1, 1000, 0, fmt.Sprintf(all, "1k")},
		{nil, []corev1.Container{limited("a", "1k", false), limited("b", "1k", false)}, 0, 1001, 0, one},
		{nil, []corev1.Container{limited("a", "1k", false), limited("b", "1k", false)}, 0, 1000, 1001, fmt.Sprintf(all, "2k")},
		{nil, []corev1.Container{limited("a", "1k", false), limited("b", "", false)}, 0, 0, 1001, fmt.Sprintf(all, "1k")},
		{[]corev1.Container{limited("i", "5k", false)}, []corev1.Container{limited("a", "", false)}, 5000, 0, 0, ""},
		{[]corev1.Container{limited("i", "5k", false)}, []corev1.Container{limited("a", "1k", false)}, 5001, 0, 0, fmt.Sprintf(all, "5k")},
		{[]corev1.Container{limited("s", "3k", true), limited("i", "5k", false)}, []corev1.Container{limited("a", "1k", false)}, 8001, 0, 0, fmt.Sprintf(all, "8k")},
		{[]corev1.Container{limited("s", "3k", true)}, []corev1.Container{limited("a", "1k", false)}, 4001, 0, 0, fmt.Sprintf(all, "4k")},
	} {
		spec := corev1.PodSpec{InitContainers: c.init, Containers: c.containers}
		if got := Overstored(&spec, Usage{Volumes: c.volumes, Containers: map[string]int64{"a": c.a, "b": c.b}}); got != c.want {
			t.Errorf("%+v: %q, want %q", c, got, c.want)
		}
		if bound := slices.ContainsFunc(allContainers(&spec), func(c corev1.Container) bool { return c.Resources.Limits != nil }); LimitsStorage(&spec) != bound {
			t.Errorf("%+v: LimitsStorage is %t", c, !bound)
		}
	}
}

func TestDiskLimit(t *testing.T) {
	some, none := resource.MustParse("1Mi"), resource.MustParse("0")
	for _, c := range []struct {
		v    corev1.EmptyDirVolumeSource
		want bool
	}{{corev1.EmptyDirVolumeSource{SizeLimit: &some}, true}, {corev1.EmptyDirVolumeSource{SizeLimit: &none}, false}, {corev1.EmptyDirVolumeSource{}, false},
		{corev1.EmptyDirVolumeSource{SizeLimit: &some, Medium: corev1.StorageMediumMemory}, false}} {
		if _, ok := DiskLimit(corev1.Volume{VolumeSource: corev1.VolumeSource{EmptyDir: &c.v}}); ok != c.want {
			t.Errorf("%+v: %v", c.v, ok)
		}
	}
}

// Only pods for Linux run here.
func TestOtherSystemsAreRejected(t *testing.T) {
	for name, want := range map[corev1.OSName]string{corev1.Windows: "report failed (PodOSNotSupported)\n", corev1.Linux: Decide(rowOf(corev1.RestartPolicyAlways, "a"), Observed{}, Node{}, t0).String()} {
		row := rowOf(corev1.RestartPolicyAlways, "a")
		row.Pod.Spec.OS = &corev1.PodOS{Name: name}
		if got := Decide(row, Observed{}, Node{}, t0).String(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// A pod that names a node which it does not want is told to have failed, and nothing is made for it. One that is there
// already stays, whatever becomes of the node's labels.
func TestMisfitIsRejected(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Misfit = true
	d := Decide(row, Observed{}, Node{}, t0)
	if got := d.String(); got != "report failed (NodeAffinity)\n" {
		t.Fatalf("first: %s", got)
	}
	if f := d.Ops[0].(Report).Facts[0]; f.Message != "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector" {
		t.Errorf("said %q", f.Message)
	}
	o := Observed{}.Tell(d.Ops[0].(Report).Facts)
	for _, now := range []*projections.DesiredPod{row, rowOf(corev1.RestartPolicyAlways, "a")} { // the label came after all
		if got := Decide(now, o, Node{}, t0).String(); got != "" {
			t.Errorf("told, then: %s", got)
		}
	}
	if got := Decide(stopping(row, 0), o, Node{}, t0).String(); got != "report stopping\nreport stopped\n" {
		t.Errorf("deleted: %s", got)
	}
	if got := Decide(row, told(ready("a").Put(running("a", 1))), Node{}, t0).String(); got != "" {
		t.Errorf("one that runs: %s", got)
	}
	row.Runs = map[string]int{"a": 1} // it ran, and the node lost its disk
	if got := Decide(row, Observed{}, Node{}, t0).String(); strings.Contains(got, "failed") {
		t.Errorf("one that ran: %s", got)
	}
}

// A pod for which the node that it names has no room is told to have failed for that, and nothing is made for it.
func TestRejectedForWantOfRoom(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Rejected = &projections.Rejection{Reason: "OutOfcpu", Message: "Pod was rejected: so"}
	d := Decide(row, Observed{}, Node{}, t0)
	if got := d.String(); got != "report failed (OutOfcpu)\n" || d.Ops[0].(Report).Facts[0].Message != "Pod was rejected: so" {
		t.Fatalf("first: %s%+v", got, d.Ops)
	}
	if got := Decide(row, Observed{}.Tell(d.Ops[0].(Report).Facts), Node{}, t0).String(); got != "" {
		t.Errorf("told, then: %s", got)
	}
	if got := Decide(row, told(ready("a").Put(running("a", 1))), Node{}, t0).String(); got != "" {
		t.Errorf("one that runs: %s", got)
	}
}
