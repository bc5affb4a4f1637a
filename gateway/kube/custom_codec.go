package kube

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/versioning"
)

// coder makes, names, converts and defaults the objects of one version of a
// definition; what else travels with them has a Go type.
type coder struct{ of *objects }

var (
	_ runtime.ObjectCreater   = coder{}
	_ runtime.ObjectTyper     = coder{}
	_ runtime.ObjectConvertor = coder{}
	_ runtime.ObjectDefaulter = coder{}
)

// New implements runtime.ObjectCreater.
func (c coder) New(kind schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(kind)
	return u, nil
}

// ObjectKinds implements runtime.ObjectTyper.
func (c coder) ObjectKinds(o runtime.Object) ([]schema.GroupVersionKind, bool, error) {
	if _, ok := o.(runtime.Unstructured); !ok {
		return c.of.scheme.ObjectKinds(o)
	}
	gvk := o.GetObjectKind().GroupVersionKind()
	if gvk.Kind == "" {
		return nil, false, runtime.NewMissingKindErr("unstructured object has no kind")
	}
	if gvk.Version == "" {
		return nil, false, runtime.NewMissingVersionErr("unstructured object has no version")
	}
	return []schema.GroupVersionKind{gvk}, false, nil
}

// Recognizes implements runtime.ObjectTyper.
func (c coder) Recognizes(gvk schema.GroupVersionKind) bool {
	return c.of.scheme.Recognizes(gvk) || gvk.Kind != "" && gvk.Version != ""
}

// Convert implements runtime.ObjectConvertor: out becomes what in is.
func (c coder) Convert(in, out, _ any) error {
	from, ok := in.(*unstructured.Unstructured)
	to, is := out.(*unstructured.Unstructured)
	if !ok || !is {
		return fmt.Errorf("convert %T to %T: only objects of definitions", in, out)
	}
	gvk := to.GroupVersionKind()
	to.Object = from.DeepCopy().Object
	if gvk.Version != "" && gvk.Group == c.of.kind.Group {
		to.SetAPIVersion(gvk.GroupVersion().String())
	}
	return nil
}

// ConvertToVersion implements runtime.ObjectConvertor: versions differ by their names.
func (c coder) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok {
		return in, nil
	}
	gvk, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{u.GroupVersionKind()})
	if !ok {
		return nil, fmt.Errorf("convert %s: %v is none of its versions", u.GroupVersionKind(), target)
	}
	if gvk == u.GroupVersionKind() {
		return u, nil
	}
	out := u.DeepCopy()
	out.SetGroupVersionKind(gvk)
	return out, nil
}

// converter is a coder that brings objects into other versions as their definition
// says; what a client sent is refused in another version than that of its request.
type converter struct{ coder }

// ConvertToVersion implements runtime.ObjectConvertor.
func (c converter) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok || !c.of.definition.Converts() {
		return c.coder.ConvertToVersion(in, target)
	}
	gvk, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{u.GroupVersionKind()})
	if !ok || gvk == u.GroupVersionKind() {
		return c.coder.ConvertToVersion(in, target)
	}
	out := u.DeepCopy()
	return out, c.of.definition.Bring(context.Background(), c.of.Converter, []*unstructured.Unstructured{out}, gvk.Version) // whoever asks has no context to give
}

// ConvertFieldLabel implements runtime.ObjectConvertor: which fields can be selected on.
func (c coder) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	if !slices.Contains(c.of.Views.Durable().SelectableFields(c.of.kind.Resource), label) {
		return "", "", fmt.Errorf("field label not supported: %s", label)
	}
	return label, value, nil
}

// Default implements runtime.ObjectDefaulter.
func (c coder) Default(o runtime.Object) {
	if u, ok := o.(*unstructured.Unstructured); ok && c.mine(u) {
		_, _ = c.of.definition.Shape(u) // what cannot be read is refused where it is decoded
		return
	}
	c.of.scheme.Default(o)
}

func (c coder) mine(u *unstructured.Unstructured) bool {
	gvk := u.GroupVersionKind()
	return gvk.Group == c.of.kind.Group && gvk.Kind == c.of.kind.Name
}

// customSerializer reads and writes the objects of one version of a definition, as
// JSON and YAML.
type customSerializer struct {
	coder
	forms []runtime.SerializerInfo
}

func newCustomSerializer(c coder) customSerializer {
	form := func(o json.SerializerOptions) runtime.Serializer {
		return json.NewSerializerWithOptions(json.DefaultMetaFactory, c, c, o)
	}
	return customSerializer{c, []runtime.SerializerInfo{
		{MediaType: "application/json", MediaTypeType: "application", MediaTypeSubType: "json", EncodesAsText: true,
			Serializer: form(json.SerializerOptions{StreamingCollectionsEncoding: true}), PrettySerializer: form(json.SerializerOptions{Pretty: true}),
			StrictSerializer: form(json.SerializerOptions{Strict: true, StreamingCollectionsEncoding: true}),
			StreamSerializer: &runtime.StreamSerializerInfo{EncodesAsText: true, Serializer: form(json.SerializerOptions{}), Framer: json.Framer}},
		{MediaType: "application/yaml", MediaTypeType: "application", MediaTypeSubType: "yaml", EncodesAsText: true,
			Serializer: form(json.SerializerOptions{Yaml: true}), StrictSerializer: form(json.SerializerOptions{Yaml: true, Strict: true})},
	}}
}

// SupportedMediaTypes implements runtime.NegotiatedSerializer.
func (s customSerializer) SupportedMediaTypes() []runtime.SerializerInfo { return s.forms }

// EncoderForVersion implements runtime.NegotiatedSerializer.
func (s customSerializer) EncoderForVersion(e runtime.Encoder, gv runtime.GroupVersioner) runtime.Encoder {
	return versioning.NewCodec(e, nil, s.coder, s.coder, s.coder, s.coder, gv, nil, "definitions")
}

// DecoderToVersion implements runtime.NegotiatedSerializer.
func (s customSerializer) DecoderToVersion(d runtime.Decoder, gv runtime.GroupVersioner) runtime.Decoder {
	strict := false
	if form, ok := d.(*json.Serializer); ok {
		strict = form.IsStrict()
	}
	return versioning.NewCodec(nil, shaping{d, s.coder, strict}, s.coder, s.coder, s.coder, nil, nil, gv, "definitions")
}

// shaping decodes an object and holds it to its schema: what the schema does not
// know goes, and is a mistake for whoever asked for strictness.
type shaping struct {
	runtime.Decoder
	coder
	strict bool
}

// Decode implements runtime.Decoder.
func (d shaping) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	o, gvk, err := d.Decoder.Decode(data, defaults, into)
	var wrong []error
	if err != nil {
		bad, ok := runtime.AsStrictDecodingError(err)
		if !ok || o == nil {
			return nil, gvk, err
		}
		wrong = bad.Errors()
	}
	if u, ok := o.(*unstructured.Unstructured); ok && d.mine(u) {
		unknown, err := d.of.definition.Shape(u)
		if err != nil {
			return nil, gvk, err
		}
		for _, f := range unknown {
			wrong = append(wrong, fmt.Errorf("unknown field %q", f))
		}
	}
	if d.strict && len(wrong) > 0 {
		return o, gvk, runtime.NewStrictDecodingError(wrong)
	}
	return o, gvk, nil
}
