package kube

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
)

// Delete implements rest.GracefulDeleter. Finalizers hold it up.
func (n *notes) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if err := n.book.ready(ctx, 0); err != nil {
		return nil, false, err
	}
	k := n.key(ctx, name)
	for range writeTries {
		found, last := n.book.get(k)
		if found == nil {
			return nil, false, n.unwritable(ctx, k)
		}
		out, gone, err := n.deleteOnce(ctx, k, n.show(found), last, validate, opts)
		var again moved
		if !errors.As(err, &again) {
			return out, gone, err
		}
	}
	return nil, false, apierrors.NewConflict(n.resource(), name, errMoved)
}

func (n *notes) deleteOnce(ctx context.Context, k events.Key, old events.Object, last events.Seq, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if opts == nil {
		opts = &metav1.DeleteOptions{}
	}
	if err := preconditions(n.resource(), old, opts.Preconditions); err != nil {
		return nil, false, err
	}
	if validate != nil {
		if err := validate(ctx, old); err != nil {
			return nil, false, err
		}
	}
	held, dryRun := len(old.GetFinalizers()) > 0, len(opts.DryRun) > 0
	switch {
	case held && old.GetDeletionTimestamp() == nil:
		now, none := metav1.NewTime(n.Now()).Rfc3339Copy(), int64(0)
		old.SetDeletionTimestamp(&now)
		old.SetDeletionGracePeriodSeconds(&none)
		if dryRun {
			return old, false, nil
		}
		out, err := n.write(ctx, k, old, last)
		return out, false, err
	case held || dryRun:
		return old, !held, nil
	}
	if _, err := n.book.put(ctx, k, nil, last); err != nil {
		return nil, false, err
	}
	gone := gvrOf(n.kind)
	return &metav1.Status{Status: metav1.StatusSuccess, Details: &metav1.StatusDetails{Name: k.Name, Group: gone.Group, Kind: gone.Resource, UID: old.GetUID()}}, true, nil
}

// preconditions holds an object to what a deletion names of it.
func preconditions(r schema.GroupResource, o events.Object, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	differs := func(what string, want, is any) error {
		return apierrors.NewConflict(r, o.GetName(), words(fmt.Sprintf("Precondition failed: %s in precondition: %v, %s in object meta: %v", what, want, what, is)))
	}
	if p.UID != nil && *p.UID != o.GetUID() {
		return differs("UID", *p.UID, o.GetUID())
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != o.GetResourceVersion() {
		return differs("ResourceVersion", *p.ResourceVersion, o.GetResourceVersion())
	}
	return nil
}

// DeleteCollection implements rest.CollectionDeleter: each by itself. What the log
// tells stays.
func (n *notes) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions, which *internalversion.ListOptions) (runtime.Object, error) {
	if err := n.book.ready(ctx, 0); err != nil {
		return nil, err
	}
	if which == nil {
		which = &internalversion.ListOptions{}
	}
	want := n.selection(ctx, which)
	found, _ := n.book.all(n.shelf, want.namespace)
	var items []events.Object
	for _, o := range found {
		if o = n.show(o); !want.has(o) {
			continue
		}
		items = append(items, o)
		_, _, err := n.Delete(request.WithNamespace(ctx, o.GetNamespace()), o.GetName(), validate, opts.DeepCopy())
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	list := n.NewList()
	fill(list, items)
	return list, nil
}
