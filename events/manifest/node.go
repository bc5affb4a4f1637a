package manifest

import (
	"encoding/json"
	"strconv"
	"strings"
)

// position is a place in a file; both count from 1.
type position struct{ line, column int }

type kindOf uint8

const (
	null kindOf = iota
	boolean
	number // text holds it as JSON writes it
	text
	sequence
	mapping
)

var kindWords = map[kindOf]string{null: "nothing", boolean: "true or false", number: "a number",
	text: "a string", sequence: "a list", mapping: "a map"}

// node is a value as somebody wrote it, whatever the format: what YAML and JSON
// have in common, with positions.
type node struct {
	kind   kindOf
	at     position
	text   string  // of a scalar
	items  []*node // of a sequence
	fields []entry // of a mapping, in the order of the file
	again  []entry // keys that were written a second time
}

// entry is one field of a mapping.
type entry struct {
	key   string
	at    position // of the key
	value *node
}

// dedupe keeps the first of each key; the others are problems that the strict
// check reports, since it knows the path.
func (n *node) dedupe() {
	seen := make(map[string]bool, len(n.fields))
	kept := n.fields[:0]
	for _, e := range n.fields {
		if seen[e.key] {
			n.again = append(n.again, e)
			continue
		}
		seen[e.key] = true
		kept = append(kept, e)
	}
	n.fields = kept
}

func (n *node) find(key string) (entry, bool) {
	for _, e := range n.fields {
		if e.key == key {
			return e, true
		}
	}
	return entry{}, false
}

// get is the value of a field, nil when it is not there.
func (n *node) get(key string) *node {
	e, _ := n.find(key)
	return e.value
}

// str is the text of a string field, "" for anything else.
func (n *node) str(key string) string {
	if v := n.get(key); v != nil && v.kind == text {
		return v.text
	}
	return ""
}

// json appends the value as JSON, fields in the order of the file.
func (n *node) json(b []byte) []byte {
	switch n.kind {
	case boolean, number:
		return append(b, n.text...)
	case text:
		return appendString(b, n.text)
	case sequence:
		b = append(b, '[')
		for i, v := range n.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = v.json(b)
		}
		return append(b, ']')
	case mapping:
		b = append(b, '{')
		for i, e := range n.fields {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, e.key), ':')
			b = e.value.json(b)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

func appendString(b []byte, s string) []byte {
	q, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...) // a string always encodes
	}
	return append(b, q...)
}

// locate finds the deepest part of a field path that was written: the key's
// position for a field, the value's for an element of a list.
func (n *node) locate(path string) position {
	at := n.at
	for _, step := range splitPath(path) {
		var next *node
		switch n.kind {
		case mapping:
			if e, ok := n.find(step); ok {
				next, at = e.value, e.at
			}
		case sequence:
			if i, err := strconv.Atoi(step); err == nil && i >= 0 && i < len(n.items) {
				next = n.items[i]
				at = next.at
			}
		}
		if next == nil {
			return at
		}
		n = next
	}
	return at
}

// splitPath takes a.b[0].c[x.y/z] apart into a, b, 0, c, x.y/z.
func splitPath(path string) []string {
	var out []string
	for path != "" {
		if path[0] == '[' {
			inside, rest, _ := strings.Cut(path[1:], "]")
			out = append(out, inside)
			path = strings.TrimPrefix(rest, ".")
			continue
		}
		i := strings.IndexAny(path, ".[")
		if i < 0 {
			return append(out, path)
		}
		if i > 0 {
			out = append(out, path[:i])
		}
		path = strings.TrimPrefix(path[i:], ".")
	}
	return out
}

// child is the path of a field below another.
func child(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./[] "):
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
