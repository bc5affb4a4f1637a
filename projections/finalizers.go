package projections

import (
	"bytes"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Keepers are the finalizers that other programs let go of: while there is one,
// an object that is wanted gone stays. Those of garbage collection are not among
// them; a namespace has those of its spec too, but for Kubernetes' own.
func (o *Object) Keepers() []string {
	if !bytes.Contains(o.Raw, []byte(`"finalizers"`)) {
		return nil // most have none, and need not be decoded for that
	}
	out := keepers(o.decoded().GetFinalizers())
	if ns, ok := o.decoded().(*corev1.Namespace); ok {
		for _, f := range ns.Spec.Finalizers {
			if f != corev1.FinalizerKubernetes {
				out = append(out, string(f))
			}
		}
	}
	return out
}

// keepers are finalizers without those of garbage collection.
func keepers(finalizers []string) []string {
	return slices.DeleteFunc(slices.Clone(finalizers), Collects)
}

// Collects tells whether a finalizer is one that garbage collection lets go of.
func Collects(finalizer string) bool {
	return finalizer == metav1.FinalizerOrphanDependents || finalizer == metav1.FinalizerDeleteDependents
}

// Own are the finalizers that a deletion itself has: what becomes of the children.
func (d *Deletion) Own() []string {
	var out []string
	if d.Orphan {
		out = append(out, metav1.FinalizerOrphanDependents)
	}
	if d.Foreground {
		out = append(out, metav1.FinalizerDeleteDependents)
	}
	return out
}

// without is a deletion that has let go of some of its own finalizers.
func (d *Deletion) without(released []string) *Deletion {
	n := *d
	n.Orphan = d.Orphan && !slices.Contains(released, metav1.FinalizerOrphanDependents)
	n.Foreground = d.Foreground && !slices.Contains(released, metav1.FinalizerDeleteDependents)
	return &n
}
