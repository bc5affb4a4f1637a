package admit

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// sealed refuses a Secret with a value that its door did not seal: what is in the
// log once is there for ever.
func sealed(o events.Object) *refusal {
	s, ok := o.(*corev1.Secret)
	if !ok {
		return nil
	}
	if len(s.StringData) > 0 {
		return badRequest("stringData was not sealed: this door has no key store")
	}
	for _, k := range slices.Sorted(maps.Keys(s.Data)) {
		if _, _, ok := events.Unseal(s.Data[k]); !ok {
			return badRequest("data.%s was not sealed: this door has no key store", k)
		}
	}
	return nil
}
