package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
)

// podParts are what of a pod's spec is written by a subresource of its own: each takes its part from what is sent, and
// leaves all else as it is.
var podParts = map[string]func(into, from *corev1.PodSpec){
	admit.PartEphemeral: func(into, from *corev1.PodSpec) { into.EphemeralContainers = from.EphemeralContainers },
}

// podPart is one of these subresources.
type podPart struct{ of *objects }

// addPodParts adds them to pods.
func (v *verbs) addPodParts(k events.Kind, of *objects) error {
	for part := range podParts { //stave:sorted: each is added on its own
		storage := podPart{&objects{Server: of.Server, kind: k, part: part}}
		scope, err := v.scope(k, k.GVK(), part, of, v.types)
		if err != nil {
			return err
		}
		v.set(k, part, "get", handlers.GetResource(storage, scope))
		v.set(k, part, "update", handlers.UpdateResource(storage, scope, of.Server.Admission))
		v.set(k, part, "patch", handlers.PatchResource(storage, scope, of.Server.Admission, patchTypes))
	}
	return nil
}

// New implements rest.Storage.
func (p podPart) New() runtime.Object { return p.of.New() }

// Destroy implements rest.Storage.
func (podPart) Destroy() {}

// Get implements rest.Getter.
func (p podPart) Get(ctx context.Context, name string, opts *metav1.GetOptions) (runtime.Object, error) {
	return p.of.Get(ctx, name, opts)
}

// Update implements rest.Updater.
func (p podPart) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, validate rest.ValidateObjectUpdateFunc,
	_ bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return p.of.Update(ctx, name, partOf{info, podParts[p.of.part]}, create, validate, false, opts)
}

// partOf is a pod with a part that another one has.
type partOf struct {
	rest.UpdatedObjectInfo
	take func(into, from *corev1.PodSpec)
}

// UpdatedObject implements rest.UpdatedObjectInfo.
func (i partOf) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	obj, err := i.UpdatedObjectInfo.UpdatedObject(ctx, old.DeepCopyObject())
	if err != nil {
		return nil, err
	}
	next, is := obj.(*corev1.Pod)
	was, ok := old.(*corev1.Pod)
	if !is || !ok {
		return obj, nil // the handler refuses other kinds before this
	}
	was = was.DeepCopy()
	was.Name, was.Namespace = next.Name, next.Namespace
	was.ResourceVersion, was.UID, was.ManagedFields = next.ResourceVersion, next.UID, next.ManagedFields
	i.take(&was.Spec, &next.Spec)
	return was, nil
}
