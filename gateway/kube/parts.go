package kube

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
)

// specParts are what of a spec is written by a subresource of its own: each takes its part of what is sent into what is there,
// and leaves all else. They tell false of objects of another kind, which the handler refuses before this.
var specParts = map[string]func(into, from events.Object) bool{
	admit.PartEphemeral: func(into, from events.Object) bool {
		was, ok := into.(*corev1.Pod)
		next, is := from.(*corev1.Pod)
		if !ok || !is {
			return false
		}
		was.Name, was.Namespace = next.Name, next.Namespace
		was.Spec.EphemeralContainers = next.Spec.EphemeralContainers
		return true
	},
	admit.PartResize: takeResources,
	admit.PartFinalize: func(into, from events.Object) bool {
		was, ok := into.(*corev1.Namespace)
		next, is := from.(*corev1.Namespace)
		if !ok || !is {
			return false
		}
		was.Spec.Finalizers = next.Spec.Finalizers
		return true
	},
}

// specPart is one of these subresources.
type specPart struct{ of *objects }

// takeResources takes what containers may use. Containers that are others than before come along, to be refused.
func takeResources(into, from events.Object) bool {
	was, ok := into.(*corev1.Pod)
	next, is := from.(*corev1.Pod)
	if !ok || !is {
		return false
	}
	was.Name, was.Namespace = next.Name, next.Namespace
	was.Spec.Containers = withResources(was.Spec.Containers, next.Spec.Containers)
	was.Spec.InitContainers = withResources(was.Spec.InitContainers, next.Spec.InitContainers)
	return true
}

func withResources(was, next []corev1.Container) []corev1.Container {
	if !slices.EqualFunc(was, next, func(a, b corev1.Container) bool { return a.Name == b.Name }) {
		return next
	}
	for i := range next {
		was[i].Resources, was[i].ResizePolicy = next[i].Resources, next[i].ResizePolicy
	}
	return was
}

// addPodPart adds one of pods.
func (v *verbs) addPodPart(k events.Kind, part string, of *objects) error {
	storage, scope, err := v.specPart(k, part, of)
	if err != nil {
		return err
	}
	v.set(k, part, "get", handlers.GetResource(storage, scope))
	v.updates(k, part, storage, scope)
	v.patches(k, part, storage, scope, patchTypes)
	return nil
}

// addFinalize adds the one of namespaces.
func (v *verbs) addFinalize(k events.Kind, of *objects) error {
	storage, scope, err := v.specPart(k, finalizing, of)
	if err != nil {
		return err
	}
	v.updates(k, finalizing, storage, scope)
	return nil
}

func (v *verbs) specPart(k events.Kind, part string, of *objects) (specPart, *handlers.RequestScope, error) {
	scope, err := v.scope(k, k.GVK(), part, of, v.types)
	return specPart{&objects{Server: of.Server, kind: k, part: part, fields: of.fields}}, scope, err
}

// New implements rest.Storage.
func (p specPart) New() runtime.Object { return p.of.New() }

// Destroy implements rest.Storage.
func (specPart) Destroy() {}

// Get implements rest.Getter.
func (p specPart) Get(ctx context.Context, name string, opts *metav1.GetOptions) (runtime.Object, error) {
	return p.of.Get(ctx, name, opts)
}

// Update implements rest.Updater.
func (p specPart) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, validate rest.ValidateObjectUpdateFunc,
	_ bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return p.of.Update(ctx, name, partOf{info, specParts[p.of.part]}, create, validate, false, opts)
}

// partOf is an object with a part that another one has.
type partOf struct {
	rest.UpdatedObjectInfo
	take func(into, from events.Object) bool
}

// UpdatedObject implements rest.UpdatedObjectInfo.
func (i partOf) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	obj, err := i.UpdatedObjectInfo.UpdatedObject(ctx, old.DeepCopyObject())
	if err != nil {
		return nil, err
	}
	next, is := obj.(events.Object)
	was, ok := old.DeepCopyObject().(events.Object)
	if !is || !ok || !i.take(was, next) {
		return obj, nil
	}
	was.SetResourceVersion(next.GetResourceVersion())
	was.SetUID(next.GetUID())
	was.SetManagedFields(next.GetManagedFields())
	return was, nil
}

// finalizing is the subresource of a namespace that writes its spec's finalizers.
const finalizing = admit.PartFinalize
