package plan

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/projections"
)

// mounts gives the first container images as volumes: the one of a volume is its name's second version.
func mounts(row *projections.DesiredPod, names ...string) {
	s := &row.Pod.Spec
	for _, n := range names {
		src := corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: n + ":2", PullPolicy: corev1.PullIfNotPresent}}
		s.Volumes = append(s.Volumes, corev1.Volume{Name: n, VolumeSource: src})
		s.Containers[0].VolumeMounts = append(s.Containers[0].VolumeMounts, corev1.VolumeMount{Name: n, MountPath: "/" + n})
	}
}

// TestImageVolumes: a container waits for the images that it mounts and for no others; they are brought one after the other,
// once for all that mount them.
func TestImageVolumes(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a", "b")
	mounts(row, "docs", "data")
	row.Pod.Spec.Containers[1].VolumeMounts = row.Pod.Spec.Containers[0].VolumeMounts[:1]
	unused := corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "nobody:1"}}
	row.Pod.Spec.Volumes = append(row.Pod.Spec.Volumes, corev1.Volume{Name: "unused", VolumeSource: unused})
	pull := func(volume string) Pull {
		return Pull{Container: "a", Run: 1, Image: volume + ":2", Policy: "IfNotPresent", Volume: volume}
	}
	says := func(o Observed, want string) {
		t.Helper()
		if got := Decide(row, o, Node{}, t0).String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
	o := ready("a", "b")
	says(o, "ensure image docs:2 (IfNotPresent) of volume docs for a run 1\nensure image docs:2 (IfNotPresent) of volume docs for b run 1\n")
	docs := o.Brought(pull("docs"))
	says(docs, "ensure image data:2 (IfNotPresent) of volume data for a run 1\nstart b run 1\n")
	says(docs.Brought(pull("data")), "start a run 1\nstart b run 1\n")
	failed := docs.NotBrought(pull("data"), t0, ImagePullBackOff, "no such image")
	says(failed, "report a backoff run 1 (ImagePullBackOff)\nstart b run 1\nwake at 2026-03-01T12:00:10Z\n")
	if again := failed.NotBrought(pull("data"), t0, ImagePullBackOff, "no"); again.Images["data"].Retry.Until != t0.Add(20*time.Second) {
		t.Errorf("the wait does not grow: %+v", again.Images)
	}
	if docs.Images["data"].Retry.Failures != 0 {
		t.Error("a failure was written into what was observed before it")
	}
	// Another run mounts what is mounted; what was mounted in a room that is gone is asked for anew.
	both := toldOf(row, docs.Brought(pull("data")).Put(running("a", 1)).Put(running("b", 1)))
	says(toldOf(row, both.Put(exited("b", 1, 0, 0))), "ensure image nginx:1.14 (IfNotPresent) for b run 2\n")
	if got := Decide(row, both.Drop("a", 1).Drop("b", 1).Afresh(), Node{}, t0).String(); strings.Contains(got, "start") {
		t.Errorf("in a new room: %s", got)
	}
	// One that was made by an agent that did not live to start it waits all the same.
	says(o.Put(Container{Name: "a", Run: 1, ID: "c", Phase: Created}).Brought(pull("docs")),
		"ensure image data:2 (IfNotPresent) of volume data for a run 1\nstart b run 1\n")
}
