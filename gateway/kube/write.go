package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// writeTries bounds how often a change is made again from a newer object, when
// its client named no version. Each try waits for what came in between.
const writeTries = 50

// nameTries bounds how often a name is generated anew because it is taken.
const nameTries = 8

// Create implements rest.Creater. The handler has written the managers already.
func (o *objects) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, opts *metav1.CreateOptions) (runtime.Object, error) {
	next, ok := obj.(events.Object)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a %s object: %T", o.kind.Name, obj))
	}
	if validate != nil {
		if err := validate(ctx, obj.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	raw, managed, err := body(next, o.bodyPart())
	if err != nil {
		return nil, err
	}
	c := change{key: o.key(ctx, next.GetName()), dryRun: len(opts.DryRun) > 0, may: o.escalating(ctx, nil, next),
		Request: admit.Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Create}, Item: wire.Item{Object: raw}, Managed: managed}}
	var out outcome
	for range nameTries {
		out, err = o.submit(ctx, c)
		if next.GetName() != "" || !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	found, err := o.result(ctx, out, next)
	if c.dryRun && err == nil {
		found.SetResourceVersion("") // nothing has that version
	}
	return found, err
}

// result is the object as it is after a change. One that is gone already is
// told as it was asked for.
func (o *objects) result(ctx context.Context, out outcome, asked events.Object) (events.Object, error) {
	if found, ok, err := o.shown(ctx, out.view, out.Result.Key, out.now); ok || err != nil {
		return found, err
	}
	asked.SetName(out.Result.Key.Name)
	asked.SetResourceVersion(events.At(out.Result.Seq, 0).String())
	return asked, nil
}

// bodyPart is which part of an object goes to admission. Whether a status is a part
// of what a definition makes, admission knows.
func (o *objects) bodyPart() string {
	if o.definition != nil {
		return statusPart
	}
	return o.part
}

// body is an object as admission reads it, and its managers apart. Its status is
// read by the subresource alone, which reads nothing else.
func body(o events.Object, part string) (object, managed json.RawMessage, err error) {
	managed = json.RawMessage("[]")
	if m := o.GetManagedFields(); len(m) > 0 {
		managed = events.MustBody(m)
	}
	c, ok := o.DeepCopyObject().(events.Object)
	if !ok {
		return nil, nil, apierrors.NewInternalError(fmt.Errorf("copy %T: not an object", o))
	}
	c.SetManagedFields(nil)
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest("encode object: " + err.Error())
	}
	if !bytes.Contains(raw, []byte(`"status"`)) || writesStatus(part) {
		return raw, managed, nil // as most objects are that people create many of: ConfigMaps, Secrets
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, nil, apierrors.NewBadRequest("encode object: " + err.Error())
	}
	delete(fields, "status")
	return events.MustBody(fields), managed, nil
}

// Update implements rest.Updater: PUT, and every patch. info makes the new
// object of the old one; when somebody else was faster and the client named no
// version, it makes another one of what is there then.
func (o *objects) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, validate rest.ValidateObjectUpdateFunc,
	orCreate bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	view := o.Views.Durable()
	for range writeTries {
		out, made, err := o.updateOnce(ctx, view, name, info, create, validate, orCreate, opts)
		var again moved
		if !errors.As(err, &again) {
			return out, made, err
		}
		if view, err = o.Views.WaitDurable(ctx, again.seq); err != nil {
			return nil, false, apierrors.NewTimeoutError("the request did not complete within the allotted timeout", 0)
		}
	}
	return nil, false, apierrors.NewConflict(o.resource(), name, errMoved)
}

