package plan

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// First is for pods that are new here, and whose first container needs nothing but what is on the node.
func TestFirst(t *testing.T) {
	for _, c := range []struct {
		what string
		edit func(*projections.DesiredPod, *Observed)
		want string
	}{
		{"a new pod", func(*projections.DesiredPod, *Observed) {}, "a"},
		{"an init container", func(r *projections.DesiredPod, _ *Observed) {
			r.Pod.Spec.InitContainers = []corev1.Container{{Name: "i", Image: "x:1"}}
		}, "i"},
		{"an image to be fetched", func(r *projections.DesiredPod, _ *Observed) {
			r.Pod.Spec.Containers[0].ImagePullPolicy = corev1.PullAlways
		}, ""},
		{"a part of a volume", func(r *projections.DesiredPod, _ *Observed) {
			r.Pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{SubPath: "x"}}
		}, ""},
		{"an image to be mounted", func(r *projections.DesiredPod, _ *Observed) { mounts(r, "docs") }, ""},
		{"a run that the log knows", func(r *projections.DesiredPod, _ *Observed) { r.Runs = map[string]int{"a": 1} }, ""},
		{"a run that is here", func(_ *projections.DesiredPod, o *Observed) { *o = o.Put(running("a", 1)) }, ""},
		{"a pull that failed", func(_ *projections.DesiredPod, o *Observed) { *o = o.Remember("a", func(k *Known) { k.Waiting = "x" }) }, ""},
	} {
		row, o := rowOf(corev1.RestartPolicyAlways, "a"), Observed{}
		row.Pod.Spec.Containers[0].Image, row.Pod.Spec.Containers[0].ImagePullPolicy = "x:1", ""
		c.edit(row, &o)
		if got, ok := First(row, o); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: %q, %t", c.what, got, ok)
		}
	}
}

// A container that an earlier agent made ahead begins when its image was told of.
func TestMadeByAnother(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	o := Observed{Sandbox: true, Volumes: Fingerprint(row, Node{}), IP: "10.0.0.2"}.Put(Container{Name: "a", Run: 1, ID: "a-1", Phase: Created})
	d := Decide(row, o, Node{}, t0)
	if p, ok := d.Ops[0].(Pull); !ok || p.Run != 1 || len(d.Ops) != 1 {
		t.Fatalf("first: %s", d.String())
	}
	failed := o.Remember("a", func(k *Known) { k.Retry = k.Retry.Failed(t0, ErrImagePull, "no") })
	if d := Decide(row, failed, Node{}, t0); d.WakeAt.IsZero() || slices.ContainsFunc(d.Ops, func(o Op) bool { _, pulls := o.(Pull); return pulls }) {
		t.Errorf("after a pull that failed: %s", d.String())
	}
	o = o.Remember("a", func(k *Known) { k.Image = 1 })
	if got := Decide(row, o, Node{}, t0).String(); got != "start a run 1\n" {
		t.Errorf("then: %s", got)
	}
}
