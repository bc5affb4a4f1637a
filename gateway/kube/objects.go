package kube

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/projections"
)

// objects is the storage of one kind that the handlers work on.
type objects struct {
	*Server
	kind events.Kind
	part string // the subresource that is written; empty for the object itself
	// definition is what makes the kind; nil for a kind of ours.
	definition *custom.Definition
	// fields tells who manages which of an object's fields; nil for a part of it.
	fields *managedfields.FieldManager
}

var (
	_ rest.StandardStorage      = &objects{}
	_ rest.Scoper               = &objects{}
	_ rest.SingularNameProvider = &objects{}
)

// New implements rest.Storage: an empty object.
func (o *objects) New() runtime.Object { return o.fresh(o.kind.Name) }

// NewList implements rest.Lister: an empty list.
func (o *objects) NewList() runtime.Object {
	if o.definition == nil {
		return o.fresh(o.kind.Name + "List")
	}
	list := &unstructured.UnstructuredList{Object: map[string]any{}, Items: []unstructured.Unstructured{}}
	list.SetGroupVersionKind(o.kind.GVK().GroupVersion().WithKind(o.definition.Spec.Names.ListKind))
	return list
}

// Destroy implements rest.Storage; the server's Close does it.
func (o *objects) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (o *objects) NamespaceScoped() bool { return o.kind.Namespaced }

// GetSingularName implements rest.SingularNameProvider.
func (o *objects) GetSingularName() string { return o.kind.Singular }

func (o *objects) fresh(kind string) runtime.Object {
	if o.definition != nil {
		return o.kind.New()
	}
	gvk := o.kind.GVK().GroupVersion().WithKind(kind)
	v, err := o.scheme.New(gvk)
	if err != nil {
		panic(fmt.Sprintf("make %s: %v", gvk, err)) // a test knows that the scheme has every kind
	}
	v.GetObjectKind().SetGroupVersionKind(gvk)
	return v
}

func (o *objects) resource() schema.GroupResource { return gvrOf(o.kind).GroupResource() }

// key is the row that a request names.
func (o *objects) key(ctx context.Context, name string) events.Key {
	k := events.Key{Resource: o.kind.Resource, Name: name}
	if o.kind.Namespaced {
		k.Namespace = request.NamespaceValue(ctx)
	}
	return k
}

// Get implements rest.Getter.
func (o *objects) Get(ctx context.Context, name string, opts *metav1.GetOptions) (runtime.Object, error) {
	v, err := o.newest(ctx, opts)
	if err != nil {
		return nil, err
	}
	found, ok, err := o.shown(ctx, v, o.key(ctx, name), o.Now())
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, apierrors.NewNotFound(o.resource(), name)
	}
	return found, nil
}

// newest is the durable state, as new as a get asks for.
func (o *objects) newest(ctx context.Context, opts *metav1.GetOptions) (projections.State, error) {
	if opts == nil {
		return o.Views.Durable(), nil
	}
	p, err := position(opts.ResourceVersion)
	if err != nil {
		return projections.State{}, err
	}
	return o.atLeast(ctx, p)
}

// shown is an object as this door shows it: with what only its clients look at.
func (s *Server) shown(v projections.State, k events.Key, now time.Time) (events.Object, bool) {
	found, ok := v.Object(k, now)
	if !ok {
		return nil, false
	}
	if found.GetName() != k.Name {
		return nil, false // a slice is asked for by its own name here
	}
	found = s.dressed(v, found, k)
	found.SetManagedFields(owned(found.GetManagedFields()))
	return found, true
}

// shown is Server.shown, in the version of this storage.
func (o *objects) shown(ctx context.Context, v projections.State, k events.Key, now time.Time) (events.Object, bool, error) {
	found, ok := o.Server.shown(v, k, now)
	if !ok {
		return nil, false, nil
	}
	if err := o.bring(ctx, found); err != nil {
		return found, true, err
	}
	o.managing(ctx, v, k, found)
	return found, true, nil
}

// dressed adds the managers and the applied manifest, which the log keeps apart
// from the object, and opens Secrets. What it adds may be shared: it is to be read only.
func (s *Server) dressed(v projections.State, o events.Object, k events.Key) events.Object {
	row, ok := v.Get(k)
	if !ok || row.UID != events.UID(o.GetUID()) { // it follows from a service
		return s.Vault.Show(o)
	}
	return s.dressedAs(row, o)
}

// dressedAs is dressed for the object of a row.
func (s *Server) dressedAs(row *projections.Object, o events.Object) events.Object {
	if len(row.Managed) > 0 {
		o.SetManagedFields(s.managers.of(row.Managed))
	}
	if len(row.Applied) > 0 {
		a := maps.Clone(o.GetAnnotations())
		if a == nil {
			a = map[string]string{}
		}
		a[corev1.LastAppliedConfigAnnotation] = string(row.Applied) + "\n"
		o.SetAnnotations(a)
	}
	return s.Vault.Show(o)
}
