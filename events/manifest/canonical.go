package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stave-run/stave/events"
)

// lastApplied is where kubectl keeps what was applied. Our log knows that, so
// the annotation is dropped: it would be a second, ageing truth.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// Canonical is the object as the log stores it: apiVersion, kind, metadata that
// people write (name, namespace, labels, annotations, finalizers), spec and
// data; of an object of a definition all fields. The same object gives the same bytes.
func Canonical(o events.Object) (json.RawMessage, error) {
	c, ok := o.DeepCopyObject().(events.Object)
	if !ok {
		return nil, fmt.Errorf("encode %T: not an object", o)
	}
	if k, ok := kindOfType(c); ok {
		c.GetObjectKind().SetGroupVersionKind(k.GVK())
	}
	stripMeta(c)
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", o, err)
	}
	if _, custom := o.(*unstructured.Unstructured); custom {
		return raw, nil // a map is in order, and its status may be a person's
	}
	return ordered(raw), nil
}

// kindOfType finds the kind whose objects have a Go type.
func kindOfType(o events.Object) (events.Kind, bool) {
	k, ok := typed[reflect.TypeOf(o)]
	return k, ok
}

// typed are the kinds by the Go type of their objects: to compare with them anew would cost an object of each.
var typed = func() map[reflect.Type]events.Kind {
	all := map[reflect.Type]events.Kind{}
	for _, k := range events.Kinds {
		all[reflect.TypeOf(k.New())] = k
	}
	return all
}()

// ordered puts the fields of an encoded object, not those below, into the order of their names, and leaves status out. It
// takes the encoding apart by its brackets: decoding and encoding it again costs more than all else of Canonical.
func ordered(object []byte) json.RawMessage {
	var fields [][]byte
	for rest := object[1:]; len(rest) > 1; {
		n := fieldLength(rest)
		if field := rest[:n]; !bytes.HasPrefix(field, []byte(`"status":`)) {
			fields = append(fields, field)
		}
		rest = rest[n+1:] // behind the comma, or the last bracket
	}
	slices.SortFunc(fields, bytes.Compare) // a name is compared with its closing quote, which is below all letters
	out := make([]byte, 0, len(object))
	out = append(out, '{')
	return append(append(out, bytes.Join(fields, []byte(","))...), '}')
}

// fieldLength is how far a field goes, up to the comma or bracket that ends it.
func fieldLength(b []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case depth == 0 && (c == ',' || c == '}'):
			return i
		case c == '}' || c == ']':
			depth--
		}
	}
	return len(b)
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
