package manifest

import (
	"reflect"
	"slices"
)

// hollow is a field that was written without a value: what stands to its left
// below it was probably meant to be inside.
type hollow struct {
	key string
	t   reflect.Type
}

// fields checks the fields of a struct. An unknown field is first looked for
// where a wrong indentation would have lost it, then among similar names, then
// one level further down.
func (d *decoder) fields(n *node, t reflect.Type, path string) {
	s := shapeOf(t)
	var open []hollow
	for _, e := range n.fields {
		ft, ok := s.types[e.key]
		if ok {
			d.value(e.value, ft, child(path, e.key))
			if e.value.kind == null {
				open = append(open, hollow{e.key, deref(ft)})
			}
			continue
		}
		if in, ft := d.lostFrom(open, e); in != "" {
			d.add(e.at, child(path, e.key), "indent it under "+in+":", "no such field %s", placeOf(path))
			if e.value.kind == null && ft != nil {
				open = append(open, hollow{e.key, deref(ft)})
			}
			continue
		}
		d.add(e.at, child(path, e.key), d.similar(s, e.key), "no such field %s", placeOf(path))
	}
}

func placeOf(path string) string {
	if path == "" {
		return "at the top level"
	}
	return "in " + path
}

// lostFrom finds the empty field that an unknown one belongs into: the nearest
// struct that has the field, else the nearest map that could hold it.
func (d *decoder) lostFrom(open []hollow, e entry) (string, reflect.Type) {
	for _, h := range slices.Backward(open) {
		if h.t.Kind() == reflect.Struct {
			if ft, ok := shapeOf(h.t).types[e.key]; ok {
				return h.key, ft
			}
		}
	}
	for _, h := range slices.Backward(open) {
		if h.t.Kind() == reflect.Map && (e.value.kind == text || e.value.kind == number || e.value.kind == boolean) {
			return h.key, nil
		}
	}
	return "", nil
}

// similar suggests a field: one spelled nearly like it, or one level down.
func (d *decoder) similar(s *shape, key string) string {
	if near := nearest(key, s.names); near != "" {
		return "did you mean " + near + "?"
	}
	for _, name := range s.names {
		t := deref(s.types[name])
		if t.Kind() == reflect.Slice {
			t = deref(t.Elem())
		}
		if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(unmarshaler) || name == "status" {
			continue
		}
		if _, ok := shapeOf(t).types[key]; ok {
			return "it belongs into " + name + ":"
		}
	}
	return ""
}

// nearest finds the name that is fewest edits away, at most a third of the word.
func nearest(word string, names []string) string {
	best, least := "", len(word)/3+1
	if len(word) > 64 {
		return "" // nobody meant that
	}
	for _, n := range names {
		if c := edits(fold(word), fold(n)); c < least {
			best, least = n, c
		}
	}
	return best
}

func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
