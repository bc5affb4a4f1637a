// Package schema derives the OpenAPI documents from what the types already
// carry: shape from the Go structs, names and words from their methods, merge
// keys from their tags, list types from the merge schema (merge.yaml.gz, the one
// thing here that is generated).
package schema

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/openapiconv"
	"k8s.io/kube-openapi/pkg/validation/spec"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"

	"github.com/stave-run/stave/events"
)

// Documents serves /openapi/v2 and /openapi/v3. They are made at the first
// request for one.
type Documents struct {
	scheme *runtime.Scheme
	kinds  []events.Kind
	merge  func() (managedfields.TypeConverter, error)
	shape  func(events.Kind) *Shape
	serve  func() http.Handler
}

// Shape is what a definition says of the objects of a kind without a Go type.
type Shape struct {
	Schema   *spec.Schema // of one object, without what all objects have
	ListKind string
}

// New describes kinds. merge gives the types' merge schema, shape what has no type.
func New(scheme *runtime.Scheme, kinds []events.Kind, merge func() (managedfields.TypeConverter, error), shape func(events.Kind) *Shape) *Documents {
	d := &Documents{scheme: scheme, kinds: kinds, merge: merge, shape: shape}
	d.serve = sync.OnceValue(d.make)
	return d
}

// ServeHTTP implements http.Handler.
func (d *Documents) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.serve().ServeHTTP(w, r) }

func (d *Documents) make() http.Handler {
	lists, err := d.lists()
	if err != nil {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		})
	}
	mux := http.NewServeMux()
	handler.NewOpenAPIService(d.second(lists)).RegisterOpenAPIVersionedService("/openapi/v2", Paths{mux})
	v3 := handler3.NewOpenAPIService()
	for _, gv := range versions(d.kinds) {
		var of []events.Kind
		for _, k := range d.kinds {
			if k.GVK().GroupVersion() == gv {
				of = append(of, k)
			}
		}
		v3.UpdateGroupVersion(strings.TrimPrefix(root(gv), "/"), openapiconv.ConvertV2ToV3(d.document(of, lists)))
	}
	v3.RegisterOpenAPIV3VersionedService("/openapi/v3", Paths{mux})
	return mux
}

// Second is the whole document of version 2, made anew: whoever asks may add to it.
func (d *Documents) Second() (*spec.Swagger, error) {
	lists, err := d.lists()
	if err != nil {
		return nil, err
	}
	return d.second(lists), nil
}

func (d *Documents) second(lists *smd.Schema) *spec.Swagger {
	doc := d.document(d.kinds, lists)
	d.loosen(doc)
	return doc
}

// Paths is a mux as the services want one.
type Paths struct{ *http.ServeMux }

// Handle implements common.PathHandler.
func (p Paths) Handle(path string, h http.Handler) { p.ServeMux.Handle(path, h) }

// HandlePrefix implements common.PathHandlerByGroupVersion.
func (p Paths) HandlePrefix(path string, h http.Handler) { p.ServeMux.Handle(path, h) }

func versions(kinds []events.Kind) []schema.GroupVersion {
	var out []schema.GroupVersion
	seen := map[schema.GroupVersion]bool{}
	for _, k := range kinds {
		if gv := k.GVK().GroupVersion(); !seen[gv] {
			seen[gv] = true
			out = append(out, gv)
		}
	}
	return out
}

func root(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "/api/" + gv.Version
	}
	return "/apis/" + gv.String()
}

// document describes some kinds and all that they are made of.
func (d *Documents) document(kinds []events.Kind, lists *smd.Schema) *spec.Swagger {
	doc := &spec.Swagger{SwaggerProps: spec.SwaggerProps{Swagger: "2.0", Info: &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: "stave"}},
		Paths: &spec.Paths{Paths: map[string]spec.PathItem{}}, Definitions: spec.Definitions{}}}
	w := walker{defs: doc.Definitions, lists: lists}
	for _, k := range kinds {
		path := root(k.GVK().GroupVersion())
		if k.Namespaced {
			path += "/namespaces/{namespace}"
		}
		doc.Paths.Paths[path+"/"+k.Plural()+"/{name}"] = operations(k)
		if d.shape != nil && d.shape(k) != nil {
			w.custom(k, d.shape(k))
			continue
		}
		w.top(reflect.TypeOf(k.New()).Elem(), k.GVK())
		list := k.GVK()
		list.Kind += "List"
		if o, err := d.scheme.New(list); err == nil {
			w.top(reflect.TypeOf(o).Elem(), list)
		}
	}
	return doc
}

func (w walker) top(t reflect.Type, kind schema.GroupVersionKind) {
	name := w.define(t)
	def := w.defs[name]
	def.AddExtension("x-kubernetes-group-version-kind", []any{inWords(kind)})
	w.defs[name] = def
}

func inWords(g schema.GroupVersionKind) map[string]any {
	return map[string]any{"group": g.Group, "version": g.Version, "kind": g.Kind}
}

// operations says what clients look for: the kind behind a path, and that the
// server validates fields and knows dry runs.
func operations(k events.Kind) spec.PathItem {
	op := func(action string) *spec.Operation {
		o := &spec.Operation{}
		o.AddExtension("x-kubernetes-group-version-kind", inWords(k.GVK()))
		o.AddExtension("x-kubernetes-action", action)
		for _, p := range []string{"dryRun", "fieldManager", "fieldValidation", "force"} {
			o.Parameters = append(o.Parameters, spec.Parameter{ParamProps: spec.ParamProps{Name: p, In: "query"}, SimpleSchema: spec.SimpleSchema{Type: "string"}})
		}
		o.Responses = &spec.Responses{ResponsesProps: spec.ResponsesProps{StatusCodeResponses: map[int]spec.Response{http.StatusOK: {ResponseProps: spec.ResponseProps{Description: "OK"}}}}}
		return o
	}
	item := spec.PathItem{PathItemProps: spec.PathItemProps{Get: op("get")}}
	if !k.Derived {
		item.Put, item.Patch, item.Delete = op("put"), op("patch"), op("delete")
	}
	return item
}

// lists reads the merge schema through the only door that is exported: a typed
// value knows its schema.
func (d *Documents) lists() (*smd.Schema, error) {
	types, err := d.merge()
	if err != nil {
		return nil, fmt.Errorf("read merge schema: %w", err)
	}
	kind, _ := events.KindOf(events.ConfigMaps)
	o := kind.New()
	o.GetObjectKind().SetGroupVersionKind(kind.GVK())
	v, err := types.ObjectToTyped(o)
	if err != nil {
		return nil, fmt.Errorf("read merge schema: %w", err)
	}
	return v.Schema(), nil
}
