package node

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/imagetest"
	"github.com/stave-run/stave/projections"
)

// docs is a pod that mounts an image as /docs, and its directory etc as /etc-of-it.
func docs(name, image string, policy corev1.PullPolicy) *corev1.Pod {
	return shell(name, "until [ -e /tmp/end ]; do sleep 0.1; done", func(s *corev1.PodSpec) {
		zero := int64(0)
		s.TerminationGracePeriodSeconds = &zero
		s.Volumes = []corev1.Volume{{Name: "docs", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: image, PullPolicy: policy}}}}
		s.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "docs", MountPath: "/docs"}, {Name: "docs", MountPath: "/etc-of-it", SubPath: "etc"}}
	})
}

// TestImageVolumes tells of pods that mount images, with real containers.
func TestImageVolumes(t *testing.T) {
	c := newCluster(t)
	open, registry := containersOf(t)
	m := newMachine(t, c, open)
	m.start()
	t.Run("moves", func(t *testing.T) { m.t, c.t = t, t; imageMoves(t, m, registry) })
	t.Run("absent", func(t *testing.T) { m.t, c.t = t, t; imageAbsent(t, m, registry) })
	m.t, c.t = t, t
	for _, name := range []string{"old", "new", "none"} {
		c.delete(name, 0)
	}
	for _, name := range []string{"old", "new", "none"} {
		c.untilStopped(name)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), filepath.Dir(m.options.StateDir)+"/pods/") {
		t.Errorf("something of the pods is still mounted: %v\n%s", err, mounts)
	}
}

// imageMoves: a pod keeps what it has mounted, over its containers' ends and its agent's; the next one asks anew.
func imageMoves(t *testing.T, m *machine, registry *imagetest.Registry) {
	tag := func(image string) {
		t.Helper()
		if err := registry.Alias(image, "library/moving:1"); err != nil {
			t.Fatal(err)
		}
	}
	look := func(pod string) string {
		return m.exec(pod, "sh", "-c", "ls -d /docs/etc/nginx /etc-of-it/nginx; cat /etc-of-it/group; touch /docs/x /etc-of-it/x 2>&1 | grep -c Read-only").out
	}
	const old = "root:x:0:\nnginx:x:101:\nnogroup:x:65534:\n2\n"
	const moved = "/docs/etc/nginx\n/etc-of-it/nginx\n" + old
	tag("library/busybox:stable")
	m.c.run(docs("old", "moving:1", corev1.PullAlways))
	_, x := m.c.untilReady("old")
	if x.Image != "busybox:stable" || !strings.Contains(x.ImageID, "busybox@sha256:") {
		t.Errorf("the container is said to run %s %s", x.Image, x.ImageID)
	}
	if got := look("old"); got != old {
		t.Errorf("at first: %q", got)
	}
	tag("library/nginx:alpine")
	m.exec("old", "touch", "/tmp/end")
	m.c.until("old", "started again", func(_ *projections.Pod, x projections.Container) bool { return x.Run == 2 && x.Ready })
	if got := look("old"); got != old {
		t.Errorf("in its second run: %q", got)
	}
	m.kill()
	m.start()
	if got := look("old"); got != old {
		t.Errorf("in the next life of the agent: %q", got)
	}
	m.c.run(docs("new", "moving:1", corev1.PullAlways))
	m.c.untilReady("new")
	if got := look("new"); got != moved {
		t.Errorf("in another pod: %q", got)
	}
	if got := look("old"); got != old {
		t.Errorf("after another pod had the new one: %q", got)
	}
	gone, err := m.agent.o.Runtime.Collect(t.Context(), []string{"moving:1"})
	if err != nil || len(gone) != 0 {
		t.Errorf("collected %v, %v", gone, err)
	}
}

// imageAbsent: a container waits for the images that it mounts, in Kubernetes' words, and begins when they come.
func imageAbsent(t *testing.T, m *machine, registry *imagetest.Registry) {
	registry.Fail("library/moving", http.StatusNotFound)
	m.c.run(docs("none", "moving:2", corev1.PullIfNotPresent))
	_, x := m.c.until("none", "waits", func(_ *projections.Pod, x projections.Container) bool { return x.Reason == "ImagePullBackOff" })
	if !strings.Contains(x.Message, `back-off pulling image "moving:2": ErrImagePull: `) || x.Image != "" {
		t.Errorf("%+v", x)
	}
	failed := m.c.facts("none", events.FactPullFailed)
	if len(failed) == 0 || failed[0].Volume != "docs" || failed[0].Image != "moving:2" || failed[0].Reason != "ErrImagePull" || failed[0].Container != "main" {
		t.Errorf("%+v", failed)
	}
	registry.Heal("library/moving")
	if err := registry.Alias("library/busybox:stable", "library/moving:2"); err != nil {
		t.Fatal(err)
	}
	m.c.untilReady("none")
	if pulled := m.c.facts("none", events.FactPulled); len(pulled) != 2 || pulled[0].Volume != "docs" || pulled[1].Volume != "" {
		t.Errorf("%+v", pulled)
	}
}
