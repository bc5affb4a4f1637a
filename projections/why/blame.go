package why

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Blamed is one field of an object and the event that last set it.
type Blamed struct {
	Path  string          `json:"path"` // spec.template.spec.containers[name=web].image
	Value json.RawMessage `json:"value"`
	Setter
}

// Setter is the event that set a field.
type Setter struct {
	Seq     events.Seq   `json:"seq"`
	Time    time.Time    `json:"time"`
	Actor   events.Actor `json:"actor"`
	Message string       `json:"message,omitempty"`
}

// Blaming is an object with a mark on every field.
type Blaming struct {
	Fields []Blamed `json:"fields"` // by path
	tree   any
	marks  map[string]Blamed
}

// Blame tells for every field of an object which event last set it. log has the
// events that For kept; the newest life of the object counts, also when it is
// over. s knows the templates. from is what the log's horizon left of it; nil
// for nothing. ok is false when neither ever spoke of it.
func Blame(s projections.State, from *Origin, log []events.Envelope, k events.Key) (b Blaming, ok bool) {
	if from != nil {
		b, ok = from.blaming()
	}
	for _, e := range log {
		if own, err := e.Subject.Key(); err != nil || own != k || e.Subject.Class() != "spec" || from != nil && e.Seq <= from.At {
			continue
		}
		switch e.Type.Verb() {
		case events.VerbCreated:
			if c, err := events.Decode[events.Created](e); err == nil {
				b.marks, ok = nil, true // a new life: nothing of the last one is left
				b.set(s, e, k, c.Template, c.Object)
			}
		case events.VerbChanged:
			if c, err := events.Decode[events.Changed](e); err == nil {
				ok = true
				b.set(s, e, k, c.Template, c.Object)
			}
		}
	}
	for _, p := range slices.Sorted(maps.Keys(b.marks)) {
		b.Fields = append(b.Fields, b.marks[p])
	}
	return b, ok
}

// set marks the fields that an event changed; fields that it left out are gone.
func (b *Blaming) set(s projections.State, e events.Envelope, k events.Key, h events.Hash, raw json.RawMessage) {
	whole, err := projections.Whole(s, k, h, raw)
	if err != nil {
		return // admission wrote it: only a log of somebody else's has such a body
	}
	tree, ok := treeOf(whole)
	if !ok {
		return
	}
	b.tree = tree
	next := map[string]Blamed{}
	leaves("", tree, func(path string, v any) {
		value := events.MustBody(v)
		if old, ok := b.marks[path]; ok && bytes.Equal(old.Value, value) {
			next[path] = old
			return
		}
		next[path] = Blamed{path, value, Setter{e.Seq, e.Time, who(e), e.Message}}
	})
	b.marks = next
}

// treeOf reads a document without making floating-point numbers of its numbers.
func treeOf(whole json.RawMessage) (tree any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(whole))
	d.UseNumber()
	err := d.Decode(&tree)
	return tree, err == nil
}

// leaves walks the fields that hold no others, in the order of their paths.
// What Go's types add without anybody having set it (a null, as in
// creationTimestamp) is passed over.
func leaves(path string, v any, f func(string, any)) {
	switch v := v.(type) {
	case nil:
		return
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			leaves(below(path, k), v[k], f)
		}
		if len(v) > 0 {
			return
		}
	case []any:
		for i, item := range v {
			leaves(path+element(i, item), item, f)
		}
		if len(v) > 0 {
			return
		}
	}
	f(path, v)
}

func below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// element names an item of a list by its name, so that another one in front of
// it changes nothing about it.
func element(i int, item any) string {
	if m, ok := item.(map[string]any); ok {
		if name, ok := m["name"].(string); ok {
			return "[name=" + name + "]"
		}
	}
	return "[" + strconv.Itoa(i) + "]"
}

// line is a line of YAML; path is empty for one that only opens a level.
type line struct {
	text, path string
}

// String is the object as YAML with sequence and actor before every field.
func (b Blaming) String() string {
	var lines []line
	if m, ok := b.tree.(map[string]any); ok {
		lines = yamlMap("", m)
	}
	seq, by := 0, 0
	for _, f := range b.Fields {
		seq, by = max(seq, len(fmt.Sprint(f.Seq))), max(by, len(f.Actor))
	}
	var out strings.Builder
	for _, l := range lines {
		var at, actor string
		if f, ok := b.marks[l.path]; ok {
			at, actor = fmt.Sprint(f.Seq), string(f.Actor)
		}
		fmt.Fprintf(&out, "%*s  %-*s  %s\n", seq, at, by, actor, l.text)
	}
	return out.String()
}

// JSON is the same for programs.
func (b Blaming) JSON() json.RawMessage { return events.MustBody(b) }

func yamlMap(path string, m map[string]any) []line {
	var out []line
	for _, k := range slices.Sorted(maps.Keys(m)) {
		at := below(path, k)
		switch v := m[k].(type) {
		case nil:
		case map[string]any:
			if len(v) == 0 {
				out = append(out, line{plain(k) + ": {}", at})
				continue
			}
			out = append(out, line{text: plain(k) + ":"})
			out = append(out, indent(yamlMap(at, v))...)
		case []any:
			if len(v) == 0 {
				out = append(out, line{plain(k) + ": []", at})
				continue
			}
			out = append(out, line{text: plain(k) + ":"})
			out = append(out, yamlList(at, v)...)
		default:
			out = append(out, line{plain(k) + ": " + scalar(v), at})
		}
	}
	return out
}

func yamlList(path string, list []any) []line {
	var out []line
	for i, item := range list {
		at := path + element(i, item)
		m, ok := item.(map[string]any)
		if !ok {
			out = append(out, line{"- " + scalar(item), at})
			continue
		}
		lines := yamlMap(at, m)
		if len(lines) == 0 {
			lines = []line{{"{}", at}}
		}
		lines = indent(lines)
		lines[0].text = "- " + strings.TrimPrefix(lines[0].text, "  ")
		out = append(out, lines...)
	}
	return out
}

func indent(lines []line) []line {
	for i := range lines {
		lines[i].text = "  " + lines[i].text
	}
	return lines
}

// bare are the strings that YAML reads as themselves; all others are quoted as
// JSON does, which YAML understands.
var bare = regexp.MustCompile(`^[A-Za-z_./][A-Za-z0-9_./@-]*(:[A-Za-z0-9_./@-]+)*$`)

var reserved = map[string]bool{"true": true, "false": true, "null": true, "yes": true, "no": true, "on": true, "off": true, "y": true, "n": true, ".": true}

func plain(s string) string {
	if bare.MatchString(s) && !reserved[strings.ToLower(s)] {
		return s
	}
	return string(events.MustBody(s))
}

func scalar(v any) string {
	if s, ok := v.(string); ok {
		if words, sealed := events.SealedText(s); sealed {
			return words
		}
		return plain(s)
	}
	return string(events.MustBody(v))
}
