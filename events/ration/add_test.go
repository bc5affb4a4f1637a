package ration

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// A sum that comes back to nothing is the one that never was: a fold and a
// checkpoint of it are compared to the byte.
func TestNothingIsNothing(t *testing.T) {
	one := corev1.ResourceList{"count/pods": resource.MustParse("1")}
	if left := Add(Add(nil, one, +1), one, -1); left != nil {
		t.Errorf("left %#v", left)
	}
}
