package projections

import (
	"bytes"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// Mentions are the ConfigMaps that a pod, or the pods of a workload, mention.
func Mentions(o *Object) []string {
	if o.Key.Resource == events.Pods {
		return ConfigMapsOf(o.PodSpec())
	}
	switch x := o.Typed().(type) {
	case *appsv1.ReplicaSet:
		return ConfigMapsOf(&x.Spec.Template.Spec)
	case *appsv1.Deployment:
		return ConfigMapsOf(&x.Spec.Template.Spec)
	}
	return nil
}

// IsCopy tells whether an object is a ConfigMap that a rollback made. It looks at
// the bytes first: most maps are none, and some are large.
func IsCopy(o *Object) bool {
	if o.Key.Resource != events.ConfigMaps || !bytes.Contains(o.Raw, []byte(CopyOf)) {
		return false
	}
	m := As[*corev1.ConfigMap](o)
	return m.Labels[CopyOf] != "" && m.Immutable != nil && *m.Immutable
}

// CopyOf is the label of a ConfigMap that a rollback made: which one it is a copy
// of. Copies are immutable, and go when no revision mentions them.
const CopyOf = "stave.run/copy-of"
