package kube_test

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func looking(name string) corev1.EphemeralContainer {
	return corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: name, Image: "busybox:1", Stdin: true, TTY: true}, TargetContainerName: "c"}
}

// Ephemeral containers come to a pod by their subresource alone, one after the other, and stay as they are.
// Who copies the mounts of a pod's containers, as they are shown, has the pod's token too.
func TestEphemeralContainersMountTheToken(t *testing.T) {
	h := open(t)
	root := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kube-root-ca.crt", Namespace: "kube-system"}, Data: map[string]string{"ca.crt": "x"}}
	if _, err := h.client().CoreV1().ConfigMaps("kube-system").Create(t.Context(), root, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	h.podOn("p")
	c := h.client().CoreV1().Pods("default")
	pod, err := c.Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil || len(pod.Spec.Containers[0].VolumeMounts) != 1 {
		t.Fatalf("%+v, %v", pod.Spec, err)
	}
	e := looking("one")
	e.VolumeMounts = pod.Spec.Containers[0].VolumeMounts
	pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, e)
	got, err := c.UpdateEphemeralContainers(t.Context(), "p", pod, metav1.UpdateOptions{})
	if err != nil || len(got.Spec.Volumes) != 1 || len(got.Spec.EphemeralContainers[0].VolumeMounts) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	got.Labels = map[string]string{"a": "b"}
	if got, err = c.Update(t.Context(), got, metav1.UpdateOptions{}); err != nil || got.Labels["a"] != "b" {
		t.Errorf("another change of it: %v", err)
	}
	e = looking("two")
	e.VolumeMounts = []corev1.VolumeMount{{Name: "none", MountPath: "/x"}}
	got.Spec.EphemeralContainers = append(got.Spec.EphemeralContainers, e)
	if _, err := c.UpdateEphemeralContainers(t.Context(), "p", got, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("of a volume that is none: %v", err)
	}
}

func TestEphemeralContainers(t *testing.T) {
	h := open(t)
	h.podOn("p")
	c := h.client().CoreV1().Pods("default")
	pod, err := c.Get(t.Context(), "p", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	was := pod.Generation
	pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, looking("one"))
	pod.Spec.Containers[0].Image, pod.Labels = "other", map[string]string{"not": "here"}
	got, err := c.UpdateEphemeralContainers(t.Context(), "p", pod, metav1.UpdateOptions{})
	if err != nil || got.Generation != was+1 || got.Spec.Containers[0].Image != "i" || got.Labels["not"] != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if e := got.Spec.EphemeralContainers; len(e) != 1 || e[0].TerminationMessagePath != "/dev/termination-log" || e[0].ImagePullPolicy != corev1.PullIfNotPresent || e[0].TargetContainerName != "c" {
		t.Errorf("defaults: %+v", e)
	}
	if st := got.Status.EphemeralContainerStatuses; len(st) != 1 || st[0].Name != "one" || st[0].State.Waiting == nil {
		t.Errorf("status %+v", st)
	}
	// As kubectl debug does.
	patch, _ := json.Marshal(map[string]any{"spec": map[string]any{"ephemeralContainers": []corev1.EphemeralContainer{looking("two")}}})
	if got, err = c.Patch(t.Context(), "p", types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "ephemeralcontainers"); err != nil || len(got.Spec.EphemeralContainers) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	var managers []string
	for _, m := range got.ManagedFields {
		managers = append(managers, m.Subresource+" "+string(m.FieldsV1.Raw))
	}
	if all := strings.Join(managers, "\n"); !strings.Contains(all, `ephemeralcontainers {"f:spec":{"f:ephemeralContainers"`) {
		t.Errorf("managers:\n%s", all)
	}

	for _, x := range []struct {
		name string
		edit func(*corev1.PodSpec)
		says string
	}{
		{"removed", func(s *corev1.PodSpec) { s.EphemeralContainers = s.EphemeralContainers[:1] }, "may not be removed"},
		{"changed", func(s *corev1.PodSpec) { s.EphemeralContainers[0].Image = "x" }, "may not be changed"},
		{"a name twice", func(s *corev1.PodSpec) { s.EphemeralContainers = append(s.EphemeralContainers, looking("c")) }, "spec.ephemeralContainers[2].name: Duplicate"},
		{"a port", func(s *corev1.PodSpec) {
			e := looking("x")
			e.Ports = []corev1.ContainerPort{{ContainerPort: 1}}
			s.EphemeralContainers = append(s.EphemeralContainers, e)
		}, "spec.ephemeralContainers[2].ports: Forbidden: cannot be set for an Ephemeral Container"},
		{"of nobody", func(s *corev1.PodSpec) {
			e := looking("x")
			e.TargetContainerName = "nobody"
			s.EphemeralContainers = append(s.EphemeralContainers, e)
		}, "spec.ephemeralContainers[2].targetContainerName: Not found"},
	} {
		next := got.DeepCopy()
		x.edit(&next.Spec)
		if _, err := c.UpdateEphemeralContainers(t.Context(), "p", next, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	got.Spec.EphemeralContainers = append(got.Spec.EphemeralContainers, looking("three"))
	if _, err := c.Update(t.Context(), got, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("written with the pod: %v", err)
	}
	if _, err := c.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "q"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}},
		EphemeralContainers: []corev1.EphemeralContainer{looking("x")}}}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "cannot be set on create") {
		t.Errorf("made with the pod: %v", err)
	}
}
