package kube

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/endpoints/handlers"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/custom"
	kubeschema "github.com/stave-run/stave/gateway/kube/schema"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/projections"
)

// customPatches are the patches that objects of definitions take: nobody knows how
// their lists merge, so none is strategic.
var customPatches = []string{"application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"}

// customs keeps the handlers of definitions, one set an edition of one.
type customs struct {
	mu   sync.Mutex
	kept map[events.UID]*customKept
}

type customKept struct {
	raw  []byte
	once sync.Once
	made *verbs
	err  error
}

// customVerbs are the handlers of a resource that a definition makes; nil when there
// is none that is served.
func (s *Server) customVerbs(gvr schema.GroupVersionResource) (*verbs, error) {
	v := s.Views.Durable()
	r := events.Resource(gvr.Resource + "." + gvr.Group)
	row, ok := v.Definition(r)
	if !ok || s.Schemas == nil {
		return nil, nil
	}
	if kind, ok := v.KindOf(r); !ok || !kind.Custom() {
		return nil, nil
	}
	k := s.customs.of(row, func() iter.Seq[*projections.Object] { return v.List(events.Definitions, "") })
	k.once.Do(func() { k.made, k.err = s.newCustomVerbs(row, kindsOf(v, r)) })
	return k.made, k.err
}

// of is what is kept of a definition. With one that is new, those go that are no longer among all that there are.
func (c *customs) of(row *projections.Object, all func() iter.Seq[*projections.Object]) *customKept {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.kept[row.UID]
	if ok && bytes.Equal(k.raw, row.Raw) {
		return k
	}
	there := map[events.UID]*customKept{}
	for o := range all() {
		if old := c.kept[o.UID]; old != nil {
			there[o.UID] = old
		}
	}
	k = &customKept{raw: row.Raw}
	c.kept, there[row.UID] = there, k
	return k
}

// kindsOf are the kinds of a custom resource, one a served version.
func kindsOf(v projections.State, r events.Resource) []events.Kind {
	var out []events.Kind
	for _, k := range v.Kinds().Custom() {
		if k.Resource == r {
			out = append(out, k)
		}
	}
	return out
}

func (s *Server) newCustomVerbs(row *projections.Object, kinds []events.Kind) (*verbs, error) {
	d, err := s.Schemas.Of(row)
	if err != nil {
		return nil, err
	}
	ours, err := s.verbs()
	if err != nil {
		return nil, err
	}
	models, err := kubeschema.Models(s.scheme, kinds, ours.types, shapesOf(d))
	if err != nil {
		return nil, err
	}
	types, err := managedfields.NewTypeConverter(models, false)
	if err != nil {
		return nil, fmt.Errorf("read schemas of %s: %w", row.Key.Name, err)
	}
	v := &verbs{server: s, types: types, all: map[verbKey]http.Handler{}, known: map[verbKey]bool{}}
	for _, k := range kinds {
		if err := v.addCustom(k, d); err != nil {
			return nil, fmt.Errorf("serve %s: %w", k.Resource, err)
		}
	}
	return v, nil
}

// shapesOf describes the objects of a definition by their version.
func shapesOf(d *custom.Definition) func(events.Kind) *kubeschema.Shape {
	return func(k events.Kind) *kubeschema.Shape {
		v, ok := d.Versions[k.Version]
		if !ok {
			return nil
		}
		return &kubeschema.Shape{Schema: v.Schema.ToKubeOpenAPI(), ListKind: d.Spec.Names.ListKind}
	}
}

func (v *verbs) addCustom(k events.Kind, d *custom.Definition) error {
	of := &objects{Server: v.server, kind: k, definition: d}
	scope, err := v.customScope(of, k.GVK(), "")
	if err != nil {
		return err
	}
	of.fields = scope.FieldManager
	v.serve(k, of, scope, customPatches)
	version := d.Versions[k.Version]
	if version.HasStatus() {
		part := &objects{Server: v.server, kind: k, definition: d, part: statusPart, fields: of.fields}
		scope, err := v.customScope(part, k.GVK(), statusPart)
		if err != nil {
			return err
		}
		v.set(k, statusPart, "get", handlers.GetResource(part, scope))
		v.updates(k, statusPart, part, scope)
		v.patches(k, statusPart, part, scope, customPatches)
	}
	if version.Scale() == nil {
		return nil
	}
	scale := scale{of}
	scope, err = v.scope(k, autoscalingv1.SchemeGroupVersion.WithKind("Scale"), "scale", scale, managedfields.NewDeducedTypeConverter())
	if err != nil {
		return err
	}
	v.set(k, "scale", "get", handlers.GetResource(scale, scope))
	v.updates(k, "scale", scale, scope)
	v.patches(k, "scale", scale, scope, customPatches)
	return nil
}

