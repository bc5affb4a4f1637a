// Package merge combines what a person applied last, what they apply now, and
// what is there, with Kubernetes' merge keys. It is pure.
package merge

import (
	"bytes"
	"encoding/json"
	"fmt"

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
	schema, err := strategicpatch.NewPatchMetaFromStruct(kind.New())
	if err != nil {
		return nil, fmt.Errorf("merge %s: %w", kind.Name, err)
	}
	if len(applied) == 0 {
		applied = json.RawMessage("{}")
	}
	if applied, err = written(applied); err != nil {
		return nil, fmt.Errorf("merge last applied %s: %w", kind.Name, err)
	}
	if next, err = written(next); err != nil {
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

// written leaves out what an apply has no say in: status, what the log knows of
// an object, and the annotation.
func written(raw json.RawMessage) (json.RawMessage, error) {
	var object map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // an int64 must not pass through a float
	if err := d.Decode(&object); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	delete(object, "status")
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
