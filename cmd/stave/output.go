package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/events"
)

// format is the value of -o: what is printed instead of a table.
type format string

// The formats without an argument; template.go has those with one.
const (
	formatTable format = ""
	formatWide  format = "wide"
	formatYAML  format = "yaml"
	formatJSON  format = "json"
	formatName  format = "name"
)

// Decode implements kong.MapperValue.
func (f *format) Decode(ctx *kong.DecodeContext) error {
	var v string
	if err := ctx.Scan.PopValueInto("format", &v); err != nil {
		return err
	}
	v = strings.TrimPrefix(v, "=")
	switch got := format(v); got {
	case formatWide, formatYAML, formatJSON, formatName:
		*f = got
		return nil
	}
	got, known, err := parseTemplate(v)
	if *f = got; known {
		return err
	}
	return fmt.Errorf("unable to match a printer suitable for the output format %q, allowed formats are: custom-columns,go-template,json,jsonpath,jsonpath-as-json,name,wide,yaml", v)
}

// dryRun is --dry-run: bare means client, as with kubectl.
type dryRun string

// dryRunClient and dryRunServer are its values; dryRunBare is the first one,
// said without a value.
const (
	dryRunClient dryRun = "client"
	dryRunServer dryRun = "server"
	dryRunBare          = "client-bare"
)

// settled warns about a bare --dry-run and gives its meaning.
func (d dryRun) settled(s *session) dryRun {
	if d != dryRunBare {
		return d
	}
	fmt.Fprintln(s.err, "Warning: --dry-run is deprecated and can be replaced with --dry-run=client.")
	return dryRunClient
}

// Decode implements kong.MapperValue.
func (d *dryRun) Decode(ctx *kong.DecodeContext) error {
	v := "bare"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		v = fmt.Sprint(ctx.Scan.Pop().Value)
	}
	switch v {
	case "none":
		v = ""
	case "bare":
		v = dryRunBare
	case "client", "server":
	default:
		return fmt.Errorf("invalid dry-run value %q: must be none, client or server", v)
	}
	*d = dryRun(v)
	return nil
}

// IsBool lets the flag stand without a value.
func (d *dryRun) IsBool() bool { return true }

// suffix is what result lines end in.
func (d dryRun) suffix() string {
	switch d {
	case "client":
		return " (dry run)"
	case "server":
		return " (server dry run)"
	}
	return ""
}

// printObjects prints objects in every format but tables. A single object that
// was asked for by name stands alone, others come in a List, as with kubectl.
func (s *session) printObjects(f format, objects []json.RawMessage, alone bool) error {
	if f == formatName {
		return s.printNames(objects)
	}
	if name, spec := f.template(); name == customColumns {
		return s.printColumns(spec, objects, false)
	}
	if alone {
		return s.printDocument(f, objects[0])
	}
	doc, err := listOf(objects)
	if err != nil {
		return err
	}
	return s.printDocument(f, doc)
}

func (s *session) printDocument(f format, doc json.RawMessage) error {
	switch {
	case f == formatJSON:
		var b bytes.Buffer
		if err := json.Indent(&b, doc, "", "    "); err != nil {
			return fmt.Errorf("indent object: %w", err)
		}
		fmt.Fprintln(s.out, b.String())
		return nil
	case f == formatYAML:
		y, err := yaml.JSONToYAML(doc)
		if err != nil {
			return fmt.Errorf("print yaml: %w", err)
		}
		_, err = s.out.Write(y)
		return err
	}
	switch name, arg := f.template(); name {
	case jsonPath, jsonPathJSON:
		return s.printPath(arg, doc, name == jsonPathJSON)
	case goTemplate:
		return s.printTemplate(arg, doc)
	}
	return fmt.Errorf("cannot print as %q", f)
}

func (s *session) printNames(objects []json.RawMessage) error {
	for _, raw := range objects {
		var scale autoscalingv1.Scale
		if json.Unmarshal(raw, &scale) == nil && scale.Kind == "Scale" && scale.APIVersion == "autoscaling/v1" {
			fmt.Fprintln(s.out, "scale.autoscaling/"+scale.Name)
			continue
		}
		k, err := identify(raw)
		if err != nil {
			return err
		}
		fmt.Fprintln(s.out, printedName(k))
	}
	return nil
}

func listOf(objects []json.RawMessage) (json.RawMessage, error) {
	if objects == nil {
		objects = []json.RawMessage{}
	}
	b, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "metadata": map[string]string{"resourceVersion": ""}, "items": objects})
	if err != nil {
		return nil, fmt.Errorf("encode list: %w", err)
	}
	return b, nil
}

// identify reads which object a document is.
func identify(raw json.RawMessage) (events.Key, error) {
	o, err := decodeObject(raw)
	if err != nil {
		return events.Key{}, err
	}
	kind, _ := kindFor(o.GetObjectKind().GroupVersionKind().GroupVersion().String(), o.GetObjectKind().GroupVersionKind().Kind)
	return events.Key{Resource: kind.Resource, Namespace: o.GetNamespace(), Name: o.GetName()}, nil
}

// decodeObject decodes a document into its type.
func decodeObject(raw json.RawMessage) (events.Object, error) {
	var t struct{ APIVersion, Kind string }
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	kind, ok := kindFor(t.APIVersion, t.Kind)
	if !ok {
		return nil, fmt.Errorf("decode object: unknown kind %s %s", t.APIVersion, t.Kind)
	}
	o := kind.New()
	if err := json.Unmarshal(raw, o); err != nil {
		return nil, fmt.Errorf("decode %s: %w", kind.Name, err)
	}
	return o, nil
}

func decodeAll(raw []json.RawMessage) ([]events.Object, error) {
	out := make([]events.Object, 0, len(raw))
	for _, r := range raw {
		o, err := decodeObject(r)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// readStdin reads all of standard input once, refusing a terminal by a hint.
func (s *session) readStdin() ([]byte, error) {
	if f, ok := s.in.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
			fmt.Fprintln(s.err, "reading manifests from the terminal; end with Ctrl-D")
		}
	}
	return readBounded(interruptible{s.in, s.done})
}

// interruptible reads from what cannot be interrupted. Nobody reads it again
// after done.
type interruptible struct {
	from io.Reader
	done <-chan struct{}
}

// Read implements io.Reader.
func (r interruptible) Read(b []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	read, own := make(chan result, 1), make([]byte, len(b))
	go func() {
		n, err := r.from.Read(own)
		read <- result{n, err}
	}()
	select {
	case got := <-read:
		return copy(b, own[:got.n]), got.err
	case <-r.done:
		return 0, context.Canceled
	}
}

var errTooLarge = errors.New("too large")
