package manifest

import (
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
)

// Field is what becomes of one field of a kind's manifests.
type Field struct {
	Path    string // "spec.containers.image"; "spec.x.*" are all others below spec.x
	Refused bool   // a manifest that sets it is refused
	Said    string // why it is refused, or what becomes of it; empty: it is honoured
	Unless  string // values of it that are honoured or change nothing, between spaces
}

// Coverage lists the fields of a kind that are known, in the order of their
// paths. Fields that are not listed are ignored with a warning.
func Coverage(r events.Resource) []Field {
	tree, ok := honoured[r]
	if !ok {
		return nil
	}
	out := tree.list("")
	slices.SortFunc(out, func(a, b Field) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func (v verdict) list(path string) []Field {
	if len(v.fields) == 0 || v.refuse+v.warn != "" {
		return []Field{{Path: path, Refused: v.refuse != "", Said: v.refuse + v.warn, Unless: v.unless}}
	}
	names := make([]string, 0, len(v.fields))
	for name := range v.fields {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []Field
	for _, name := range names {
		out = append(out, v.fields[name].list(child(path, name))...)
	}
	return out
}
