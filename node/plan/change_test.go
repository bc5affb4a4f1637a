package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// ofImage is a run of the container a with an image.
func ofImage(c Container, image string) Container {
	c.Image = image
	return c
}

// TestImageChanges: a container that gets another image is ended and begun with it at once, as by a kubelet: whatever the restart
// policy says, and without the pauses that the old image has earned.
func TestImageChanges(t *testing.T) {
	always, never := corev1.RestartPolicyAlways, corev1.RestartPolicyNever
	const was, is = "nginx:1.13", "nginx:1.14"
	crashed := exited("a", 7, 1, time.Second)
	crashed.Crashes = 6
	failing := ready("a").Remember("a", func(k *Known) { k.NotFetched(was, t0, ImagePullBackOff, "back-off") })
	ended := toldOf(rowOf(never, "a"), ready("a").Put(ofImage(running("a", 1), was)))
	ended = ended.Put(ofImage(exited("a", 1, 143, 0), was))
	inits := withInits(always)
	for _, tt := range []struct {
		name   string
		policy corev1.RestartPolicy
		o      Observed
		want   string
	}{
		{"the same image", always, toldOf(rowOf(always, "a"), ready("a").Put(ofImage(running("a", 1), is))), ""},
		{"of a run before images were noted", always, toldOf(rowOf(always, "a"), ready("a").Put(running("a", 1))), ""},
		{"it is ended", always, ready("a").Put(ofImage(running("a", 1), was)),
			"report a started run 1, a killing run 1 (ImageChanged)\nstop a run 1 within 30s\n"},
		{"and said once", always, toldOf(rowOf(always, "a"), ready("a").Put(ofImage(running("a", 1), was))), "stop a run 1 within 30s\n"},
		{"also one that is never started again", never, toldOf(rowOf(never, "a"), ready("a").Put(ofImage(running("a", 1), was))), "stop a run 1 within 30s\n"},
		{"and begins anew", never, toldOf(rowOf(never, "a"), ended), "ensure image nginx:1.14 (IfNotPresent) for a run 2\n"},
		{"one that had ended before stays so", never, toldOf(rowOf(never, "a"), ready("a").Put(ofImage(exited("a", 1, 0, 0), was))), ""},
		{"crashes of the old image are forgiven", always, toldOf(rowOf(always, "a"), ready("a").Put(ofImage(crashed, was))),
			"ensure image nginx:1.14 (IfNotPresent) for a run 8\n"},
		{"a pull that failed is of the old image", always, failing, "ensure image nginx:1.14 (IfNotPresent) for a run 1\n"},
		{"made and never begun, it is made anew", always, ready("a").Put(Container{Name: "a", Run: 1, ID: "c", Phase: Created, Image: was}), "remove a run 1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Decide(rowOf(tt.policy, "a"), tt.o, Node{}, t0).String(); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
	o := initialized(always).Put(ofImage(exited("i", 1, 0, time.Second), was)).Put(ofImage(running("s", 1), was))
	o = toldOf(inits, o.Put(running("a", 1)))
	if got := Decide(inits, o, Node{}, t0).String(); got != "stop s run 1 within 30s\n" {
		t.Errorf("a sidecar is ended, what prepared the pod is not run again: %s", got)
	}
}

// TestChangedBackTooLate: the log was told that the run is ended, so it is, though its image is wanted again.
func TestChangedBackTooLate(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	o := toldOf(row, ready("a").Put(ofImage(running("a", 1), "nginx:1.13")))
	row.Pod.Spec.Containers[0].Image = "nginx:1.13"
	if got := Decide(row, o, Node{}, t0).String(); got != "stop a run 1 within 30s\n" {
		t.Errorf("got %s", got)
	}
	if k := o.Known["a"].Killed; k == nil || k.Reason != events.ImageChanged {
		t.Errorf("killed: %+v", k)
	}
}
