package kube

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
)

// services is the storage of APIServices: of those that somebody wrote, for API servers beside this one, which are
// objects like all others, and of those that follow from what is served here, which are read alone.
type services struct{ *objects }

var _ rest.StandardStorage = &services{}

// own are those of what is served here, in the order of discovery.
func (s *services) own() []events.Object {
	var out []events.Object
	v := s.Views.Durable()
	for i, r := range s.ranks(v, append(served(), v.Kinds().Custom()...)) {
		if r.by != nil {
			continue
		}
		o := &apiregistrationv1.APIService{TypeMeta: metav1.TypeMeta{APIVersion: s.kind.APIVersion(), Kind: s.kind.Name}}
		o.Name = r.Version + "." + r.Group // the core's is "v1."
		o.UID, o.ResourceVersion, o.CreationTimestamp = types.UID(fmt.Sprintf("00000000-0000-8000-8000-%012x", i+1)), "1", metav1.NewTime(s.begun).Rfc3339Copy()
		o.Labels = map[string]string{"kube-aggregator.kubernetes.io/automanaged": "onstart"}
		o.Spec = apiregistrationv1.APIServiceSpec{Group: r.Group, Version: r.Version, GroupPriorityMinimum: r.group, VersionPriority: r.version}
		o.Status.Conditions = []apiregistrationv1.APIServiceCondition{{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue, LastTransitionTime: o.CreationTimestamp,
			Reason: "Local", Message: "Local APIServices are always available"}}
		out = append(out, o)
	}
	return out
}

func (s *services) ownNamed(name string) events.Object {
	for _, o := range s.own() {
		if o.GetName() == name {
			return o
		}
	}
	return nil
}

// priorities are Kubernetes' own of its groups.
var priorities = map[string]int32{"": 18000, "apiregistration.k8s.io": 20001, "apps": 17800, "events.k8s.io": 17750, "authentication.k8s.io": 17700, "authorization.k8s.io": 17600,
	"autoscaling": 17500, "batch": 17400, "certificates.k8s.io": 17300, "networking.k8s.io": 17200, "policy": 17100, "rbac.authorization.k8s.io": 17000, "storage.k8s.io": 16800,
	"apiextensions.k8s.io": 16700, "admissionregistration.k8s.io": 16700, "scheduling.k8s.io": 16600, "coordination.k8s.io": 16500, "node.k8s.io": 16300, "discovery.k8s.io": 16200,
	"flowcontrol.apiserver.k8s.io": 16100, "resource.k8s.io": 15900, "storagemigration.k8s.io": 15800, "metrics.k8s.io": 100}

// priorityOf are a group version's priorities; those of definitions are all alike, as in Kubernetes.
func priorityOf(gv schema.GroupVersion) (group, version int32) {
	if p, ok := priorities[gv.Group]; ok {
		return p, 15
	}
	return 1000, 100
}

// Get implements rest.Getter.
func (s *services) Get(ctx context.Context, name string, opts *metav1.GetOptions) (runtime.Object, error) {
	if o := s.ownNamed(name); o != nil {
		return o, nil
	}
	return s.objects.Get(ctx, name, opts)
}

// List implements rest.Lister. All are on the first page.
func (s *services) List(ctx context.Context, opts *internalversion.ListOptions) (runtime.Object, error) {
	list, err := s.objects.List(ctx, opts)
	if err != nil || opts != nil && opts.Continue != "" {
		return list, err
	}
	if opts == nil {
		opts = &internalversion.ListOptions{}
	}
	written, err := meta.ExtractList(list)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	want := s.selection(ctx, opts)
	var all []events.Object
	ours := map[string]bool{}
	for _, o := range s.own() {
		if ours[o.GetName()] = true; want.has(o) {
			all = append(all, o)
		}
	}
	for _, o := range written {
		if o, ok := o.(events.Object); ok && !ours[o.GetName()] { // a newer Stave serves what an older one did not
			all = append(all, o)
		}
	}
	fill(list, all)
	return list, nil
}

// Watch implements rest.Watcher. What is served here is told first, when what is there is wanted; no news come of it.
func (s *services) Watch(ctx context.Context, opts *internalversion.ListOptions) (watch.Interface, error) {
	w, err := s.objects.Watch(ctx, opts)
	if err != nil {
		return nil, err
	}
	whole := opts.SendInitialEvents != nil && *opts.SendInitialEvents || opts.SendInitialEvents == nil && (opts.ResourceVersion == "" || opts.ResourceVersion == "0")
	if !whole {
		return w, nil
	}
	want := s.selection(ctx, opts)
	out := &foretold{Interface: w, all: make(chan watch.Event)}
	go out.run(ctx, s.own(), want)
	return out, nil
}

// foretold is a watch that tells of some objects before all others.
type foretold struct {
	watch.Interface
	all chan watch.Event
}

// ResultChan implements watch.Interface.
func (f *foretold) ResultChan() <-chan watch.Event { return f.all }

func (f *foretold) run(ctx context.Context, first []events.Object, want selection) {
	defer close(f.all)
	tell := func(e watch.Event) bool {
		select {
		case f.all <- e:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for _, o := range first {
		if want.has(o) && !tell(watch.Event{Type: watch.Added, Object: o}) {
			return
		}
	}
	for e := range f.Interface.ResultChan() {
		if !tell(e) {
			return
		}
	}
}

// refusedOf is why what is served here is not written; nil when a name is another's.
func (s *services) refusedOf(name string) error {
	if s.ownNamed(name) == nil {
		return nil
	}
	return apierrors.NewForbidden(s.resource(), name, words(admit.WhyServed))
}

// Update implements rest.Updater.
func (s *services) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, validate rest.ValidateObjectUpdateFunc,
	orCreate bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	if err := s.refusedOf(name); err != nil {
		return nil, false, err
	}
	return s.objects.Update(ctx, name, info, create, validate, orCreate, opts)
}

// Delete implements rest.GracefulDeleter.
func (s *services) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if err := s.refusedOf(name); err != nil {
		return nil, false, err
	}
	return s.objects.Delete(ctx, name, validate, opts)
}
