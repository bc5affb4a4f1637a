package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
)

// explainCmd is `stave explain`. It tells what the Go types of Kubernetes' API
// tell; docs/coverage.md says which of the fields Stave honours.
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

// Run finds the field and prints what there is to know of it.
func (c *explainCmd) Run(s *session) error {
	steps := strings.Split(strings.Trim(c.What, "."), ".")
	kind, err := kindNamed(steps[0])
	if err != nil {
		return err
	}
	if kind.Custom() {
		return fmt.Errorf("what a %s may hold stands in its definition\nhelp: stave get crd %s -o yaml, or kubectl explain %s", kind.Name, kind.Resource, c.What)
	}
	t := reflect.TypeOf(kind.New()).Elem()
	var at field
	for _, step := range steps[1:] {
		fields := fieldsOf(t)
		i := indexOf(fields, step)
		if i < 0 {
			return fmt.Errorf("field %q does not exist%s", step, didYouMean(step, namesOf(fields)))
		}
		at, t = fields[i], element(fields[i].t)
	}
	return c.print(s, kind, at, t)
}

func (c *explainCmd) print(s *session, kind events.Kind, at field, t reflect.Type) error {
	if c.MaxDepth < 1 {
		return errors.New("--max-depth must be 1 or more")
	}
	if kind.Group != "" {
		fmt.Fprintf(s.out, "GROUP:      %s\n", kind.Group)
	}
	fmt.Fprintf(s.out, "KIND:       %s\nVERSION:    %s\n\n", kind.Name, kind.Version)
	if at.name != "" {
		fmt.Fprintf(s.out, "FIELD: %s <%s>\n\n", at.name, typeName(at.t))
	}
	text := at.text
	if own := docOf(t)[""]; own != "" && own != text {
		text = strings.TrimSpace(text + "\n" + own)
	}
	fmt.Fprintf(s.out, "DESCRIPTION:\n%s\n", wrapped(text, "    ", s.width))
	fields := fieldsOf(t)
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
		fmt.Fprintf(s.out, "%s%s\t<%s>%s\n", in, f.name, typeName(f.t), required)
		switch {
		case !c.Recursive:
			fmt.Fprintln(s.out, wrapped(f.text, in+"  ", s.width))
		case depth > 1:
			c.fields(s, fieldsOf(element(f.t)), in+"  ", depth-1)
		}
	}
}

// field is one field of a type.
type field struct {
	name     string // in manifests
	text     string
	required bool
	t        reflect.Type
}

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
			out = append(out, field{name, docs[name], required, f.Type})
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

func indexOf(fields []field, name string) int {
	for i, f := range fields {
		if f.name == name {
			return i
		}
	}
	return -1
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
