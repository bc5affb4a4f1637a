package kube

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"

	"github.com/stave-run/stave/events"
)

// notes is the storage of a kind that lies beside the log. It overrides what
// objects does with the log.
type notes struct {
	*objects
	shape
}

// shape is how a kind lies on its shelf, and what may be written.
type shape struct {
	shelf events.Resource
	bound int // of the shelf, in bytes, when new ones are to be refused; else 0
	// show makes the kind's object of what lies on the shelf, keep the other way round.
	show, keep func(events.Object) events.Object
	// check finds what is wrong with a new object; old is nil when it is to be made.
	check func(next, old events.Object) field.ErrorList
}

// shapes has one of each kind.
var shapes = map[events.Resource]shape{
	events.Leases:      {shelf: events.Leases, bound: maxLeases, show: copied, keep: copied, check: checkLease},
	events.Happenings:  {shelf: events.Happenings, show: copied, keep: copied, check: checkHappening},
	events.Happenings1: {shelf: events.Happenings, show: toHappening1, keep: fromHappening1, check: checkHappening1},
}

// copied is an object that a handler may change.
func copied(o events.Object) events.Object {
	c, _ := o.DeepCopyObject().(events.Object)
	return c
}

var _ rest.StandardStorage = &notes{}

// addNotes serves a kind that lies beside the log.
func (v *verbs) addNotes(k events.Kind) error {
	n := &notes{&objects{Server: v.server, kind: k}, shapes[k.Resource]}
	scope, err := v.scope(k, k.GVK(), "", n, v.types)
	if err != nil {
		return err
	}
	v.set(k, "", "get", handlers.GetResource(n, scope))
	v.set(k, "", "list", handlers.ListResource(n, n, scope, false, watchTime))
	v.set(k, "", "watch", handlers.ListResource(n, n, scope, true, watchTime))
	v.creates(k, "", n, scope)
	v.updates(k, "", n, scope)
	v.patches(k, "", n, scope, patchTypes)
	v.deletes(k, n, scope)
	return nil
}

// key is the row that a request names: both kinds of events have the same.
func (n *notes) key(ctx context.Context, name string) events.Key {
	k := n.objects.key(ctx, name)
	k.Resource = n.shelf
	return k
}

// Get implements rest.Getter.
func (n *notes) Get(ctx context.Context, name string, opts *metav1.GetOptions) (runtime.Object, error) {
	var p events.Position
	var err error
	if opts != nil {
		p, err = position(opts.ResourceVersion)
	}
	if err == nil {
		err = n.book.ready(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	k := n.key(ctx, name)
	if found, _ := n.book.get(k); found != nil {
		return n.show(found), nil
	}
	if told := n.toldNamed(ctx, k); told != nil {
		return n.show(told), nil
	}
	return nil, apierrors.NewNotFound(n.resource(), name)
}

// Create implements rest.Creater.
func (n *notes) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, opts *metav1.CreateOptions) (runtime.Object, error) {
	next, ok := obj.(events.Object)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a %s object: %T", n.kind.Name, obj))
	}
	if next.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	generated := next.GetName() == "" && next.GetGenerateName() != ""
	next.SetUID(uuid.NewUUID())
	next.SetCreationTimestamp(metav1.NewTime(n.Now()).Rfc3339Copy())
	next.SetDeletionTimestamp(nil)
	next.SetDeletionGracePeriodSeconds(nil)
	for range nameTries {
		if generated {
			next.SetName(names.SimpleNameGenerator.GenerateName(next.GetGenerateName()))
		}
		out, err := n.createOnce(ctx, next, validate, len(opts.DryRun) > 0)
		if !generated || !apierrors.IsAlreadyExists(err) {
			return out, err
		}
	}
	return nil, apierrors.NewGenerateNameConflict(n.resource(), next.GetGenerateName(), 1)
}

