package manifest

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// shape is what a struct's JSON looks like.
type shape struct {
	names []string // in the order of the type
	types map[string]reflect.Type
}

// shapes are those of all types that were asked about so far. Reflection is slow, and what a type looks like never changes:
// a new map takes the place of the one before, and who loses a race for that has to find it out once more.
var shapes atomic.Pointer[map[reflect.Type]*shape]

func shapeOf(t reflect.Type) *shape {
	var known map[reflect.Type]*shape
	if all := shapes.Load(); all != nil {
		known = *all
	}
	if s, ok := known[t]; ok {
		return s
	}
	s := &shape{types: map[string]reflect.Type{}}
	s.fill(t)
	more := maps.Clone(known)
	if more == nil {
		more = map[reflect.Type]*shape{}
	}
	more[t] = s
	shapes.Store(&more)
	return s
}

func (s *shape) fill(t reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && (f.Anonymous || strings.Contains(options, "inline")):
			s.fill(deref(f.Type))
		case name != "":
			s.names = append(s.names, name)
			s.types[name] = f.Type
		}
	}
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// check holds what was written to the object's type: every field known, in its
// place, once, and of its type. It also wants a name.
func (d *decoder) check(n *node, object events.Object, kind events.Kind) {
	before := len(d.all)
	if kind.Custom() {
		d.custom(n)
	} else {
		d.value(n, reflect.TypeOf(object), "")
	}
	for _, p := range d.all[before:] {
		if p.Field == "name" || strings.HasPrefix(p.Field, "metadata") {
			return // why there is no name is said already
		}
	}
	meta := n.get("metadata")
	if meta != nil && meta.kind == mapping && (meta.str("name") != "" || meta.str("generateName") != "") {
		return
	}
	d.add(n.locate("metadata"), "metadata.name", "add name: below metadata:", "missing: a %s has a name", kind.Name)
}

// custom checks an object of a definition: what metadata is everybody knows, of the
// rest only that nothing stands there twice.
func (d *decoder) custom(n *node) {
	for _, e := range n.fields {
		if e.key == "metadata" {
			d.value(e.value, reflect.TypeFor[metav1.ObjectMeta](), e.key)
			continue
		}
		d.once(e.value, e.key)
	}
	d.twice(n, "")
}

// once reports what is written twice in a value of whatever type.
func (d *decoder) once(n *node, path string) {
	d.twice(n, path)
	for _, e := range n.fields {
		d.once(e.value, child(path, e.key))
	}
	for i, v := range n.items {
		d.once(v, element(path, i))
	}
}

func (d *decoder) twice(n *node, path string) {
	for _, e := range n.again {
		first, _ := n.find(e.key)
		d.add(e.at, child(path, e.key), "keep one of them", "written twice, first at line %d", first.at.line)
	}
}

// value checks one value against its type.
func (d *decoder) value(n *node, t reflect.Type, path string) {
	if n.kind == null {
		return // Kubernetes reads it as "not set"
	}
	d.twice(n, path)
	t = deref(t)
	if reflect.PointerTo(t).Implements(unmarshaler) {
		d.special(n, t, path)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		if d.want(n, mapping, path) {
			d.fields(n, t, path)
		}
	case reflect.Map:
		if d.want(n, mapping, path) {
			for _, e := range n.fields {
				d.value(e.value, t.Elem(), child(path, e.key))
			}
		}
	case reflect.Slice:
		d.list(n, t, path)
	case reflect.String:
		d.want(n, text, path)
	case reflect.Bool:
		d.want(n, boolean, path)
	case reflect.Float32, reflect.Float64:
		d.want(n, number, path)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.integer(n, t, path)
	}
}

func (d *decoder) list(n *node, t reflect.Type, path string) {
	if t.Elem().Kind() == reflect.Uint8 {
		if d.want(n, text, path) {
			if _, err := base64.StdEncoding.DecodeString(n.text); err != nil {
				d.add(n.at, path, "encode it with base64", "not base64: %v", err)
			}
		}
		return
	}
	if d.want(n, sequence, path) {
		for i, v := range n.items {
			if v.kind == null {
				d.add(v.at, element(path, i), "remove the dash or write the element", "an empty element")
			}
			d.value(v, t.Elem(), element(path, i))
		}
	}
}

func (d *decoder) integer(n *node, t reflect.Type, path string) {
	if !d.want(n, number, path) {
		return
	}
	if _, err := strconv.ParseInt(n.text, 10, t.Bits()); err != nil {
		d.add(n.at, path, "", "wants a whole number of %d bits, this is %s", t.Bits(), n.text)
	}
}

// special checks a type that decodes itself: quantities, times, int-or-string.
func (d *decoder) special(n *node, t reflect.Type, path string) {
	if err := json.Unmarshal(n.json(nil), reflect.New(t).Interface()); err == nil {
		return
	}
	wants := map[string]string{
		"Quantity": "a quantity like 100m, 0.5, 64Mi or 1Gi", "IntOrString": "a whole number or a string",
		"Time": "a time like 2026-01-31T12:00:00Z", "MicroTime": "a time like 2026-01-31T12:00:00.000000Z",
	}[t.Name()]
	if wants == "" {
		wants = "a " + t.Name()
	}
	d.add(n.at, path, "", "wants %s, this is %s", wants, n.describe())
}

// want reports a value of another kind than the field has.
func (d *decoder) want(n *node, kind kindOf, path string) bool {
	if n.kind == kind {
		return true
	}
	d.add(n.at, path, n.rewrite(kind), "wants %s, this is %s", kindWords[kind], n.describe())
	return false
}

// describe is a value for a sentence: the string "80", the number 80, a list.
func (n *node) describe() string {
	const most = 40
	short := n.text
	if len(short) > most {
		short = strings.ToValidUTF8(short[:most], "") + "…"
	}
	switch n.kind {
	case text:
		return "the string " + strconv.Quote(short)
	case number:
		return "the number " + short
	case boolean:
		return short
	}
	return kindWords[n.kind]
}

// rewrite says how the value would be written as the kind that is wanted.
func (n *node) rewrite(kind kindOf) string {
	switch {
	case kind == text && (n.kind == number || n.kind == boolean):
		return "write it in quotes: " + strconv.Quote(n.text)
	case kind == number && n.kind == text:
		if _, err := strconv.ParseFloat(n.text, 64); err == nil {
			return "write " + n.text + " without quotes"
		}
	case kind == boolean && n.kind == text:
		switch strings.ToLower(n.text) {
		case "true", "yes", "on", "y":
			return "write true"
		case "false", "no", "off", "n":
			return "write false"
		}
	case kind == sequence && n.kind == mapping:
		return "begin each element with a dash: - "
	case kind == mapping && n.kind == sequence:
		return "leave the dash out"
	}
	return ""
}
