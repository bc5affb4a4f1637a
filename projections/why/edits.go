package why

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
)

// Edits are what each change of an object did to its fields, by sequence: a line
// a field, "+" for one that came, "-" for one that went, "~" for another value.
// log has the events that For kept, oldest first; s knows the templates. from is
// the object at the log's horizon, nil when it was not there.
func Edits(s projections.State, from *Origin, log []events.Envelope, k events.Key) map[events.Seq][]string {
	out := map[events.Seq][]string{}
	before := map[string]string{}
	if b, ok := from.blaming(); ok {
		before = fieldsOf(b.tree)
	}
	for _, e := range log {
		own, err := e.Subject.Key()
		if err != nil || own != k || e.Subject.Class() != "spec" {
			continue
		}
		after, ok := fieldsIn(s, e, k)
		if !ok {
			continue
		}
		if e.Type.Verb() == events.VerbCreated {
			before = map[string]string{}
		}
		out[e.Seq] = edits(before, after)
		before = after
	}
	return out
}

// fieldsIn are the fields of the object that an event holds whole.
func fieldsIn(s projections.State, e events.Envelope, k events.Key) (map[string]string, bool) {
	var b struct {
		Template events.Hash     `json:"template"`
		Object   json.RawMessage `json:"object"`
	}
	var err error
	switch e.Type.Verb() {
	case events.VerbCreated:
		var c events.Created
		c, err = events.Decode[events.Created](e)
		b.Template, b.Object = c.Template, c.Object
	case events.VerbChanged:
		var c events.Changed
		c, err = events.Decode[events.Changed](e)
		b.Template, b.Object = c.Template, c.Object
	default:
		return nil, false
	}
	if err != nil {
		return nil, false
	}
	whole, err := projections.Whole(s, k, b.Template, b.Object)
	if err != nil {
		return nil, false
	}
	tree, ok := treeOf(whole)
	return fieldsOf(tree), ok
}

func fieldsOf(tree any) map[string]string {
	out := map[string]string{}
	leaves("", tree, func(path string, v any) { out[path] = scalar(v) })
	return out
}

func edits(before, after map[string]string) []string {
	both := maps.Clone(before)
	maps.Copy(both, after)
	var out []string
	for _, path := range slices.Sorted(maps.Keys(both)) {
		was, had := before[path]
		is, has := after[path]
		switch {
		case !had:
			out = append(out, fmt.Sprintf("+ %s: %s", path, is))
		case !has:
			out = append(out, fmt.Sprintf("- %s: %s", path, was))
		case was != is:
			out = append(out, fmt.Sprintf("~ %s: %s → %s", path, was, is))
		}
	}
	return out
}

// ConfigChange is one key of a ConfigMap that became another one.
type ConfigChange struct {
	Map   events.Key   `json:"map"`
	Key   string       `json:"key"`
	Old   string       `json:"old,omitempty"` // the value's hash, shortened; empty when there was none
	New   string       `json:"new,omitempty"` // likewise
	Seq   events.Seq   `json:"seq"`
	Time  time.Time    `json:"time"`
	Actor events.Actor `json:"actor"`
}

// hashed is how much of a value's hash is told.
const hashed = 8

// ConfigChanges are the keys of a ConfigMap that changed after a sequence. log
// has its events from its creation on.
func ConfigChanges(log []events.Envelope, k events.Key, after events.Seq) []ConfigChange {
	var out []ConfigChange
	before := map[string]string{}
	for _, e := range log {
		own, err := e.Subject.Key()
		if err != nil || own != k || e.Subject.Class() != "spec" {
			continue
		}
		now := dataIn(e)
		for _, key := range slices.Sorted(maps.Keys(union(before, now))) {
			if before[key] != now[key] && e.Seq > after {
				out = append(out, ConfigChange{Map: k, Key: key, Old: before[key], New: now[key], Seq: e.Seq, Time: e.Time, Actor: who(e)})
			}
		}
		before = now
	}
	return out
}

func union(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// dataIn are the hashes of the values that an event says a ConfigMap has.
func dataIn(e events.Envelope) map[string]string {
	out := map[string]string{}
	var o struct {
		Data       map[string]string `json:"data"`
		BinaryData map[string]string `json:"binaryData"`
	}
	var b struct {
		Object json.RawMessage `json:"object"`
	}
	if json.Unmarshal(e.Body, &b) != nil || len(b.Object) == 0 || json.Unmarshal(b.Object, &o) != nil {
		return out // it is gone, or somebody else's
	}
	for key, value := range union(o.Data, o.BinaryData) {
		out[key] = string(events.HashOf([]byte(value)))[:hashed]
	}
	return out
}

// words is the change as a line of an answer.
func (c ConfigChange) words(q Question) string {
	hash := func(h string) string {
		if h == "" {
			return "nothing"
		}
		return h
	}
	return fmt.Sprintf("%s changed since: key %s went from %s to %s, by %s at %d, %s ago", q.spelled(c.Map), c.Key, hash(c.Old), hash(c.New), c.Actor, c.Seq, table.Age(q.Now.Sub(c.Time)))
}
