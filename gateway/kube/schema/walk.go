package schema

import (
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kube-openapi/pkg/validation/spec"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
)

// walker goes through Go types and defines what it meets.
type walker struct {
	defs  spec.Definitions
	lists *smd.Schema
}

// What types say of themselves.
type (
	named  interface{ OpenAPIModelName() string }
	worded interface{ SwaggerDoc() map[string]string }
	scalar interface {
		OpenAPISchemaType() []string
		OpenAPISchemaFormat() string
	}
)

// define describes a struct and gives its name.
func (w walker) define(t reflect.Type) string {
	v := reflect.New(t).Interface()
	name := strings.ReplaceAll(t.PkgPath(), "/", ".") + "." + t.Name()
	if n, ok := v.(named); ok {
		name = n.OpenAPIModelName()
	}
	if _, done := w.defs[name]; done {
		return name
	}
	s := spec.Schema{}
	w.defs[name] = s // a type that holds itself is met again
	if sc, ok := v.(scalar); ok {
		s.Type, s.Format = sc.OpenAPISchemaType(), sc.OpenAPISchemaFormat()
	} else {
		s.Type = spec.StringOrArray{"object"}
	}
	words := wordsOf(t)
	s.Description = words[""]
	if t.Kind() == reflect.Struct && len(s.Type) > 0 && s.Type[0] == "object" {
		w.fields(t, &s, words, w.merges(name))
	}
	w.defs[name] = s
	return name
}

func wordsOf(t reflect.Type) map[string]string {
	if d, ok := reflect.New(t).Interface().(worded); ok {
		return d.SwaggerDoc()
	}
	return map[string]string{}
}

// merges is how a type's fields merge.
func (w walker) merges(name string) map[string]smd.StructField {
	out := map[string]smd.StructField{}
	if d, ok := w.lists.FindNamedType(name); ok && d.Map != nil {
		for _, f := range d.Map.Fields {
			out[f.Name] = f
		}
	}
	return out
}

func (w walker) fields(t reflect.Type, s *spec.Schema, words map[string]string, merge map[string]smd.StructField) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous:
			w.fields(f.Type, s, wordsOf(f.Type), merge)
		default:
			w.field(f, name, s, words[name], merge[name])
			if !strings.Contains(opts, "omit") && f.Type.Kind() != reflect.Pointer {
				s.Required = append(s.Required, name)
			}
		}
	}
}

func (w walker) field(f reflect.StructField, name string, s *spec.Schema, words string, merge smd.StructField) {
	p := w.schema(f.Type)
	if words != "" {
		p.Description = words // beside a $ref in v2; the converter makes an allOf of it in v3
	}
	for key, tag := range map[string]string{"x-kubernetes-patch-strategy": "patchStrategy", "x-kubernetes-patch-merge-key": "patchMergeKey"} {
		if v := f.Tag.Get(tag); v != "" {
			p.AddExtension(key, v)
		}
	}
	if m := merge.Type.Inlined.Map; m != nil && m.ElementRelationship == smd.Atomic {
		p.AddExtension("x-kubernetes-map-type", "atomic")
	}
	if l := merge.Type.Inlined.List; l != nil {
		listOf(&p, l)
	}
	if merge.Default != nil {
		p.Default = merge.Default
	}
	if s.Properties == nil {
		s.Properties = map[string]spec.Schema{}
	}
	s.Properties[name] = p
}

func listOf(p *spec.Schema, l *smd.List) {
	switch {
	case l.ElementRelationship == smd.Atomic:
		p.AddExtension("x-kubernetes-list-type", "atomic")
	case len(l.Keys) == 0:
		p.AddExtension("x-kubernetes-list-type", "set")
	default:
		keys := []any{}
		for _, k := range l.Keys {
			keys = append(keys, k)
		}
		p.AddExtension("x-kubernetes-list-type", "map")
		p.AddExtension("x-kubernetes-list-map-keys", keys)
	}
}

// Types that are not what their Go kind says.
var (
	bytes     = reflect.TypeFor[[]byte]()
	anyObject = []reflect.Type{reflect.TypeFor[runtime.RawExtension](), reflect.TypeFor[metav1.FieldsV1]()}
)

func (w walker) schema(t reflect.Type) spec.Schema {
	if t == bytes {
		return *spec.StrFmtProperty("byte")
	}
	for _, o := range anyObject {
		if t == o {
			return spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}}}
		}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.schema(t.Elem())
	case reflect.Struct:
		return *spec.RefSchema("#/definitions/" + w.define(t))
	case reflect.Slice:
		e := w.schema(t.Elem())
		return *spec.ArrayProperty(&e)
	case reflect.Map:
		e := w.schema(t.Elem())
		return *spec.MapProperty(&e)
	case reflect.Bool:
		return *spec.BooleanProperty()
	case reflect.Int64, reflect.Uint64:
		return *spec.Int64Property()
	case reflect.Int32, reflect.Int, reflect.Uint32, reflect.Int16, reflect.Uint16, reflect.Int8, reflect.Uint8:
		return *spec.Int32Property()
	case reflect.Float32, reflect.Float64:
		return *spec.Float64Property()
	}
	return *spec.StringProperty()
}
