package kube

import (
	"context"
	"errors"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// freshWait is how long a read waits for a position that lies ahead.
const freshWait = 3 * time.Second

// position reads a resourceVersion; empty is 0.
func position(version string) (events.Position, error) {
	if version == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest("Invalid value: \"" + version + "\": resourceVersion: " + err.Error())
	}
	return events.Position(n), nil
}

// atLeast is the durable state once it has reached a position.
func (s *Server) atLeast(ctx context.Context, p events.Position) (projections.State, error) {
	v := s.Views.Durable()
	if p.Seq() <= v.Seq {
		return v, nil
	}
	wait, cancel := context.WithTimeout(ctx, freshWait)
	defer cancel()
	v, err := s.Views.WaitDurable(wait, p.Seq())
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return v, storage.NewTooLargeResourceVersionError(uint64(p), uint64(s.Views.Durable().End()), 1)
	}
	return v, err
}

// stateAt is the state as of a position of the past.
func (s *Server) stateAt(ctx context.Context, seq events.Seq) (projections.State, error) {
	v, err := s.atLeast(ctx, events.At(seq, 0))
	if err != nil || v.Seq == seq {
		return v, err
	}
	v, err = s.Past.StateAt(ctx, seq)
	var horizon *bus.HorizonError
	if errors.As(err, &horizon) {
		return v, apierrors.NewResourceExpired("too old resource version: " + events.At(seq, 0).String() + " (" + events.At(horizon.First, 0).String() + ")")
	}
	return v, err
}

// List implements rest.Lister.
func (o *objects) List(ctx context.Context, opts *internalversion.ListOptions) (runtime.Object, error) {
	if opts == nil {
		opts = &internalversion.ListOptions{}
	}
	page, err := o.pageOf(ctx, opts)
	if err != nil {
		return nil, err
	}
	keep := o.selection(ctx, opts)
	if o.shownAsRows(ctx, keep) {
		return o.rowList(page, keep, int(opts.Limit)), nil
	}
	items, rest, err := o.collect(ctx, page, keep, int(opts.Limit))
	if err != nil {
		return nil, err
	}
	list := o.NewList()
	fill(list, items)
	m, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	var last events.Key
	if rest > 0 {
		last = keyOf(o.kind, items[len(items)-1])
	}
	o.headed(m, page, keep, last, rest)
	return list, nil
}

// headed says of a list where it stands, and how to go on after its last object when there are more.
func (o *objects) headed(m metav1.ListInterface, p page, keep selection, last events.Key, rest int) {
	m.SetResourceVersion(p.position.String())
	if rest == 0 {
		return
	}
	m.SetContinue(o.pages.keep(p, last.Namespace, last.Name))
	if keep.everything {
		left := int64(rest)
		m.SetRemainingItemCount(&left)
	}
}

// collect is a page's objects, and how many come after it; when not everything
// is wanted, only whether there are more.
func (o *objects) collect(ctx context.Context, p page, keep selection, limit int) (items []events.Object, rest int, err error) {
	all := o.all(p.view, keep, p.last(o.kind), o.Now())
	if o.definition.Converts() && !keep.everything {
		if all, err = o.converted(ctx, p, keep); err != nil {
			return nil, 0, err
		}
	}
	for found := range all {
		if limit > 0 && len(items) == limit {
			rest = 1
			break
		}
		items = append(items, o.dressed(p.view, found, keyOf(o.kind, found)))
	}
	if rest > 0 && keep.everything {
		rest = p.view.CountAfter(keyOf(o.kind, items[limit-1]), keep.namespace)
	}
	return items, rest, o.bring(ctx, items...)
}

// converted are the wanted objects in the version of this storage: labels and fields
// are what a webhook makes of them, so it is asked first.
func (o *objects) converted(ctx context.Context, p page, want selection) (iter.Seq[events.Object], error) {
	whole := want
	whole.labels, whole.fields = labels.Everything(), fields.Everything()
	all := slices.Collect(o.all(p.view, whole, p.last(o.kind), o.Now()))
	if err := o.bring(ctx, all...); err != nil {
		return nil, err
	}
	return slices.Values(slices.DeleteFunc(all, func(x events.Object) bool { return !want.has(x) })), nil
}

func keyOf(k events.Kind, o events.Object) events.Key {
	return events.Key{Resource: k.Resource, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// fill puts objects into a typed list. Items of lists don't say what they are.
func fill(list runtime.Object, items []events.Object) {
	if u, ok := list.(*unstructured.UnstructuredList); ok { // these say what they are
		for _, x := range items {
			if o, ok := x.(*unstructured.Unstructured); ok {
				u.Items = append(u.Items, *o)
			}
		}
		return
	}
	dst := reflect.ValueOf(list).Elem().FieldByName("Items")
	dst.Set(reflect.MakeSlice(dst.Type(), len(items), len(items)))
	for i, x := range items {
		dst.Index(i).Set(reflect.ValueOf(x).Elem())
		dst.Index(i).FieldByName("TypeMeta").SetZero()
	}
}

// selection is which objects a request wants.
type selection struct {
	namespace  string
	name       string // empty: any
	labels     labels.Selector
	fields     fields.Selector
	everything bool // of the namespace
}

func (o *objects) selection(ctx context.Context, opts *internalversion.ListOptions) selection {
	s := selection{labels: labels.Everything(), fields: fields.Everything()}
	if o.kind.Namespaced {
		s.namespace = request.NamespaceValue(ctx)
	}
	if opts.LabelSelector != nil {
		s.labels = opts.LabelSelector
	}
	if opts.FieldSelector != nil {
		s.fields = opts.FieldSelector
	}
	if name, ok := s.fields.RequiresExactMatch("metadata.name"); ok {
		s.name = name
	}
	s.everything = s.labels.Empty() && s.fields.Empty()
	return s
}

// has tells whether an object is wanted.
func (s selection) has(o events.Object) bool {
	return (s.namespace == "" || o.GetNamespace() == s.namespace) && s.labels.Matches(labels.Set(o.GetLabels())) &&
		(s.fields.Empty() || s.fields.Matches(fieldsOf{o}))
}

// all walks the wanted objects of a state after the last one that was shown.
func (o *objects) all(v projections.State, want selection, last events.Key, now time.Time) iter.Seq[events.Object] {
	return func(yield func(events.Object) bool) {
		if want.name != "" && (want.namespace != "" || !o.kind.Namespaced) {
			if last.Name != "" {
				return // it was there to be shown
			}
			found, ok := v.Object(events.Key{Resource: o.kind.Resource, Namespace: want.namespace, Name: want.name}, now)
			if ok && want.has(found) && found.GetName() == want.name {
				yield(found)
			}
			return
		}
		for found := range v.ObjectsAfter(last, want.namespace, now) {
			if want.has(found) && !yield(found) {
				return
			}
		}
	}
}

// resourceVersionMatch of a list.
func exact(opts *internalversion.ListOptions) bool {
	return opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact
}
