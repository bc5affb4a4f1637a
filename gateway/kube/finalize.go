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

// finalizing is the subresource of a namespace that writes its spec's finalizers.
const finalizing = admit.PartFinalize

// finalize is that subresource.
type finalize struct{ of *objects }

// addFinalize adds it to namespaces.
func (v *verbs) addFinalize(k events.Kind, of *objects) error {
	scope, err := v.scope(k, k.GVK(), finalizing, of, v.types)
	if err != nil {
		return err
	}
	v.set(k, finalizing, "update", handlers.UpdateResource(finalize{&objects{Server: of.Server, kind: k, part: finalizing}}, scope, of.Server.Admission))
	return nil
}

// New implements rest.Storage.
func (f finalize) New() runtime.Object { return f.of.New() }

// Destroy implements rest.Storage.
func (finalize) Destroy() {}

// Get implements rest.Getter.
func (f finalize) Get(ctx context.Context, name string, opts *metav1.GetOptions) (runtime.Object, error) {
	return f.of.Get(ctx, name, opts)
}

// Update implements rest.Updater: of what is sent, the spec's finalizers count.
func (f finalize) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, validate rest.ValidateObjectUpdateFunc,
	_ bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return f.of.Update(ctx, name, specFinalizers{info}, create, validate, false, opts)
}

// specFinalizers is a namespace with the finalizers that another one has.
type specFinalizers struct{ rest.UpdatedObjectInfo }

// UpdatedObject implements rest.UpdatedObjectInfo.
func (i specFinalizers) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	obj, err := i.UpdatedObjectInfo.UpdatedObject(ctx, old.DeepCopyObject())
	if err != nil {
		return nil, err
	}
	next, is := obj.(*corev1.Namespace)
	was, ok := old.(*corev1.Namespace)
	if !is || !ok {
		return obj, nil // the handler refuses other kinds before this
	}
	was = was.DeepCopy()
	was.ResourceVersion, was.UID, was.ManagedFields, was.Spec.Finalizers = next.ResourceVersion, next.UID, next.ManagedFields, next.Spec.Finalizers
	return was, nil
}
