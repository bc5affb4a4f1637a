package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"

	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// eviction is the eviction subresource of a pod: a deletion that a
// PodDisruptionBudget refuses while too few of its pods are healthy without it.
type eviction struct{ of *objects }

var _ rest.NamedCreater = eviction{}

// addEviction adds it to pods.
func (v *verbs) addEviction(k events.Kind, of *objects) error {
	// Nobody keeps the managers of an eviction, so no schema knows it; the handler writes them all the same.
	scope, err := v.scope(k, policyv1.SchemeGroupVersion.WithKind("Eviction"), "eviction", of, managedfields.NewDeducedTypeConverter())
	if err != nil {
		return err
	}
	v.createsNamed(k, "eviction", eviction{of}, scope)
	return nil
}

// New implements rest.Storage.
func (eviction) New() runtime.Object { return &policyv1.Eviction{} }

// Destroy implements rest.Storage.
func (eviction) Destroy() {}

// GroupVersionKind implements rest.GroupVersionKindProvider.
func (eviction) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return policyv1.SchemeGroupVersion.WithKind("Eviction")
}

// Create implements rest.NamedCreater: it deletes the pod with its grace. A pod
// that somebody changes meanwhile is tried again, for a client that drains a node
// takes a conflict for the end.
func (e eviction) Create(ctx context.Context, name string, obj runtime.Object, validate rest.ValidateObjectFunc, opts *metav1.CreateOptions) (runtime.Object, error) {
	asked, ok := obj.(*policyv1.Eviction)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Eviction object: %T", obj))
	}
	if asked.Name != name {
		return nil, apierrors.NewBadRequest("name in URL does not match name in Eviction object")
	}
	deletion, err := deletionOf(asked, opts)
	if err != nil {
		return nil, err
	}
	if validate != nil {
		if err := validate(ctx, asked.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	return e.evict(ctx, name, deletion)
}

func (e eviction) evict(ctx context.Context, name string, opts *metav1.DeleteOptions) (runtime.Object, error) {
	k := e.of.key(ctx, name)
	ask := deletion(k, opts)
	ask.Operation = wire.Evict
	for range writeTries {
		if _, ok := e.of.Server.shown(e.of.Views.Durable(), k, e.of.Now()); !ok {
			return nil, apierrors.NewNotFound(e.of.resource(), name)
		}
		_, err := e.of.submit(ctx, change{key: k, dryRun: len(opts.DryRun) > 0, Request: ask})
		var again moved
		if err == nil {
			return &metav1.Status{Status: metav1.StatusSuccess}, nil
		}
		if !errors.As(err, &again) {
			return nil, err
		}
		if _, err = e.of.Views.WaitDurable(ctx, again.seq); err != nil {
			return nil, apierrors.NewTimeoutError("the request did not complete within the allotted timeout", 0)
		}
	}
	return nil, apierrors.NewConflict(e.of.resource(), name, errMoved)
}

// deletionOf is how the pod shall be deleted. A dry run can be asked for in the
// query and in the body; the two must not contradict each other.
func deletionOf(asked *policyv1.Eviction, opts *metav1.CreateOptions) (*metav1.DeleteOptions, error) {
	out := asked.DeleteOptions.DeepCopy()
	if out == nil {
		out = &metav1.DeleteOptions{}
	}
	if len(out.DryRun) > 0 && len(opts.DryRun) > 0 && !slices.Equal(out.DryRun, opts.DryRun) {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("Non-matching dry-run options in request and content: %v and %v", opts.DryRun, out.DryRun))
	}
	if len(out.DryRun) == 0 {
		out.DryRun = opts.DryRun
	}
	if errs := validation.ValidateDeleteOptions(out); len(errs) > 0 {
		return nil, apierrors.NewInvalid(policyv1.SchemeGroupVersion.WithKind("Eviction").GroupKind(), asked.Name, errs)
	}
	return out, nil
}
