package kube_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	applycore "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/stave-run/stave/events"
)

// Clients read and write Secrets as ever, and nothing that the log holds of them can
// be read.
func TestSecretsAreReadableHereAlone(t *testing.T) {
	h := open(t)
	c := h.client().CoreV1().Secrets("default")
	applied := `{"apiVersion":"v1","kind":"Secret","metadata":{"annotations":{},"name":"s","namespace":"default"},"stringData":{"k":"hunter2"}}` + "\n"
	w, err := c.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	made, err := c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: applied}},
		Data: map[string][]byte{"b": {0, 255}}, StringData: map[string]string{"k": "hunter2"}}, metav1.CreateOptions{})
	if err != nil || string(made.Data["k"]) != "hunter2" || string(made.Data["b"]) != "\x00\xff" || len(made.StringData) > 0 || made.Type != corev1.SecretTypeOpaque {
		t.Fatalf("%+v, %v", made, err)
	}
	if e := h.next(w); string(e.Object.(*corev1.Secret).Data["k"]) != "hunter2" {
		t.Errorf("watched %+v", e.Object)
	}
	if got, err := c.Get(t.Context(), "s", metav1.GetOptions{}); err != nil || string(got.Data["k"]) != "hunter2" || !strings.Contains(got.Annotations[corev1.LastAppliedConfigAnnotation], `"stringData":{"k":"hunter2"}`) {
		t.Errorf("%+v, %v", got, err)
	}
	k := events.Key{Resource: events.Secrets, Namespace: "default", Name: "s"}
	seq := h.lastEvent(k).Seq
	if _, err := c.Update(t.Context(), made, metav1.UpdateOptions{}); err != nil || h.lastEvent(k).Seq != seq {
		t.Errorf("an update that changes nothing is an event (%v)", err)
	}
	if got, err := c.Patch(t.Context(), "s", types.StrategicMergePatchType, []byte(`{"stringData":{"k":"hunter3"}}`), metav1.PatchOptions{}); err != nil || string(got.Data["k"]) != "hunter3" || len(got.Data) != 2 {
		t.Errorf("patched %+v, %v", got, err)
	}
	if got, err := c.Apply(t.Context(), applycore.Secret("s", "default").WithStringData(map[string]string{"more": "hunter4"}), metav1.ApplyOptions{FieldManager: "tests"}); err != nil || string(got.Data["more"]) != "hunter4" || len(got.Data) != 3 {
		t.Errorf("applied %+v, %v", got, err)
	}
	if list, err := c.List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) != 1 || string(list.Items[0].Data["k"]) != "hunter3" {
		t.Errorf("%+v, %v", list, err)
	}
	if got, err := c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tried"}, StringData: map[string]string{"k": "hunter5"}}, metav1.CreateOptions{DryRun: []string{"All"}}); err != nil || string(got.Data["k"]) != "hunter5" {
		t.Errorf("a dry run: %+v, %v", got, err)
	}
	if _, err := c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Type: corev1.SecretTypeDockerConfigJson, StringData: map[string]string{corev1.DockerConfigJsonKey: "hunter6"}}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) || strings.Contains(err.Error(), "hunter") {
		t.Errorf("a value that is no JSON: %v", err)
	}
	err = h.log.Read(t.Context(), 1, func(e events.Envelope) error {
		if strings.Contains(string(e.Body), "hunter") || strings.Contains(string(e.Body), "aHVudGVy") {
			t.Errorf("the log has it at %d: %s", e.Seq, e.Body)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
