// Command gen writes the merge schema of Stave's kinds, as package schema embeds
// it, from the ones of all kinds in client-go's apply configurations, of definitions and of APIServices. Run it by
// `go generate ./gateway/kube/schema` after adding a kind or a new client-go; its
// test fails when that was forgotten.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"slices"

	"go.yaml.in/yaml/v2"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	definitions "k8s.io/apiextensions-apiserver/pkg/client/applyconfiguration"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	services "k8s.io/kube-aggregator/pkg/client/applyconfiguration"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"

	"github.com/stave-run/stave/events"
)

func main() {
	out := flag.String("o", "merge.yaml.gz", "file to write")
	flag.Parse()
	b, err := generate()
	if err == nil {
		err = pack(*out, b)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate merge schema:", err)
		os.Exit(1)
	}
}

// pack writes a file compressed; the same content gives the same bytes.
func pack(path string, content []byte) error {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// generate is the schema of our kinds and of all that they are made of, by name.
func generate() ([]byte, error) {
	all, err := everything()
	if err != nil {
		return nil, err
	}
	p := picked{all: all, have: map[string]smd.TypeDef{}}
	for _, k := range slices.Concat(events.Kinds, events.OlderKinds, events.NoteKinds) {
		name, err := known.ToOpenAPIDefinitionName(k.GVK())
		if err == nil {
			err = p.pick(name)
		}
		if err != nil {
			return nil, fmt.Errorf("pick %s: %w", k.Resource, err)
		}
	}
	b, err := yaml.Marshal(smd.Schema{Types: p.types()})
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append([]byte("# Written by go generate from k8s.io/client-go/applyconfigurations; do not edit.\n"), b...), nil
}

// known are the types of client-go, of definitions, and of API servers beside this one.
var known = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(scheme.AddToScheme(s))
	utilruntime.Must(apiextensionsv1.AddToScheme(s))
	utilruntime.Must(apiregistrationv1.AddToScheme(s))
	return s
}()

// everything are the schemas of those, read through the only door that is exported: a
// typed value knows its schema.
func everything() (*smd.Schema, error) {
	pod, definition, service := &corev1.Pod{}, &apiextensionsv1.CustomResourceDefinition{}, &apiregistrationv1.APIService{}
	pod.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
	definition.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	service.SetGroupVersionKind(apiregistrationv1.SchemeGroupVersion.WithKind("APIService"))
	v, err := applyconfigurations.NewTypeConverter(known).ObjectToTyped(pod)
	if err != nil {
		return nil, fmt.Errorf("read client-go's schema: %w", err)
	}
	d, err := definitions.NewTypeConverter(known).ObjectToTyped(definition)
	if err != nil {
		return nil, fmt.Errorf("read the schema of definitions: %w", err)
	}
	a, err := services.NewTypeConverter(known).ObjectToTyped(service)
	if err != nil {
		return nil, fmt.Errorf("read the schema of API services: %w", err)
	}
	// Types of all are named alike and are the same.
	return &smd.Schema{Types: slices.Concat(d.Schema().Types, a.Schema().Types, v.Schema().Types)}, nil
}

// picked are the types that were taken over.
type picked struct {
	all  *smd.Schema
	have map[string]smd.TypeDef
}

// pick takes a type, and what it is made of.
func (p picked) pick(name string) error {
	if _, ok := p.have[name]; ok {
		return nil
	}
	def, ok := p.all.FindNamedType(name)
	if !ok {
		return fmt.Errorf("there is no type %s", name)
	}
	p.have[name] = def
	return p.atom(def.Atom)
}

func (p picked) atom(a smd.Atom) error {
	var refs []smd.TypeRef
	if a.List != nil {
		refs = append(refs, a.List.ElementType)
	}
	if a.Map != nil {
		refs = append(refs, a.Map.ElementType)
		for _, f := range a.Map.Fields {
			refs = append(refs, f.Type)
		}
	}
	for _, r := range refs {
		if r.NamedType != nil {
			if err := p.pick(*r.NamedType); err != nil {
				return err
			}
		}
		if err := p.atom(r.Inlined); err != nil {
			return err
		}
	}
	return nil
}

func (p picked) types() []smd.TypeDef {
	var out []smd.TypeDef
	for _, d := range p.have {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b smd.TypeDef) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}
