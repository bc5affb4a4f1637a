package schema

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/stave-run/stave/events"
)

// custom describes the objects of a definition, and their lists.
func (w walker) custom(k events.Kind, shape *Shape) {
	name := modelName(k)
	s := *shape.Schema
	s.Properties = map[string]spec.Schema{}
	for field, p := range shape.Schema.Properties { //stave:sorted each key is written once
		s.Properties[field] = p
	}
	w.typeMeta(&s)
	s.Properties["metadata"] = w.meta(reflect.TypeFor[metav1.ObjectMeta](), "Standard object's metadata.")
	s.Type = spec.StringOrArray{"object"}
	w.named(name, s, k.GVK().Kind, k)

	items := spec.ArrayProperty(spec.RefSchema("#/definitions/" + name))
	items.Description = "List of " + k.Plural() + "."
	list := spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}, Required: []string{"items"}, Description: k.Name + "List is a list of " + k.Name,
		Properties: map[string]spec.Schema{"items": *items, "metadata": w.meta(reflect.TypeFor[metav1.ListMeta](), "Standard list metadata.")}}}
	w.typeMeta(&list)
	w.named(name+"List", list, shape.ListKind, k)
}

// loosen makes the kinds of definitions in a document of version 2 what that version can say. Clients that read it as protobuf get
// nothing at all where it says more, and would refuse fields that a schema keeps without naming them. It is what Kubernetes does
// (apiextensions-apiserver, ToStructuralOpenAPIV2).
func (d *Documents) loosen(doc *spec.Swagger) {
	for _, k := range d.kinds {
		if d.shape == nil || d.shape(k) == nil {
			continue
		}
		name := modelName(k)
		if keepsUnknown(d.shape(k).Schema) {
			walker{defs: doc.Definitions}.named(name, spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}}}, k.Name, k)
			continue
		}
		doc.Definitions[name] = loose(doc.Definitions[name])
	}
}

func keepsUnknown(s *spec.Schema) bool {
	keeps, _ := s.Extensions.GetBool("x-kubernetes-preserve-unknown-fields")
	return keeps
}

// loose is a schema without what version 2 cannot say, down to its last field.
func loose(s spec.Schema) spec.Schema {
	s.AllOf, s.AnyOf, s.OneOf, s.Not = nil, nil, nil, nil
	keeps := keepsUnknown(&s)
	s.Required = slices.DeleteFunc(slices.Clone(s.Required), func(field string) bool { return s.Properties[field].Nullable })
	if s.Nullable || keeps {
		s.Items, s.Properties = nil, nil
	}
	if s.Nullable || keeps && s.Type.Contains("object") || s.Items == nil && s.Type.Contains("array") {
		s.Type = nil // kubectl cannot read these with one
	}
	s.Nullable = false
	fields := s.Properties
	s.Properties = nil
	for field, of := range fields { //stave:sorted each key is written once
		if s.Properties == nil {
			s.Properties = map[string]spec.Schema{}
		}
		s.Properties[field] = loose(of)
	}
	if s.Items != nil && s.Items.Schema != nil {
		of := loose(*s.Items.Schema)
		s.Items = &spec.SchemaOrArray{Schema: &of}
	}
	if more := s.AdditionalProperties; more != nil && more.Schema != nil {
		if more.Schema.Nullable {
			s.Required = nil
		}
		of := loose(*more.Schema)
		s.AdditionalProperties = &spec.SchemaOrBool{Allows: more.Allows, Schema: &of}
	}
	return s
}

// meta refers to a type of metadata, with words for it as Kubernetes has them.
func (w walker) meta(t reflect.Type, words string) spec.Schema {
	p := *spec.RefSchema("#/definitions/" + w.define(t))
	p.Description = words + " More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
	return p
}

func (w walker) typeMeta(s *spec.Schema) {
	words := wordsOf(reflect.TypeFor[metav1.TypeMeta]())
	for _, f := range []string{"apiVersion", "kind"} {
		p := *spec.StringProperty()
		p.Description = words[f]
		s.Properties[f] = p
	}
}

func (w walker) named(name string, s spec.Schema, kind string, k events.Kind) {
	gvk := k.GVK()
	gvk.Kind = kind
	s.Extensions = maps.Clone(s.Extensions) // that unknown fields are kept, for one: whoever applies is told by it
	s.AddExtension("x-kubernetes-group-version-kind", []any{inWords(gvk)})
	w.defs[name] = s
}

// modelName is how OpenAPI names a kind of a definition: "com.example.v1.Widget".
func modelName(k events.Kind) string {
	parts := strings.Split(k.Group, ".")
	slices.Reverse(parts)
	return strings.Join(append(parts, k.Version, k.Name), ".")
}

// Models describes kinds of definitions and all that they are made of, for
// server-side applies. types is the merge schema of our own types.
func Models(scheme *runtime.Scheme, kinds []events.Kind, types managedfields.TypeConverter, shape func(events.Kind) *Shape) (map[string]*spec.Schema, error) {
	d := &Documents{scheme: scheme, kinds: kinds, shape: shape, merge: func() (managedfields.TypeConverter, error) { return types, nil }}
	lists, err := d.lists()
	if err != nil {
		return nil, err
	}
	out := map[string]*spec.Schema{}
	for name, s := range d.document(kinds, lists).Definitions { //stave:sorted each key is written once
		out[name] = &s
	}
	return out, nil
}
