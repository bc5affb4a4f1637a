package vault

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// GoneAnnotation is on a Secret that is shown without some of its values, because
// their key is gone; it names them.
const GoneAnnotation = "stave.run/values-gone"

// Vault seals and opens. A nil one opens nothing and lets nothing be sealed, so
// that admission refuses every Secret.
type Vault struct {
	store
	passing *key // of dry runs: it is never written
}

// Open opens the key store in a directory, which is made if it is not there.
func Open(dir string) (*Vault, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open key store: %w", err)
	}
	passing, err := newKey(events.Key{})
	if err != nil {
		return nil, err
	}
	return &Vault{store: store{dir: dir, known: map[events.KeyID]*key{passing.ID: passing}}, passing: passing}, nil
}

// seal seals one value; which key of the Secret it belongs to is sealed with it.
func (k *key) seal(field string, plain []byte) ([]byte, error) {
	c, err := k.siv.EncryptDeterministically(plain, []byte(field))
	if err != nil {
		return nil, fmt.Errorf("seal %s: %w", field, err)
	}
	return events.Seal(k.ID, c)
}

// open is the plain value of a sealed one.
func (v *Vault) open(field string, sealed []byte) ([]byte, error) {
	id, c, ok := events.Unseal(sealed)
	if !ok {
		return nil, fmt.Errorf("open %s: it is not sealed", field)
	}
	k, err := v.get(id)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", field, err)
	}
	plain, err := k.siv.DecryptDeterministically(c, []byte(field))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", field, err)
	}
	return plain, nil
}

// Values are the plain values of a Secret.
func (v *Vault) Values(s *corev1.Secret) (map[string][]byte, error) {
	out := make(map[string][]byte, len(s.Data))
	for _, k := range slices.Sorted(maps.Keys(s.Data)) {
		if v == nil {
			return nil, fmt.Errorf("open %s: %w", k, errNoKey)
		}
		plain, err := v.open(k, s.Data[k])
		if err != nil {
			return nil, err
		}
		out[k] = plain
	}
	return out, nil
}

// Show is an object as somebody sees it who may read it: a Secret with its plain
// values, anything else as it is. Values whose key is gone are left out, and named.
func (v *Vault) Show(o events.Object) events.Object {
	s, ok := o.(*corev1.Secret)
	if !ok || v == nil {
		return o
	}
	shown := s.DeepCopy()
	var gone []string
	for _, k := range slices.Sorted(maps.Keys(s.Data)) {
		plain, err := v.open(k, s.Data[k])
		if err != nil {
			gone = append(gone, k)
			delete(shown.Data, k)
			continue
		}
		shown.Data[k] = plain
	}
	if len(gone) > 0 {
		metav1.SetMetaDataAnnotation(&shown.ObjectMeta, GoneAnnotation, strings.Join(gone, ","))
	}
	if said, ok := shown.Annotations[corev1.LastAppliedConfigAnnotation]; ok {
		shown.Annotations[corev1.LastAppliedConfigAnnotation] = v.showApplied(said)
	}
	return shown
}

// showApplied opens the values in a manifest as it was applied; one that is gone is
// empty there.
func (v *Vault) showApplied(said string) string {
	out, err := eachValue([]byte(said), func(place, field, text string) (string, error) {
		sealed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", field, err)
		}
		plain, _ := v.open(field, sealed)
		if place == inStringData {
			return string(plain), nil
		}
		return base64.StdEncoding.EncodeToString(plain), nil
	})
	if err != nil {
		return said // somebody's own words
	}
	return string(out) + "\n"
}

// Missing names the values of a Secret, as the log holds it, that nobody can open
// any more; none for another kind.
func (v *Vault) Missing(k events.Key, object json.RawMessage) []string {
	var s corev1.Secret
	if k.Resource != events.Secrets || json.Unmarshal(object, &s) != nil {
		return nil
	}
	var out []string
	for _, field := range slices.Sorted(maps.Keys(s.Data)) {
		if v == nil {
			return append(out, field)
		}
		if _, err := v.open(field, s.Data[field]); err != nil {
			out = append(out, field)
		}
	}
	return out
}

// keyOf is the key that a Secret's values are sealed with, nil when it has none.
func (v *Vault) keyOf(row *projections.Object) *key {
	s := projections.As[*corev1.Secret](row)
	for _, field := range slices.Sorted(maps.Keys(s.Data)) {
		if id, _, ok := events.Unseal(s.Data[field]); ok {
			if k, err := v.get(id); err == nil {
				return k
			}
		}
	}
	return nil
}
