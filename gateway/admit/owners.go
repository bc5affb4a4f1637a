package admit

import (
	"bytes"
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// mergeOwners are the owners that an apply leaves: those it names, and what others
// wrote. What the apply before named and this one does not goes.
func mergeOwners(applied, named, live []metav1.OwnerReference) []metav1.OwnerReference {
	var out []metav1.OwnerReference
	for _, r := range live {
		if i := ownerIndex(named, r); i >= 0 {
			out = append(out, named[i])
		} else if ownerIndex(applied, r) < 0 {
			out = append(out, r)
		}
	}
	for _, r := range named {
		if ownerIndex(live, r) < 0 {
			out = append(out, r)
		}
	}
	return out
}

func ownerIndex(refs []metav1.OwnerReference, r metav1.OwnerReference) int {
	return slices.IndexFunc(refs, func(x metav1.OwnerReference) bool { return x.UID == r.UID })
}

// ownersIn are the owners in a manifest.
func ownersIn(raw json.RawMessage) []metav1.OwnerReference {
	var head metav1.PartialObjectMetadata
	if len(raw) == 0 || json.Unmarshal(raw, &head) != nil {
		return nil
	}
	return head.OwnerReferences
}

func sameOwners(a, b []metav1.OwnerReference) bool {
	return len(a) == len(b) && (len(a) == 0 || bytes.Equal(events.MustBody(a), events.MustBody(b)))
}
