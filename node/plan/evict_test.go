package plan

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

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
