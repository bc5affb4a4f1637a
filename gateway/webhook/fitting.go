package webhook

import (
	"errors"
	"fmt"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// fitting is what a webhook made of an object, if it still is that object: of the
// metadata it may change labels and annotations, the rest stays as it was whatever it says.
func fitting(was *unstructured.Unstructured, raw []byte, to schema.GroupVersion) (*unstructured.Unstructured, error) {
	is := &unstructured.Unstructured{}
	if err := is.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	if got := is.GroupVersionKind().GroupVersion(); got != to {
		return nil, fmt.Errorf("invalid groupVersion (expected %v, received %v)", to, got)
	}
	for _, same := range []struct{ what, was, is string }{
		{"kind", was.GetKind(), is.GetKind()}, {"name", was.GetName(), is.GetName()},
		{"namespace", was.GetNamespace(), is.GetNamespace()}, {"UID", string(was.GetUID()), string(is.GetUID())}} {
		if same.was != same.is {
			return nil, fmt.Errorf("must have the same %s: %v != %v", same.what, same.was, same.is)
		}
	}
	return is, keepMetadata(was, is)
}

func keepMetadata(was, is *unstructured.Unstructured) error {
	said, ok := is.Object["metadata"].(map[string]any)
	if !ok && was.Object["metadata"] == nil { // a part of an object, of which managers of fields ask
		return nil
	}
	if !ok {
		return errors.New("invalid metadata: missing metadata in converted object")
	}
	had, _ := was.Object["metadata"].(map[string]any)
	kept := runtime.DeepCopyJSON(had)
	if kept == nil {
		kept = map[string]any{}
	}
	for _, name := range []string{"labels", "annotations"} {
		delete(kept, name)
		if said[name] == nil {
			continue
		}
		words, _, err := unstructured.NestedStringMap(said, name)
		if err != nil {
			return fmt.Errorf("invalid metadata.%s in converted object: %w", name, err)
		}
		if err := soundWords(name, words); err != nil {
			return err
		}
		kept[name] = said[name]
	}
	is.Object["metadata"] = kept
	return nil
}

func soundWords(name string, words map[string]string) error {
	at := field.NewPath("metadata", name)
	if name == "labels" {
		return metavalidation.ValidateLabels(words, at).ToAggregate()
	}
	return apivalidation.ValidateAnnotations(words, at).ToAggregate()
}
