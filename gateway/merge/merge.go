// Package merge combines what a person applied last, what they apply now, and
// what is there, with Kubernetes' merge keys. It is pure.
package merge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/stave-run/stave/events"
)

// lastApplied is where kubectl writes what it applied. A manifest that was saved
// from a cluster may carry it; here the log knows.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// ThreeWay is the object that an apply makes of live: what next says is set,
// what applied said and next does not is taken away, and what others set stays.
// All three are JSON of kind; applied may be empty, and then nothing is taken away.
// The result is not defaulted. It fails when a list that merges by a key has an
// element without it, or when one of the three is no JSON of its kind.
func ThreeWay(kind events.Kind, applied, next, live json.RawMessage) (json.RawMessage, error) {
	if kind.Custom() {
		return plainly(kind, applied, next, live)
	}
	schema, err := strategicpatch.NewPatchMetaFromStruct(kind.New())
	if err != nil {
		return nil, fmt.Errorf("merge %s: %w", kind.Name, err)
	}
	if len(applied) == 0 {
		applied = json.RawMessage("{}")
	}
	if applied, err = written(applied, false); err != nil {
		return nil, fmt.Errorf("merge last applied %s: %w", kind.Name, err)
	}
	if next, err = written(next, false); err != nil {
		return nil, fmt.Errorf("merge %s: %w", kind.Name, err)
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(applied, next, live, schema, true)
	if err != nil {
		return nil, fmt.Errorf("merge %s: %w", kind.Name, err)
	}
	merged, err := strategicpatch.StrategicMergePatchUsingLookupPatchMeta(live, patch, schema)
	if err != nil {
		return nil, fmt.Errorf("merge %s: %w", kind.Name, err)
	}
	return merged, nil
}

// plainly is ThreeWay for a kind whose lists nobody knows to merge: they are replaced,
// as kubectl does with objects of definitions.
func plainly(kind events.Kind, applied, next, live json.RawMessage) (json.RawMessage, error) {
	var objects [3]map[string]any
	for i, raw := range []json.RawMessage{applied, next, live} {
		if len(raw) == 0 {
			continue
		}
		if i < 2 {
			var err error
			if raw, err = written(raw, true); err != nil {
				return nil, fmt.Errorf("merge %s: %w", kind.Name, err)
			}
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&objects[i]); err != nil {
			return nil, fmt.Errorf("merge %s: decode object: %w", kind.Name, err)
		}
	}
	return events.MustBody(laid(objects[0], objects[1], objects[2])), nil
}

// laid lays next over live: maps field by field, everything else whole. What was
// applied and is not any more goes; null means that too.
func laid(applied, next, live map[string]any) map[string]any {
	out := maps.Clone(live)
	if out == nil {
		out = map[string]any{}
	}
	//stave:sorted each key is taken out on its own
	for k := range applied {
		if _, stays := next[k]; !stays {
			delete(out, k)
		}
	}
	//stave:sorted each key is written once and on its own
	for k, v := range next {
		below, isMap := v.(map[string]any)
		was, wasMap := out[k].(map[string]any)
		switch {
		case v == nil:
			delete(out, k)
		case isMap && (wasMap || out[k] == nil):
			before, _ := applied[k].(map[string]any)
			out[k] = laid(before, below, was)
		default:
			out[k] = v
		}
	}
	return out
}

// written leaves out what an apply has no say in: status, unless it may be the
// person's, what the log knows of an object, and the annotation.
func written(raw json.RawMessage, status bool) (json.RawMessage, error) {
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // an int64 must not pass through a float
	if err := d.Decode(&object); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	if !status {
		delete(object, "status")
	}
	if meta, ok := object["metadata"].(map[string]any); ok {
		for _, ours := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "ownerReferences", "managedFields", "selfLink"} {
			delete(meta, ours)
		}
		if a, ok := meta["annotations"].(map[string]any); ok {
			delete(a, lastApplied)
		}
	}
	return events.MustBody(object), nil
}
