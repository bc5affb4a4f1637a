package kube_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// waiting is a pod of a scheduler that is not there, so that nobody touches it.
func waiting(name string) *corev1.Pod {
	no := false
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "bench", "tier": "front"}},
		Spec: corev1.PodSpec{SchedulerName: "nobody", AutomountServiceAccountToken: &no, Containers: []corev1.Container{{Name: "app", Image: "registry.example/app:1.2.3",
			Ports: []corev1.ContainerPort{{ContainerPort: 8080}}, Env: []corev1.EnvVar{{Name: "MODE", Value: "production"}}}}}}
}

// TestManagersAreEachObjectsOwn: managers that are alike are read once, and what becomes of one object's is not seen in another's.
func TestManagersAreEachObjectsOwn(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().ConfigMaps("default")
	for i := range 20 { // within a second or two: most have the same managers
		if _, err := c.Create(t.Context(), configMap(fmt.Sprint("c", i), map[string]string{"a": "1"}), metav1.CreateOptions{FieldManager: "first"}); err != nil {
			t.Fatal(err)
		}
	}
	managers := func() map[string]string {
		list, err := c.List(t.Context(), metav1.ListOptions{FieldSelector: "metadata.name!=kube-root-ca.crt"})
		if err != nil || len(list.Items) != 20 {
			t.Fatalf("%d listed, %v", len(list.Items), err)
		}
		out := map[string]string{}
		for _, m := range list.Items {
			for _, e := range m.ManagedFields {
				out[m.Name] += e.Manager + string(e.FieldsV1.Raw)
			}
		}
		return out
	}
	before := managers()
	if _, err := c.Patch(t.Context(), "c7", types.MergePatchType, []byte(`{"data":{"b":"2"}}`), metav1.PatchOptions{FieldManager: "second"}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Get(t.Context(), "c7", metav1.GetOptions{})
	if err != nil || len(got.ManagedFields) != 2 {
		t.Fatalf("%+v, %v", got.ManagedFields, err)
	}
	after := managers()
	for name, was := range before {
		if now := after[name]; (now != was) != (name == "c7") || !strings.HasPrefix(was, "first") {
			t.Errorf("%s: %s, then %s", name, was, now)
		}
	}
}

// BenchmarkLists lists 5,000 pods, whole and in kubectl's pages.
func BenchmarkLists(b *testing.B) {
	h := open(b)
	c := h.client()
	for i := range 5000 {
		if _, err := c.CoreV1().Pods("default").Create(b.Context(), waiting(fmt.Sprintf("pod-%04d", i)), metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	for _, form := range []string{runtime.ContentTypeJSON, runtime.ContentTypeProtobuf} {
		config := rest.CopyConfig(h.config)
		config.AcceptContentTypes = form
		c := kubernetes.NewForConfigOrDie(config)
		b.Run(form[len("application/"):], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				body, err := c.CoreV1().RESTClient().Get().Namespace("default").Resource("pods").Stream(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, body); err != nil {
					b.Fatal(err)
				}
				_ = body.Close() // it was read to its end
			}
		})
	}
	b.Run("pages", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for next := "start"; next != ""; {
				page, err := c.CoreV1().Pods("default").List(b.Context(), metav1.ListOptions{Limit: 500, Continue: map[bool]string{false: next}[next == "start"]})
				if err != nil {
					b.Fatal(err)
				}
				next = page.Continue
			}
		}
	})
}