func (o *objects) updateOnce(ctx context.Context, view projections.State, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc,
	validate rest.ValidateObjectUpdateFunc, orCreate bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	k := o.key(ctx, name)
	old, ok, err := o.shown(ctx, view, k, o.Now())
	if err != nil {
		return nil, false, err
	}
	if !ok && orCreate && o.part == "" {
		obj, err := info.UpdatedObject(ctx, o.New())
		if err != nil {
			return nil, false, err
		}
		out, err := o.Create(ctx, obj, create, &metav1.CreateOptions{DryRun: opts.DryRun, FieldManager: opts.FieldManager})
		if apierrors.IsAlreadyExists(err) {
			err = moved{o.Views.Durable().Seq} // somebody made it just now
		}
		return out, err == nil, err
	}
	if !ok {
		return nil, false, apierrors.NewNotFound(o.resource(), name)
	}
	next, err := o.updated(ctx, old, info, validate)
	if err != nil {
		return nil, false, err
	}
	if equality.Semantic.DeepEqual(old, next) && !o.stale(view, k) {
		return old, false, nil
	}
	return o.replace(ctx, view, k, old, next, len(opts.DryRun) > 0)
}

// anyVersion is what clients of Kubernetes call an object that they write whatever it became meanwhile.
const anyVersion = "0"

// updated is the new object, if it may be one of the old.
func (o *objects) updated(ctx context.Context, old events.Object, info rest.UpdatedObjectInfo, validate rest.ValidateObjectUpdateFunc) (events.Object, error) {
	obj, err := info.UpdatedObject(ctx, old.DeepCopyObject())
	if err != nil {
		return nil, err
	}
	next, ok := obj.(events.Object)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a %s object: %T", o.kind.Name, obj))
	}
	if next.GetResourceVersion() == anyVersion {
		next.SetResourceVersion("")
	}
	if version := next.GetResourceVersion(); version != "" && version != old.GetResourceVersion() {
		return nil, apierrors.NewConflict(o.resource(), old.GetName(), errMoved)
	}
	if uid := next.GetUID(); uid != "" && uid != old.GetUID() {
		return nil, apierrors.NewConflict(o.resource(), old.GetName(), words(fmt.Sprintf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, old.GetUID())))
	}
	if next.GetName() != old.GetName() || next.GetNamespace() != old.GetNamespace() {
		return nil, apierrors.NewBadRequest("the name of the object (" + next.GetName() + ") does not match the name on the URL (" + old.GetName() + ")")
	}
	if validate != nil {
		if err := validate(ctx, obj.DeepCopyObject(), old); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// replace puts next in the place of old, or its status alone, if what it was made
// from is still as it was in view.
func (o *objects) replace(ctx context.Context, view projections.State, k events.Key, old, next events.Object, dryRun bool) (runtime.Object, bool, error) {
	row, ok := view.Get(k)
	switch {
	case view.Follows(k):
		return nil, false, apierrors.NewForbidden(o.resource(), k.Name, admit.WhyFollows(k))
	case !ok:
		return nil, false, apierrors.NewNotFound(o.resource(), k.Name)
	}
	sent, ok := next.DeepCopyObject().(events.Object)
	if !ok {
		return nil, false, apierrors.NewInternalError(fmt.Errorf("copy %T: not an object", next))
	}
	sent.SetResourceVersion("") // the row is asked instead
	raw, managed, err := body(sent, o.bodyPart())
	if err != nil {
		return nil, false, err
	}
	out, err := o.submit(ctx, change{key: k, dryRun: dryRun, may: o.escalating(ctx, old, next),
		still: func(v projections.State) bool {
			now, ok := v.Get(k)
			return ok && now.UID == row.UID && o.unmoved(row, now)
		},
		Request: admit.Request{ChangeRequest: wire.ChangeRequest{Operation: o.operation()}, Item: wire.Item{Object: raw}, Managed: managed, Part: o.part}})
	if err != nil {
		return nil, false, err
	}
	found, err := o.result(ctx, out, next)
	if dryRun && err == nil && !writesStatus(o.part) {
		keepStatus(old, found)
		found.SetResourceVersion(old.GetResourceVersion())
	}
	return found, false, err
}

// keepStatus leaves the status of what was only tried as it is: what controllers
// would make of the change is not the client's question, and `kubectl diff`
// would show it.
func keepStatus(old, tried runtime.Object) {
	was, is := reflect.ValueOf(old).Elem().FieldByName("Status"), reflect.ValueOf(tried).Elem().FieldByName("Status")
	if was.IsValid() && is.IsValid() {
		is.Set(was)
	}
}