// customScope is scope for objects without a Go type.
func (v *verbs) customScope(of *objects, kind schema.GroupVersionKind, sub string) (*handlers.RequestScope, error) {
	c := coder{of}
	var typer runtime.ObjectTyper = c
	converting := converter{c}
	managers, err := managedfields.NewDefaultCRDFieldManager(v.types, converting, c, c, kind, kind.GroupVersion(), sub, of.customIgnored())
	if err != nil {
		return nil, fmt.Errorf("make field manager: %w", err)
	}
	return &handlers.RequestScope{
		Namer:      handlers.ContextBasedNaming{Namer: meta.NewAccessor(), ClusterScoped: !of.kind.Namespaced},
		Serializer: newCustomSerializer(c), ParameterCodec: runtime.NewParameterCodec(v.server.scheme),
		Creater: c, Convertor: converting, Defaulter: c, Typer: typer, UnsafeConvertor: converting,
		Authorizer:               policy.Rights(v.server.Views.Durable),
		EquivalentResourceMapper: runtime.NewEquivalentResourceRegistry(),
		TableConvertor:           of, FieldManager: managers,
		Resource: gvrOf(of.kind), Kind: kind, Subresource: sub,
		MetaGroupVersion: metav1.SchemeGroupVersion, HubGroupVersion: kind.GroupVersion(), MaxRequestBodyBytes: maxBody,
	}, nil
}

// customIgnored is ignored for an object of a definition: its status has a door of
// its own only when the definition says so.
func (o *objects) customIgnored() map[fieldpath.APIVersion]fieldpath.Filter {
	var paths []fieldpath.Path
	switch {
	case o.part == statusPart:
		paths = append(paths, fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec"))
	case o.definition.HasStatus(o.kind.Version):
		paths = append(paths, fieldpath.MakePathOrDie("status"))
	default:
		return nil
	}
	return fieldpath.NewExcludeFilterSetMap(map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(o.kind.APIVersion()): fieldpath.NewSet(paths...)})
}

// bring brings objects of a definition into the version of this storage, with the
// defaults that they have by now. A webhook is asked once about all that it has to convert.
func (o *objects) bring(ctx context.Context, found ...events.Object) error {
	if o.definition == nil {
		return nil
	}
	all := make([]*unstructured.Unstructured, 0, len(found))
	for _, x := range found {
		if u, ok := x.(*unstructured.Unstructured); ok {
			all = append(all, u)
		}
	}
	return o.definition.Bring(ctx, o.Converter, all, o.kind.Version)
}

// stale tells whether an object is kept in another version than it would be by now: to
// write it anew as it is brings it there.
func (o *objects) stale(v projections.State, k events.Key) bool {
	row, ok := v.Get(k)
	return ok && o.definition != nil && o.part == "" && row.Typed().GetObjectKind().GroupVersionKind().Version != o.definition.Storage
}

// customScale is the scale of an object whose definition says where replicas are.
func (o *objects) customScale(u *unstructured.Unstructured) (*autoscalingv1.Scale, error) {
	at := o.definition.Versions[o.kind.Version].Scale()
	out, _ := scale{}.New().(*autoscalingv1.Scale)
	out.ObjectMeta = metav1.ObjectMeta{Name: u.GetName(), Namespace: u.GetNamespace(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion(), CreationTimestamp: u.GetCreationTimestamp()}
	number := func(path string) int32 {
		n, _, _ := unstructured.NestedInt64(u.Object, strings.Split(strings.TrimPrefix(path, "."), ".")...) // validation has seen it
		return int32(n)                                                                                     //nolint:gosec // and bounds it
	}
	out.Spec.Replicas, out.Status.Replicas = number(at.SpecReplicasPath), number(at.StatusReplicasPath)
	if at.LabelSelectorPath != nil {
		out.Status.Selector, _, _ = unstructured.NestedString(u.Object, strings.Split(strings.TrimPrefix(*at.LabelSelectorPath, "."), ".")...)
	}
	return out, nil
}
