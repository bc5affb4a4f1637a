package kube_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PodTemplates are kept for whoever reads them: they are made whole, checked, patched and collected, and nothing runs.
func TestPodTemplates(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().PodTemplates("default")
	of := func(name, image string) *corev1.PodTemplate {
		return &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"set": "a"}}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: image}}}}}
	}
	made, err := c.Create(t.Context(), of("one", "nginx"), metav1.CreateOptions{})
	if err != nil || made.Template.Spec.RestartPolicy != corev1.RestartPolicyAlways || made.Template.Spec.Containers[0].ImagePullPolicy != corev1.PullAlways {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := c.Create(t.Context(), of("two", ""), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("without an image: %v", err)
	}
	patched, err := c.Patch(t.Context(), "one", types.StrategicMergePatchType, []byte(`{"template":{"spec":{"containers":[{"name":"c","image":"nginx:2"}]}}}`), metav1.PatchOptions{})
	if err != nil || patched.Template.Spec.Containers[0].Image != "nginx:2" || patched.Template.Labels["app"] != "one" {
		t.Errorf("%+v, %v", patched, err)
	}
	if err := c.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "set=a"}); err != nil {
		t.Fatal(err)
	}
	if l, err := h.client().CoreV1().PodTemplates("").List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 0 {
		t.Errorf("left: %+v, %v", l, err)
	}
	if pods, err := h.client().CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{}); err != nil || len(pods.Items) != 0 {
		t.Errorf("runs: %+v, %v", pods, err)
	}
}
