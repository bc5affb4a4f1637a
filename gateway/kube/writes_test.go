package kube_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission"
)

// deep notes how many calls lie above an admission when it is asked.
type deep struct{ calls atomic.Int64 }

func (*deep) Handles(admission.Operation) bool { return true }

func (d *deep) Validate(context.Context, admission.Attributes, admission.ObjectInterfaces) error {
	d.calls.Store(int64(runtime.Callers(0, make([]uintptr, 1000))))
	return nil
}

// TestWritesCostTheSame: the hundredth write is asked about as the first one was. Handlers put a layer around the admission at each
// request; when they lived on, each write was slower than the one before.
func TestWritesCostTheSame(t *testing.T) {
	asked := &deep{}
	h := open(t)
	h.close()
	h.asked = asked
	h.serve()
	c := h.client().CoreV1().ConfigMaps("default")
	request, _ := wanted(t, "ann")
	request.Spec.SignerName = "example.com/nobody"
	requests := h.client().CertificatesV1().CertificateSigningRequests()
	if _, err := requests.Create(t.Context(), request, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for what, write := range map[string]func(i int) error{
		"create": func(i int) error {
			_, err := c.Create(t.Context(), configMap(fmt.Sprint("c", i), nil), metav1.CreateOptions{})
			return err
		},
		"update": func(i int) error {
			_, err := c.Update(t.Context(), configMap("one", map[string]string{"i": fmt.Sprint(i)}), metav1.UpdateOptions{})
			return err
		},
		"patch": func(i int) error {
			_, err := c.Patch(t.Context(), "one", types.MergePatchType, fmt.Appendf(nil, `{"data":{"j":"%d"}}`, i), metav1.PatchOptions{})
			return err
		},
		"approval": func(i int) error {
			_, err := requests.Patch(t.Context(), "ann", types.MergePatchType, fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Approved","status":"True","reason":"R","message":"%d"}]}}`, i),
				metav1.PatchOptions{}, "approval")
			return err
		},
		"delete": func(int) error {
			return c.Delete(t.Context(), "one", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		},
	} {
		if _, err := c.Create(t.Context(), configMap("one", nil), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		var first int64
		for i := range 100 {
			if err := write(i); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			switch now := asked.calls.Load(); {
			case i == 0:
				first = now
			case now > first+4:
				t.Fatalf("%s: there were %d calls above the first one, and %d above number %d", what, first, now, i+1)
			}
		}
		if err := c.Delete(t.Context(), "one", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
