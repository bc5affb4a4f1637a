package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
)

// explainCmd is `stave explain`. It tells what the Go types of Kubernetes' API
// tell, or the schema of a definition; docs/coverage.md says which of the fields Stave honours.
type explainCmd struct {
	Recursive bool   `help:"All fields below, by name and type."`
	MaxDepth  int    `help:"With --recursive: how deep." default:"5" placeholder:"N"`
	What      string `arg:"" help:"TYPE, or TYPE.FIELD.FIELD."`
}

// Help implements kong's detailed help.
func (explainCmd) Help() string {
	return `Examples:
  stave explain pod
  stave explain deployment.spec.strategy
  stave explain pods.spec.containers --recursive`
}

// documented are Kubernetes' types: their fields' texts by their names in
// manifests, and their own under "".
type documented interface{ SwaggerDoc() map[string]string }

// shape is what a field holds.
type shape interface {
	called() string // <string>, <[]Container>
	about() string
	fields() []field // none of what is written as one value
}

// field is one field of a shape.
type field struct {
	name     string // in manifests
	text     string
	required bool
	shape
}

// Run finds the field and prints what there is to know of it.
func (c *explainCmd) Run(ctx context.Context, s *session) error {
	steps := strings.Split(strings.Trim(c.What, "."), ".")
	kind, err := kindNamed(steps[0])
	if err != nil {
		return err
	}
	var of shape
	if kind.Custom() {
		of, err = schemaOf(ctx, s, kind)
	} else {
		of = goType{reflect.TypeOf(kind.New()).Elem()}
	}
	if err != nil {
		return err
	}
	at := field{shape: of}
	for _, step := range steps[1:] {
		fields := at.fields()
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == step })
		if i < 0 {
			return fmt.Errorf("field %q does not exist%s", step, didYouMean(step, namesOf(fields)))
		}
		at = fields[i]
	}
	return c.print(s, kind, at)
}

func (c *explainCmd) print(s *session, kind events.Kind, at field) error {
	if c.MaxDepth < 1 {
		return errors.New("--max-depth must be 1 or more")
	}
	if kind.Group != "" {
		fmt.Fprintf(s.out, "GROUP:      %s\n", kind.Group)
	}
	fmt.Fprintf(s.out, "KIND:       %s\nVERSION:    %s\n\n", kind.Name, kind.Version)
	if at.name != "" {
		fmt.Fprintf(s.out, "FIELD: %s <%s>\n\n", at.name, at.called())
	}
	text := at.text
	if own := at.about(); own != "" && own != text {
		text = strings.TrimSpace(text + "\n" + own)
	}
	if text == "" {
		text = "<empty>"
	}
	fmt.Fprintf(s.out, "DESCRIPTION:\n%s\n", wrapped(text, "    ", s.width))
	fields := at.fields()
	if len(fields) == 0 {
		return nil
	}
	fmt.Fprintln(s.out, "FIELDS:")
	c.fields(s, fields, "  ", c.MaxDepth)
	return nil
}

func (c *explainCmd) fields(s *session, fields []field, in string, depth int) {
	slices.SortStableFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	for _, f := range fields {
		required := ""
		if f.required {
			required = " -required-"
		}
		fmt.Fprintf(s.out, "%s%s\t<%s>%s\n", in, f.name, f.called(), required)
		switch {
		case !c.Recursive:
			fmt.Fprintln(s.out, wrapped(cmp.Or(f.text, "<no description>"), in+"  ", s.width))
		case depth > 1:
			c.fields(s, f.fields(), in+"  ", depth-1)
		}
	}
}

// goType is the shape of a Go type.
type goType struct{ t reflect.Type }

func (x goType) called() string  { return typeName(x.t) }
func (x goType) about() string   { return docOf(element(x.t))[""] }
func (x goType) fields() []field { return fieldsOf(element(x.t)) }

// fieldsOf are a type's fields in the order of its declaration, those of
// embedded types among them. Quantities and times are no structs to people.
func fieldsOf(t reflect.Type) []field {
	if t.Kind() != reflect.Struct || scalar(t) != "" {
		return nil
	}
	docs := docOf(t)
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous:
			out = append(out, fieldsOf(f.Type)...)
		case name != "" && name != "-":
			required := !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") && f.Type.Kind() != reflect.Struct
			out = append(out, field{name, docs[name], required, goType{f.Type}})
		}
	}
	return out
}

func docOf(t reflect.Type) map[string]string {
	if d, ok := reflect.New(t).Interface().(documented); ok {
		return d.SwaggerDoc()
	}
	return nil
}

// element is the type that a field's path goes on in: behind pointers, lists and maps.
func element(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

// scalar is how a type that is written as one value is called, "" for others.
func scalar(t reflect.Type) string {
	switch t.String() {
	case "resource.Quantity":
		return "Quantity"
	case "intstr.IntOrString":
		return "IntOrString"
	case "v1.Time", "v1.MicroTime":
		return "string"
	case "v1.FieldsV1":
		return "Object"
	}
	return ""
}

// typeName is what kubectl calls a type: <string>, <[]Container>, <map[string]string>.
func typeName(t reflect.Type) string {
	if name := scalar(t); name != "" {
		return name
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeName(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string"
		}
		return "[]" + typeName(t.Elem())
	case reflect.Map:
		return "map[string]" + typeName(t.Elem())
	case reflect.Struct:
		return t.Name()
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Float32, reflect.Float64:
		return "number"
	}
	return "integer"
}

func namesOf(fields []field) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.name)
	}
	return out
}

// wrapped breaks a text into lines that fit the terminal.
func wrapped(text, in string, width int) string {
	var b strings.Builder
	for paragraph := range strings.Lines(text) {
		line := in
		for _, w := range strings.Fields(paragraph) {
			if line != in && len(line)+len(w) >= width {
				b.WriteString(strings.TrimRight(line, " ") + "\n")
				line = in
			}
			line += w + " "
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
