package vault

import (
	"encoding/json"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Shred destroys all keys that were made for a Secret, but those that a Secret
// which is there still needs.
func (v *Vault) Shred(s projections.State, owner events.Key) error {
	used := inUse(s)
	return v.each(func(k *key) error {
		if k.owner() != owner || used[k.ID] {
			return nil
		}
		return v.destroy(k.ID)
	})
}

// Sweep destroys the keys that nothing has needed since a time that is over, as the undo
// window has it, and those whose Secret shredded says was to be shredded: a server may have
// ended between the deletion and the destruction.
func (v *Vault) Sweep(s projections.State, now time.Time, over func(since time.Time) bool, shredded func(events.Key) bool) error {
	used := inUse(s)
	return v.each(func(k *key) error {
		switch {
		case used[k.ID] && k.Released.IsZero():
			return nil
		case used[k.ID]:
			return v.release(k, time.Time{})
		case shredded(k.owner()) || !k.Released.IsZero() && over(k.Released):
			return v.destroy(k.ID)
		case k.Released.IsZero():
			return v.release(k, now)
		}
		return nil
	})
}

// release notes since when nothing needs a key.
func (v *Vault) release(k *key, at time.Time) error {
	next := *k
	next.Released = at
	return v.put(&next)
}

// each does something to every key; one that cannot be read does not keep it from
// the others.
func (v *Vault) each(do func(*key) error) error {
	ids, err := v.ids()
	errs := []error{err}
	for _, id := range ids {
		k, err := v.get(id)
		if err == nil {
			err = do(k)
		}
		if !errors.Is(err, errNoKey) { // somebody destroyed it meanwhile
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// inUse are the keys that open something of a Secret that is there.
func inUse(s projections.State) map[events.KeyID]bool {
	used := map[events.KeyID]bool{}
	for o := range s.List(events.Secrets, "") {
		for _, raw := range []json.RawMessage{o.Raw, o.Applied} {
			var secret corev1.Secret
			if json.Unmarshal(raw, &secret) != nil {
				continue
			}
			for _, value := range secret.Data {
				if id, _, ok := events.Unseal(value); ok {
					used[id] = true
				}
			}
		}
	}
	return used
}
