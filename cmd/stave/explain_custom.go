package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// schemaOf is what the definition of a kind says of its objects, in the version of the kind.
func schemaOf(ctx context.Context, s *session, kind events.Kind) (shape, error) {
	k := events.DefinitionKey(kind.Resource)
	reply, err := s.read(ctx, wire.ReadRequest{Resource: k.Resource, Names: []string{k.Name}})
	if err != nil {
		return nil, err
	}
	if len(reply.Objects) == 0 {
		return nil, notFound(k)
	}
	var d apiextensionsv1.CustomResourceDefinition
	if err := json.Unmarshal(reply.Objects[0], &d); err != nil {
		return nil, fmt.Errorf("read the definition of %s: %w", kind.Resource, err)
	}
	for _, v := range d.Spec.Versions {
		if v.Name == kind.Version && v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
			return schemed{v.Schema.OpenAPIV3Schema, true}, nil
		}
	}
	return nil, fmt.Errorf("the definition of %s has no schema for version %s", kind.Resource, kind.Version)
}

// schemed is the shape that a schema describes.
type schemed struct {
	*apiextensionsv1.JSONSchemaProps
	whole bool // of an object, and not of a part of it
}

// about is the description, and which values there may be.
func (x schemed) about() string {
	if len(x.Enum) == 0 {
		return x.Description
	}
	var values []string
	for _, v := range x.Enum {
		values = append(values, strings.Trim(string(v.Raw), `"`))
	}
	return strings.TrimSpace(x.Description + "\nenum: " + strings.Join(values, ", "))
}

// called is what kubectl calls such a field.
func (x schemed) called() string {
	switch {
	case x.XIntOrString:
		return "IntOrString"
	case x.Items != nil && x.Items.Schema != nil:
		return "[]" + schemed{x.Items.Schema, false}.called()
	case x.Type == "object" && x.AdditionalProperties != nil && x.AdditionalProperties.Schema != nil:
		return "map[string]" + schemed{x.AdditionalProperties.Schema, false}.called()
	case x.Type == "" || x.Type == "object":
		return "Object"
	}
	return x.Type
}

// fields are those of an object, also of one in a list or a map. What every object has stands in no definition.
func (x schemed) fields() []field {
	switch {
	case x.Items != nil && x.Items.Schema != nil:
		return schemed{x.Items.Schema, false}.fields()
	case x.AdditionalProperties != nil && x.AdditionalProperties.Schema != nil:
		return schemed{x.AdditionalProperties.Schema, false}.fields()
	}
	var out []field
	for name := range x.Properties {
		p := x.Properties[name]
		out = append(out, field{name, schemed{&p, false}.about(), slices.Contains(x.Required, name), schemed{&p, false}})
	}
	if x.whole {
		out = slices.DeleteFunc(out, func(f field) bool { return f.name == "metadata" || f.name == "apiVersion" || f.name == "kind" })
		out = append(out, fieldsOf(reflect.TypeFor[metav1.PartialObjectMetadata]())...)
	}
	return out
}
