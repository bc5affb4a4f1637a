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

// loosen takes the fields of those kinds out of a document of version 2 that keep fields which their schema does not name:
// that version cannot say so, and clients would refuse all others. Kubernetes does the same.
func (d *Documents) loosen(doc *spec.Swagger) {
	for _, k := range d.kinds {
		if d.shape == nil || d.shape(k) == nil {
			continue
		}
		if keeps, _ := d.shape(k).Schema.Extensions.GetBool("x-kubernetes-preserve-unknown-fields"); keeps {
			walker{defs: doc.Definitions}.named(modelName(k), spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}}}, k.Name, k)
		}
	}
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
