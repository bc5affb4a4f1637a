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
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"k8s.io/apiserver/pkg/registry/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/table"
)

// serviceKind says which groups and versions are served. All of them are served
// here, none by somebody else, so they are read alone.
var serviceKind = events.Kind{Resource: "apiservices.apiregistration.k8s.io", Group: apiregistrationv1.GroupName, Version: "v1", Name: "APIService", Singular: "apiservice", Derived: true,
	New: func() events.Object { return &apiregistrationv1.APIService{} }}

// services is the storage of what is served.
type services struct{ *objects }

var (
	_ rest.Getter = &services{}
	_ rest.Lister = &services{}
)

func (v *verbs) addServices() error {
	s := &services{&objects{Server: v.server, kind: serviceKind}}
	scope, err := v.scope(serviceKind, serviceKind.GVK(), "", s, managedfields.NewDeducedTypeConverter())
	if err != nil {
		return fmt.Errorf("serve %s: %w", serviceKind.Resource, err)
	}
	v.set(serviceKind, "", "get", handlers.GetResource(s, scope))
	v.set(serviceKind, "", "list", handlers.ListResource(s, nil, scope, false, watchTime))
	return nil
}

// every is what is served, the core first.
func (s *services) every() []events.Object {
	var out []events.Object
	for i, gv := range versionsOf(append(served(), s.Views.Durable().Kinds().Custom()...)) {
		o := &apiregistrationv1.APIService{TypeMeta: metav1.TypeMeta{APIVersion: serviceKind.APIVersion(), Kind: serviceKind.Name}}
		o.Name = gv.Version + "." + gv.Group // the core's is "v1."
		o.UID, o.ResourceVersion, o.CreationTimestamp = types.UID(fmt.Sprintf("00000000-0000-8000-8000-%012x", i+1)), "1", metav1.NewTime(s.begun).Rfc3339Copy()
		o.Labels = map[string]string{"kube-aggregator.kubernetes.io/automanaged": "onstart"}
		o.Spec = apiregistrationv1.APIServiceSpec{Group: gv.Group, Version: gv.Version, GroupPriorityMinimum: priorityOf(gv), VersionPriority: 1}
		o.Status.Conditions = []apiregistrationv1.APIServiceCondition{{Type: apiregistrationv1.Available, Status: apiregistrationv1.ConditionTrue, LastTransitionTime: o.CreationTimestamp,
			Reason: "Local", Message: "Local APIServices are always available"}}
		out = append(out, o)
	}
	return out
}

// priorityOf is Kubernetes' order of groups, as far as clients look at it.
func priorityOf(gv schema.GroupVersion) int32 {
	const core, others = 18000, 17000
	if gv.Group == "" {
		return core
	}
	return others
}

// Get implements rest.Getter.
func (s *services) Get(_ context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	for _, o := range s.every() {
		if o.GetName() == name {
			return o, nil
		}
	}
	return nil, apierrors.NewNotFound(s.resource(), name)
}

// List implements rest.Lister.
func (s *services) List(ctx context.Context, opts *internalversion.ListOptions) (runtime.Object, error) {
	if opts == nil {
		opts = &internalversion.ListOptions{}
	}
	want := s.selection(ctx, opts)
	var found []events.Object
	for _, o := range s.every() {
		if want.has(o) {
			found = append(found, o)
		}
	}
	list := s.NewList()
	fill(list, found)
	m, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	m.SetResourceVersion("1")
	return list, nil
}

// ConvertToTable implements rest.TableConvertor.
func (s *services) ConvertToTable(_ context.Context, obj, opts runtime.Object) (*metav1.Table, error) {
	return tableOf(obj, opts, func(found []events.Object) table.Table {
		t := table.Table{Columns: []table.Column{{Name: "NAME"}, {Name: "SERVICE"}, {Name: "AVAILABLE"}, {Name: "AGE"}}}
		for _, o := range found {
			t.Rows = append(t.Rows, table.Row{Cells: []string{o.GetName(), "Local", "True", table.AgeOf(o, s.Now())}})
		}
		return t
	})
}
