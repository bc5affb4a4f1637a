package table

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestLabelsOfFields(t *testing.T) {
	for name, want := range map[string]string{"apiVersion": "API Version", "kind": "Kind", "clusterIP": "Cluster IP", "uid": "UID", "creationTimestamp": "Creation Timestamp",
		"podIPs": "Pod I Ps", "HTTPGet": "HTTPGet", "httpGet": "Http Get", "a.b/c": "a.b/c", "ipv4": "ipv4", "URL": "URL", "x": "X"} {
		if got := label(name); got != want {
			t.Errorf("%s is called %q, want %q", name, got, want)
		}
	}
}

// Of a custom object all is told, in the form of kubectl.
func TestFieldsOfCustomObjects(t *testing.T) {
	p := newPage(time.Time{})
	p.fields(&unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "w", "namespace": "default", "labels": map[string]any{"a": "b"}, "generation": int64(1), "managedFields": []any{}},
		"spec":     map[string]any{"size": int64(3), "ratio": 0.5, "parts": []any{map[string]any{"name": "left", "on": true}, map[string]any{"name": "right"}}, "tags": []any{"x", "y"}}}})
	want := `Name:         w
Namespace:    default
Labels:       a=b
Annotations:  <none>
API Version:  example.com/v1
Kind:         Widget
Metadata:
  Generation:  1
Spec:
  Parts:
    Name:  left
    On:    true
    Name:  right
  Ratio:   0.5
  Size:    3
  Tags:
    x
    y
`
	if got := p.done(); strings.TrimRight(got, "\n") != strings.TrimRight(want, "\n") {
		t.Errorf("got\n%s", got)
	}
}