func (n *notes) createOnce(ctx context.Context, next events.Object, validate rest.ValidateObjectFunc, dryRun bool) (runtime.Object, error) {
	if err := n.accepted(ctx, next, nil); err != nil {
		return nil, err
	}
	if validate != nil {
		if err := validate(ctx, next.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	k := n.key(ctx, next.GetName())
	for range writeTries {
		found, last := n.book.get(k)
		if found != nil {
			return nil, apierrors.NewAlreadyExists(n.resource(), k.Name)
		}
		if dryRun {
			return next, nil
		}
		out, err := n.write(ctx, k, next, last)
		var again moved
		if !errors.As(err, &again) {
			return out, err
		}
	}
	return nil, apierrors.NewConflict(n.resource(), k.Name, errMoved)
}

// accepted says what is wrong with a new object, or with where it is to be.
func (n *notes) accepted(ctx context.Context, next, old events.Object) error {
	if err := n.book.ready(ctx, 0); err != nil {
		return err
	}
	if errs := n.check(next, old); len(errs) > 0 {
		return apierrors.NewInvalid(n.kind.GVK().GroupKind(), next.GetName(), errs)
	}
	if n.bound > 0 && !n.book.room(n.shelf, n.bound) && grows(next, old) {
		return apierrors.NewServiceUnavailable(fmt.Sprintf("all %s together are at most %d bytes large: delete some", n.kind.Plural(), n.bound))
	}
	return n.inNamespace(next, old == nil)
}

// maxGrown is up to how many bytes an object may grow though there is no room: who takes a lease over has a longer name.
const maxGrown = 4 << 10

// grows tells whether an object takes more room than the one before it.
func grows(next, old events.Object) bool {
	if old == nil {
		return true
	}
	size := len(events.MustBody(next))
	return size > maxGrown && size > len(events.MustBody(old))
}

// inNamespace wants the namespace of an object to be there, and to stay if it is new.
func (n *notes) inNamespace(o events.Object, made bool) error {
	ns, ok := n.Views.Durable().Get(events.Key{Resource: events.Namespaces, Name: o.GetNamespace()})
	if !ok {
		kind, _ := events.KindOf(events.Namespaces)
		return apierrors.NewNotFound(gvrOf(kind).GroupResource(), o.GetNamespace())
	}
	if ns.Deletion == nil || !made {
		return nil
	}
	return apierrors.NewForbidden(n.resource(), o.GetName(), words("unable to create new content in namespace "+o.GetNamespace()+" because it is being terminated"))
}

// write puts an object on its shelf, and answers with it.
func (n *notes) write(ctx context.Context, k events.Key, next events.Object, last events.Seq) (runtime.Object, error) {
	kept := n.keep(next)
	kept.SetResourceVersion("")
	seq, err := n.book.put(ctx, k, kept, last)
	if err != nil {
		return nil, err
	}
	next.SetResourceVersion(events.At(seq, 0).String())
	return next, nil
}

// Update implements rest.Updater: PUT, and every patch.
func (n *notes) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, validate rest.ValidateObjectUpdateFunc,
	orCreate bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	if err := n.book.ready(ctx, 0); err != nil {
		return nil, false, err
	}
	k, dryRun := n.key(ctx, name), len(opts.DryRun) > 0
	for range writeTries {
		found, last := n.book.get(k)
		if found == nil && !orCreate {
			return nil, false, n.unwritable(ctx, k)
		}
		var out runtime.Object
		var err error
		if found == nil {
			out, err = n.created(ctx, info, create, opts)
			if apierrors.IsAlreadyExists(err) {
				err = moved{} // somebody made it just now
			}
		} else {
			out, err = n.updateOnce(ctx, k, n.show(found), last, info, validate, dryRun)
		}
		var again moved
		if !errors.As(err, &again) {
			return out, found == nil && err == nil, err
		}
	}
	return nil, false, apierrors.NewConflict(n.resource(), name, errMoved)
}

func (n *notes) created(ctx context.Context, info rest.UpdatedObjectInfo, validate rest.ValidateObjectFunc, opts *metav1.UpdateOptions) (runtime.Object, error) {
	obj, err := info.UpdatedObject(ctx, n.New())
	if err != nil {
		return nil, err
	}
	return n.Create(ctx, obj, validate, &metav1.CreateOptions{DryRun: opts.DryRun, FieldManager: opts.FieldManager})
}

func (n *notes) updateOnce(ctx context.Context, k events.Key, old events.Object, last events.Seq, info rest.UpdatedObjectInfo,
	validate rest.ValidateObjectUpdateFunc, dryRun bool) (runtime.Object, error) {
	next, err := n.updated(ctx, old, info, validate)
	if err != nil {
		return nil, err
	}
	named := next.GetResourceVersion() != ""
	next.SetUID(old.GetUID())
	next.SetCreationTimestamp(old.GetCreationTimestamp())
	next.SetDeletionTimestamp(old.GetDeletionTimestamp())
	next.SetDeletionGracePeriodSeconds(old.GetDeletionGracePeriodSeconds())
	next.SetResourceVersion(old.GetResourceVersion())
	if err := n.accepted(ctx, next, old); err != nil {
		return nil, err
	}
	if equality.Semantic.DeepEqual(old, next) || dryRun {
		return next, nil
	}
	if next.GetDeletionTimestamp() != nil && len(next.GetFinalizers()) == 0 {
		_, err = n.book.put(ctx, k, nil, last) // what held it up is done
		return next, n.lost(err, k, named)
	}
	out, err := n.write(ctx, k, next, last)
	return out, n.lost(err, k, named)
}

// lost is a lost race, as the client knows it that had named a version.
func (n *notes) lost(err error, k events.Key, named bool) error {
	var again moved
	if errors.As(err, &again) && named {
		return apierrors.NewConflict(n.resource(), k.Name, errMoved)
	}
	return err
}
