package kube

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// Delete implements rest.GracefulDeleter. What is gone at once is answered with
// a Status, what goes later with the object as it goes.
func (o *objects) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	k := o.key(ctx, name)
	old, ok, err := o.shown(ctx, o.Views.Durable(), k, o.Now())
	if err != nil {
		return nil, false, err
	}
	if !ok {
		return nil, false, apierrors.NewNotFound(o.resource(), name)
	}
	if validate != nil {
		if err := validate(ctx, old); err != nil {
			return nil, false, err
		}
	}
	if opts == nil {
		opts = &metav1.DeleteOptions{}
	}
	if row, ok := o.Views.Durable().Get(k); events.FollowsServices(k.Resource) && (!ok || row.UID != events.UID(old.GetUID())) {
		return o.remade(ctx, old, opts)
	}
	out, err := o.submit(ctx, change{key: k, dryRun: len(opts.DryRun) > 0, Request: deletion(k, opts)})
	if err != nil {
		return nil, false, asConflict(err, o, name)
	}
	if now, ok, err := o.shown(ctx, out.view, k, out.now); err != nil || ok && now.GetUID() == old.GetUID() && !o.leaves(ctx, out.view, k) {
		return now, false, err
	}
	gone := gvrOf(o.kind)
	return &metav1.Status{Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: name, Group: gone.Group, Kind: gone.Resource, UID: old.GetUID()}}, true, nil
}

// soon is how long a deletion waits at most for the end of what nothing keeps.
const soon = 30 * time.Second

// leaves waits until an object is gone that makes others and is asked to go in the
// background: Kubernetes has no such object any more when it answers.
func (o *objects) leaves(ctx context.Context, v projections.State, k events.Key) bool {
	row, ok := v.Get(k)
	if !ok || !events.Makes(k.Resource) || row.Deletion == nil || row.Deletion.Foreground || row.Deletion.Orphan || len(row.Keepers()) > 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, soon)
	defer cancel()
	for {
		var err error
		if v, err = o.Views.WaitDurable(ctx, v.Seq+1); err != nil {
			return false
		}
		if now, ok := v.Get(k); !ok || now.UID != row.UID {
			return true
		}
	}
}

// remade answers who deletes what follows from a service: Kubernetes' controllers make
// it again at once, and here it was never away.
func (o *objects) remade(ctx context.Context, old events.Object, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if p := opts.Preconditions; p != nil && (p.UID != nil && *p.UID != old.GetUID() || p.ResourceVersion != nil && *p.ResourceVersion != old.GetResourceVersion()) {
		return nil, false, apierrors.NewConflict(o.resource(), old.GetName(), words("Precondition failed"))
	}
	warning.AddWarning(ctx, "", "it follows from a service and its pods: it is there again")
	return old, false, nil
}

// asConflict is for changes that are not made again.
func asConflict(err error, o *objects, name string) error {
	if _, ok := err.(moved); ok {
		return apierrors.NewConflict(o.resource(), name, errMoved)
	}
	return err
}

// deletion is what the options ask of admission. A grace of no seconds means
// that nobody waits for the node.
func deletion(k events.Key, opts *metav1.DeleteOptions) admit.Request {
	r := admit.Request{ChangeRequest: wire.ChangeRequest{Operation: wire.Delete, Grace: opts.GracePeriodSeconds}, Item: wire.Item{Key: k}}
	r.Force = opts.GracePeriodSeconds != nil && *opts.GracePeriodSeconds == 0
	switch {
	case opts.PropagationPolicy != nil:
		r.Cascade = map[metav1.DeletionPropagation]string{metav1.DeletePropagationOrphan: "orphan", metav1.DeletePropagationForeground: "foreground",
			metav1.DeletePropagationBackground: "background"}[*opts.PropagationPolicy]
	case opts.OrphanDependents != nil: //nolint:staticcheck // old clients still say it so
		if r.Cascade = "background"; *opts.OrphanDependents { //nolint:staticcheck // as above
			r.Cascade = "orphan"
		}
	case k.Resource == events.Jobs || k.Resource == events.Controllers: // CronJobs never did
		r.Cascade = "orphan" // what v1 and batch/v1 have said from its beginning to who says nothing; kubectl says background
	}
	if p := opts.Preconditions; p != nil {
		r.Item.UID, r.Item.ResourceVersion = events.UID(value(p.UID)), string(value((*types.UID)(p.ResourceVersion)))
	}
	return r
}

func value(s *types.UID) types.UID {
	if s == nil {
		return ""
	}
	return *s
}

// DeleteCollection implements rest.CollectionDeleter: each by itself.
func (o *objects) DeleteCollection(ctx context.Context, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions, which *internalversion.ListOptions) (runtime.Object, error) {
	if which == nil {
		which = &internalversion.ListOptions{}
	}
	page, err := o.pageOf(ctx, which)
	if err != nil {
		return nil, err
	}
	items, _, err := o.collect(ctx, page, o.selection(ctx, which), int(which.Limit))
	if err != nil {
		return nil, err
	}
	for _, x := range items {
		_, _, err := o.Delete(request.WithNamespace(ctx, x.GetNamespace()), x.GetName(), validate, opts.DeepCopy())
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	list := o.NewList()
	fill(list, items)
	return list, nil
}
