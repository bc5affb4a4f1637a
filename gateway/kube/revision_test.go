package kube_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// ControllerRevisions are written by controllers of others too: their data stays what
// it is, their number and labels may change.
func TestControllerRevisions(t *testing.T) {
	h := open(t)
	c := h.client().AppsV1().ControllerRevisions("default")
	of := func(name, data string) *appsv1.ControllerRevision {
		return &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"set": "a"}}, Revision: 3, Data: runtime.RawExtension{Raw: []byte(data)}}
	}
	means := func(r *appsv1.ControllerRevision) bool { // a patch writes it in another order
		var data any
		err := json.Unmarshal(r.Data.Raw, &data)
		return err == nil && reflect.DeepEqual(data, map[string]any{"b": []any{1.0, 2.5}, "a": map[string]any{"x": nil}})
	}
	made, err := c.Create(t.Context(), of("one", `{"b":[1,2.5],"a":{"x":null}}`), metav1.CreateOptions{})
	if err != nil || made.Revision != 3 || !means(made) {
		t.Fatalf("%+v %s, %v", made, made.Data.Raw, err)
	}
	for _, bad := range []string{"", "null", `"text"`, "[1]"} {
		if _, err := c.Create(t.Context(), of("two", bad), metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "data") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	patched, err := c.Patch(t.Context(), "one", types.StrategicMergePatchType, []byte(`{"revision":4,"metadata":{"labels":{"new":"b"}}}`), metav1.PatchOptions{})
	if err != nil || patched.Revision != 4 || patched.Labels["new"] != "b" || !means(patched) {
		t.Errorf("%+v, %v", patched, err)
	}
	if _, err := c.Patch(t.Context(), "one", types.MergePatchType, []byte(`{"data":{"c":1}}`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "field is immutable") {
		t.Errorf("other data: %v", err)
	}
	patched.Revision = -1
	if _, err := c.Update(t.Context(), patched, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a negative number: %v", err)
	}
	if l, err := c.List(t.Context(), metav1.ListOptions{LabelSelector: "set=a,new=b"}); err != nil || len(l.Items) != 1 || !means(&l.Items[0]) {
		t.Errorf("%+v, %v", l, err)
	}
	if err := c.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "new=b"}); err != nil {
		t.Fatal(err)
	}
	if l, err := c.List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 0 {
		t.Errorf("left: %+v, %v", l, err)
	}
}
