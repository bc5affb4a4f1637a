package manifest

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// lastApplied is where kubectl keeps what was applied. Our log knows that, so
// the annotation is dropped: it would be a second, ageing truth.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Canonical is the object as the log stores it: apiVersion, kind, metadata that
// people write (name, namespace, labels, annotations, finalizers), spec and
// data. The same object gives the same bytes.
func Canonical(o events.Object) (json.RawMessage, error) {
	c, ok := o.DeepCopyObject().(events.Object)
	if !ok {
		return nil, fmt.Errorf("encode %T: not an object", o)
	}
	for _, k := range events.Kinds {
		if sameType(k.New(), c) {
			c.GetObjectKind().SetGroupVersionKind(k.GVK())
		}
	}
	stripMeta(c)
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", o, err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("encode %T: %w", o, err)
	}
	delete(fields, "status")
	if raw, err = json.Marshal(fields); err != nil { // maps encode with sorted keys
		return nil, fmt.Errorf("encode %T: %w", o, err)
	}
	return raw, nil
}

// stripMeta clears what the log itself knows of an object.
func stripMeta(o events.Object) {
	o.SetUID("")
	o.SetResourceVersion("")
	o.SetGeneration(0)
	o.SetCreationTimestamp(metav1.Time{})
	o.SetDeletionTimestamp(nil)
	o.SetDeletionGracePeriodSeconds(nil)
	o.SetOwnerReferences(nil)
	o.SetManagedFields(nil)
	o.SetGenerateName("")
	o.SetSelfLink("")
	a := o.GetAnnotations()
	if _, ok := a[lastApplied]; !ok {
		return
	}
	kept := map[string]string{}
	for k, v := range a {
		if k != lastApplied {
			kept[k] = v
		}
	}
	if len(kept) == 0 {
		kept = nil
	}
	o.SetAnnotations(kept)
}
