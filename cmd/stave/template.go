package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"

	"k8s.io/client-go/util/jsonpath"

	"github.com/stave-run/stave/projections/table"
)

// The formats that carry an argument behind "=".
const (
	jsonPath      = "jsonpath"
	jsonPathJSON  = "jsonpath-as-json"
	goTemplate    = "go-template"
	customColumns = "custom-columns"
)

// withArgument are the formats that need an argument; each but jsonpath-as-json
// has a sibling whose argument is a file.
var withArgument = []string{jsonPath, jsonPathJSON, goTemplate, customColumns}

// parseTemplate reads a format that carries an argument; a file is read at once.
func parseTemplate(v string) (format, bool, error) {
	name, arg, has := strings.Cut(v, "=")
	base, file := strings.CutSuffix(name, "-file")
	if !slices.Contains(withArgument, base) || file && base == jsonPathJSON {
		return "", false, nil
	}
	if !has || arg == "" {
		return "", true, fmt.Errorf("template format specified but no template given\nhelp: -o %s=TEMPLATE", name)
	}
	if file {
		b, err := os.ReadFile(arg)
		if err != nil {
			return "", true, fmt.Errorf("read template: %w", err)
		}
		arg = strings.TrimSpace(string(b))
	}
	return format(base + "=" + arg), true, nil
}

// template splits a format into its name and its argument.
func (f format) template() (name, arg string) {
	name, arg, _ = strings.Cut(string(f), "=")
	return name, arg
}

func (s *session) printPath(text string, doc json.RawMessage, asJSON bool) error {
	p := jsonpath.New("out").AllowMissingKeys(true)
	p.EnableJSONOutput(asJSON)
	if err := p.Parse(relaxed(text)); err != nil {
		return fmt.Errorf("parse jsonpath %q: %w", text, err)
	}
	v, err := decodeAny(doc)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := p.Execute(&b, v); err != nil {
		return fmt.Errorf("evaluate jsonpath %q: %w", text, err)
	}
	_, err = s.out.Write(b.Bytes())
	return err
}

func (s *session) printTemplate(text string, doc json.RawMessage) error {
	t, err := template.New("out").Parse(text)
	if err != nil {
		return fmt.Errorf("parse go-template %q: %w", text, err)
	}
	v, err := decodeAny(doc)
	if err != nil {
		return err
	}
	if err := t.Execute(s.out, v); err != nil {
		return fmt.Errorf("evaluate go-template: %w", err)
	}
	return nil
}

func decodeAny(doc json.RawMessage) (any, error) {
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	return v, nil
}

// relaxed accepts what kubectl accepts: "x.y", ".x.y" and "{.x.y}".
func relaxed(text string) string {
	if strings.Contains(text, "{") {
		return text
	}
	return "{." + strings.TrimPrefix(text, ".") + "}"
}

// printColumns prints the columns of "NAME:.metadata.name,IP:.status.podIP", a
// row an object.
func (s *session) printColumns(spec string, objects []json.RawMessage, noHeaders bool) error {
	var t table.Table
	var paths []string
	for _, part := range strings.Split(spec, ",") {
		name, path, ok := strings.Cut(part, ":")
		if !ok || path == "" {
			return fmt.Errorf("unexpected custom-columns spec: %s, expected <header>:<json-path-expr>", part)
		}
		t.Columns, paths = append(t.Columns, table.Column{Name: name}), append(paths, relaxed(path))
	}
	for _, raw := range objects {
		v, err := decodeAny(raw)
		if err != nil {
			return err
		}
		row := table.Row{}
		for _, p := range paths {
			cell, err := pathText(p, v)
			if err != nil {
				return err
			}
			row.Cells = append(row.Cells, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	_, err := fmt.Fprint(s.out, table.Print(t, table.Options{NoHeaders: noHeaders}))
	return err
}

// pathText is what a path finds in an object, apart by commas; "<none>" for nothing.
func pathText(path string, v any) (string, error) {
	p := jsonpath.New("out").AllowMissingKeys(true)
	if err := p.Parse(path); err != nil {
		return "", fmt.Errorf("parse jsonpath %q: %w", path, err)
	}
	found, err := p.FindResults(v)
	if err != nil {
		return "", fmt.Errorf("evaluate jsonpath %q: %w", path, err)
	}
	var out []string
	for _, values := range found {
		for _, x := range values {
			out = append(out, fmt.Sprint(x.Interface()))
		}
	}
	if len(out) == 0 {
		return "<none>", nil
	}
	return strings.Join(out, ","), nil
}

// sortBy orders objects by what a path finds in them: numbers as numbers, the
// rest as text.
func sortBy(path string, objects []json.RawMessage) error {
	type keyed struct {
		text   string
		number float64
		isNum  bool
		raw    json.RawMessage
	}
	rows := make([]keyed, 0, len(objects))
	for _, raw := range objects {
		v, err := decodeAny(raw)
		if err != nil {
			return err
		}
		k := keyed{raw: raw}
		if k.text, err = pathText(relaxed(path), v); err != nil {
			return err
		}
		_, bad := fmt.Sscan(k.text, &k.number)
		k.isNum = bad == nil && fmt.Sprint(k.number) == k.text
		rows = append(rows, k)
	}
	slices.SortStableFunc(rows, func(a, b keyed) int {
		if a.isNum && b.isNum && a.number != b.number {
			if a.number < b.number {
				return -1
			}
			return 1
		}
		return strings.Compare(a.text, b.text)
	})
	for i := range rows {
		objects[i] = rows[i].raw
	}
	return nil
}
