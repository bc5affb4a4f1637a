package kube

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
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
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/projections"
)

// services is the storage of APIServices: of those that somebody wrote, which are objects like all others, and of those
// that follow from what is served here. Each of these stands until somebody writes one of its name, and comes back after it:
// what is served here is served here all the same.
type services struct{ *objects }

// automanaged is the label of those that follow from what is served here, as Kubernetes has it.
const automanaged = "kube-aggregator.kubernetes.io/automanaged"

var _ rest.StandardStorage = &services{}

// own are those of what is served here and that nobody wrote, in the order of discovery.
func (s *services) own() []events.Object {
	var out []events.Object
	v := s.Views.Durable()
	for i, r := range s.ranks(v, append(served(), v.Kinds().Custom()...)) {
		if _, written := v.Get(events.Key{Resource: events.APIServices, Name: r.Version + "." + r.Group}); r.by != nil || written {
			continue
		}
		o := &apiregistrationv1.APIService{TypeMeta: metav1.TypeMeta{APIVersion: s.kind.APIVersion(), Kind: s.kind.Name}}
		o.Name = r.Version + "." + r.Group // the core's is "v1."
		o.UID, o.ResourceVersion, o.CreationTimestamp = types.UID(fmt.Sprintf("00000000-0000-8000-8000-%012x", i+1)), "1", metav1.NewTime(s.begun).Rfc3339Copy()
		o.Labels = map[string]string{automanaged: "onstart"}
		o.Spec = apiregistrationv1.APIServiceSpec{Group: r.Group, Version: r.Version, GroupPriorityMinimum: r.group, VersionPriority: r.version}
		o.Status = projections.LocalAPI(s.begun)
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
	there := map[string]bool{}
	for _, o := range written {
		if o, ok := o.(events.Object); ok {
			there[o.GetName()] = true
			all = append(all, o)
		}
	}
	for _, o := range s.own() {
		if !there[o.GetName()] && want.has(o) { // it may have been written in between
			all = append(all, o)
		}
	}
	fill(list, all)
	return list, nil
}

// Watch implements rest.Watcher. What is served here is told first, when what is there is wanted, and again when one that
// somebody wrote for it is gone.
func (s *services) Watch(ctx context.Context, opts *internalversion.ListOptions) (watch.Interface, error) {
	w, err := s.objects.Watch(ctx, opts)
	if err != nil {
		return nil, err
	}
	var first []events.Object
	if opts.SendInitialEvents != nil && *opts.SendInitialEvents || opts.SendInitialEvents == nil && (opts.ResourceVersion == "" || opts.ResourceVersion == "0") {
		first = s.own()
	}
	out := &foretold{Interface: w, all: make(chan watch.Event), want: s.selection(ctx, opts), again: s.ownNamed}
	go out.run(ctx, first)
	return out, nil
}

// foretold is a watch that tells of some objects before all others.
type foretold struct {
	watch.Interface
	all   chan watch.Event
	want  selection
	again func(name string) events.Object // what stands in the place of one that is gone; nil when nothing does
}

// ResultChan implements watch.Interface.
func (f *foretold) ResultChan() <-chan watch.Event { return f.all }

func (f *foretold) run(ctx context.Context, first []events.Object) {
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
		if f.want.has(o) && !tell(watch.Event{Type: watch.Added, Object: o}) {
			return
		}
	}
	for e := range f.Interface.ResultChan() {
		if !tell(e) {
			return
		}
		if o := f.after(e); o != nil && !tell(watch.Event{Type: watch.Added, Object: o}) {
			return
		}
	}
}

// after is what stands in the place of the object that an event ended; nil when nothing does.
func (f *foretold) after(e watch.Event) events.Object {
	gone, ok := e.Object.(*edition)
	if e.Type != watch.Deleted || !ok {
		return nil
	}
	o := f.again(gone.object.GetName())
	if o == nil || !f.want.has(o) {
		return nil
	}
	o.SetResourceVersion(gone.object.GetResourceVersion()) // where a client goes on from
	return o
}

// Create implements rest.Creater. In Kubernetes each group that it serves has one; a metrics server brings its own.
func (s *services) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, opts *metav1.CreateOptions) (runtime.Object, error) {
	o, ok := obj.(*apiregistrationv1.APIService)
	if ok && o.Spec.Group != metricsv1beta1.GroupName && s.ownNamed(o.Name) != nil {
		return nil, apierrors.NewAlreadyExists(s.resource(), o.Name)
	}
	return s.objects.Create(ctx, obj, validate, opts)
}

// Update implements rest.Updater. Of one that follows from what is served here, it writes the first.
func (s *services) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, validate rest.ValidateObjectUpdateFunc,
	orCreate bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	own := s.ownNamed(name)
	if own == nil || orCreate {
		return s.objects.Update(ctx, name, info, create, validate, orCreate, opts)
	}
	next, err := s.updated(ctx, own, info, validate)
	if err != nil || equality.Semantic.DeepEqual(own, next) {
		return own, false, err
	}
	next.SetUID("")
	next.SetResourceVersion("")
	next.SetCreationTimestamp(metav1.Time{})
	labels := next.GetLabels()
	delete(labels, automanaged)
	next.SetLabels(labels)
	out, err := s.objects.Create(ctx, next, create, &metav1.CreateOptions{DryRun: opts.DryRun, FieldManager: opts.FieldManager})
	return out, false, err
}

// Delete implements rest.GracefulDeleter.
func (s *services) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, opts *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if s.ownNamed(name) != nil {
		return nil, false, apierrors.NewForbidden(s.resource(), name, words(admit.WhyServed))
	}
	return s.objects.Delete(ctx, name, validate, opts)
}
