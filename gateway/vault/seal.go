package vault

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// Seal is an item as it may go to admission, and into the log: the values of a
// Secret sealed and stringData moved to data, also in the manifest that kubectl
// leaves in an annotation. Anything else, and what admission will not be able to
// read, is as it was. s knows the Secret that is there already: its key is used
// again, so that equal values stay equal; k is what the item is about, as admit.KeyOf
// has it. A dry run leaves no key behind.
func (v *Vault) Seal(s projections.State, k events.Key, item wire.Item, dryRun bool) (wire.Item, error) {
	if v == nil || k.Resource != events.Secrets || len(item.Object) == 0 {
		return item, nil
	}
	docs, problems := manifest.Decode("object", item.Object)
	if len(problems) > 0 || len(docs) != 1 {
		return item, nil // admission says what is wrong, and keeps nothing of it
	}
	if secret, ok := docs[0].Object.(*corev1.Secret); ok {
		item.Found = manifest.SecretContent(secret)
	}
	with, err := v.keyFor(s, k, dryRun)
	if err != nil {
		return item, err
	}
	item.Object, err = with.sealManifest(item.Object)
	return item, err
}

// keyFor is the key of the Secret that is there, or a new one.
func (v *Vault) keyFor(s projections.State, k events.Key, dryRun bool) (*key, error) {
	if row, ok := s.Get(k); ok {
		if with := v.keyOf(row); with != nil {
			return with, nil
		}
	}
	if dryRun {
		return v.passing, nil
	}
	with, err := newKey(k)
	if err != nil {
		return nil, err
	}
	return with, v.put(with)
}

// sealManifest seals all values of a Secret's manifest.
func (k *key) sealManifest(object json.RawMessage) (json.RawMessage, error) {
	sealed, err := eachValue(object, k.sealText)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(sealed, &tree); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	merge(tree)
	meta, _ := tree["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	if said, ok := annotations[corev1.LastAppliedConfigAnnotation].(string); ok {
		applied, err := eachValue([]byte(said), k.sealText)
		if err != nil {
			delete(annotations, corev1.LastAppliedConfigAnnotation) // it could hold anything
		} else {
			annotations[corev1.LastAppliedConfigAnnotation] = string(applied)
		}
	}
	return json.Marshal(tree)
}

// merge moves stringData, whose values stand as data's do by now, to data.
func merge(tree map[string]any) {
	added, ok := tree["stringData"].(map[string]any)
	delete(tree, "stringData")
	if !ok || len(added) == 0 {
		return
	}
	data, ok := tree["data"].(map[string]any)
	if !ok {
		data = map[string]any{}
		tree["data"] = data
	}
	for k, value := range added {
		data[k] = value
	}
}

// The places of values in a Secret's manifest.
const (
	inData       = "data"       // in base64
	inStringData = "stringData" // as they are; a sealed one in base64
)

// eachValue replaces the values of a Secret's manifest.
func eachValue(object json.RawMessage, change func(place, field, text string) (string, error)) (json.RawMessage, error) {
	var tree map[string]any
	if err := json.Unmarshal(object, &tree); err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	for _, place := range []string{inData, inStringData} {
		values, _ := tree[place].(map[string]any)
		for field, value := range values {
			text, _ := value.(string) // null is an empty one
			next, err := change(place, field, text)
			if err != nil {
				return nil, err
			}
			values[field] = next
		}
	}
	return json.Marshal(tree)
}

// sealText seals a value where it stands.
func (k *key) sealText(place, field, text string) (string, error) {
	plain := []byte(text)
	if place == inData {
		var err error
		if plain, err = base64.StdEncoding.DecodeString(text); err != nil {
			return "", fmt.Errorf("read %s: %w", field, err)
		}
	}
	sealed, err := k.seal(field, plain)
	return base64.StdEncoding.EncodeToString(sealed), err
}
