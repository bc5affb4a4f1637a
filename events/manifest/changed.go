package manifest

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/stave-run/stave/events"
)

// maxChangedPaths bounds how many fields of one object are told of.
const maxChangedPaths = 10

// changedPaths names the fields whose meaning differs between two versions of a
// value, in the order of their names, as deep as both have them; at is the
// value's own path. Nothing is named when both mean the same.
func changedPaths(old, next any, at string) []string {
	var c changes
	c.value(plain(old), plain(next), at)
	return c[:min(len(c), maxChangedPaths)]
}

// plain is a value as JSON has it.
func plain(v any) any {
	var out any
	_ = json.Unmarshal(events.MustBody(v), &out) // what was just encoded decodes
	return out
}

type changes []string

func (c *changes) value(old, next any, at string) {
	switch o := old.(type) {
	case map[string]any:
		if n, ok := next.(map[string]any); ok {
			c.fields(o, n, at)
			return
		}
	case []any:
		if n, ok := next.([]any); ok && len(n) == len(o) {
			for i := range o {
				c.value(o[i], n[i], element(at, i))
			}
			return
		}
	}
	if !same(old, next) {
		*c = append(*c, at)
	}
}

func (c *changes) fields(old, next map[string]any, at string) {
	both := map[string]bool{}
	for name := range old {
		both[name] = true
	}
	for name := range next {
		both[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(both)) {
		c.value(old[name], next[name], child(at, name))
	}
}
