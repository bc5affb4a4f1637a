package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
)

// bindingPart is the subresource by which a scheduler outside gives a pod to a node.
const bindingPart = "binding"

// binding is that subresource of a pod.
type binding struct{ of *objects }

var (
	_ rest.NamedCreater                   = binding{}
	_ rest.SubresourceObjectMetaPreserver = binding{}
	_ rest.GroupVersionKindProvider       = binding{}
	_ rest.Creater                        = bindings{}
	_ rest.SubresourceObjectMetaPreserver = bindings{}
)

// addBinding adds it to pods, and the old way of saying the same: a Binding made by itself.
func (v *verbs) addBinding(k events.Kind, of *objects) error {
	kind := binding{}.GroupVersionKind(schema.GroupVersion{})
	scope, err := v.scope(k, kind, bindingPart, of, managedfields.NewDeducedTypeConverter())
	if err != nil {
		return err
	}
	v.createsNamed(k, bindingPart, binding{of}, scope)
	if scope, err = v.scope(bindingKind, kind, "", of, managedfields.NewDeducedTypeConverter()); err != nil {
		return err
	}
	v.creates(bindingKind, "", bindings{binding{of}}, scope)
	return nil
}

// bindingKind is a resource that can be made and is never there.
var bindingKind = events.Kind{Resource: "bindings", Version: "v1", Name: "Binding", Singular: "binding", Namespaced: true,
	New: func() events.Object { return &corev1.Binding{} }}

// New implements rest.Storage.
func (binding) New() runtime.Object { return &corev1.Binding{} }

// Destroy implements rest.Storage.
func (binding) Destroy() {}

// GroupVersionKind implements rest.GroupVersionKindProvider.
func (binding) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return corev1.SchemeGroupVersion.WithKind("Binding")
}

// PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate implements rest.SubresourceObjectMetaPreserver: uid and
// resourceVersion are preconditions.
func (binding) PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate() bool { return true }

// Create implements rest.NamedCreater.
func (b binding) Create(ctx context.Context, name string, obj runtime.Object, validate rest.ValidateObjectFunc, opts *metav1.CreateOptions) (runtime.Object, error) {
	asked, ok := obj.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %T", obj))
	}
	if asked.Name != name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Binding object")
	}
	if errs := wrongTarget(asked.Target); len(errs) > 0 {
		return nil, apierrors.NewInvalid(b.GroupVersionKind(schema.GroupVersion{}).GroupKind(), name, errs)
	}
	if validate != nil {
		if err := validate(ctx, asked.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	k := b.of.key(ctx, name)
	_, err := b.of.submit(ctx, change{key: k, dryRun: len(opts.DryRun) > 0, Request: admit.Request{
		ChangeRequest: wire.ChangeRequest{Operation: wire.Bind, Node: asked.Target.Name},
		Item:          wire.Item{Key: k, UID: events.UID(asked.UID), ResourceVersion: asked.ResourceVersion},
		Labels:        asked.Labels, Annotations: asked.Annotations}})
	if err != nil {
		return nil, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess, Code: 201}, nil
}

// wrongTarget is what is wrong with what a pod is bound to.
func wrongTarget(t corev1.ObjectReference) (errs field.ErrorList) {
	at := field.NewPath("target")
	if t.Kind != "" && t.Kind != "Node" {
		errs = append(errs, field.NotSupported(at.Child("kind"), t.Kind, []string{"Node", "<empty>"}))
	}
	if t.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	}
	return errs
}

// bindings is the same as a resource of its own.
type bindings struct{ by binding }

// New implements rest.Storage.
func (b bindings) New() runtime.Object { return b.by.New() }

// Destroy implements rest.Storage.
func (bindings) Destroy() {}

// PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate implements rest.SubresourceObjectMetaPreserver.
func (bindings) PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate() bool { return true }

// Create implements rest.Creater.
func (b bindings) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, opts *metav1.CreateOptions) (runtime.Object, error) {
	asked, ok := obj.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %T", obj))
	}
	return b.by.Create(ctx, asked.Name, obj, validate, opts)
}
