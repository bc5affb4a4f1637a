package events

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Owner is the controller of a child.
type Owner struct {
	Resource Resource `json:"resource"`
	Name     string   `json:"name"`
	UID      UID      `json:"uid"`
}

// Key is the owner's key: a namespaced owner lives where its child does.
func (w Owner) Key(child Key) Key {
	k := Key{Resource: w.Resource, Name: w.Name}
	if kind, ok := KindOf(w.Resource); ok && kind.Namespaced {
		k.Namespace = child.Namespace
	}
	return k
}

// Reference is the owner as Kubernetes writes it of a controller.
func (w Owner) Reference() metav1.OwnerReference {
	yes := true
	kind, _ := KindOf(w.Resource)
	return metav1.OwnerReference{APIVersion: kind.APIVersion(), Kind: kind.Name, Name: w.Name,
		UID: types.UID(w.UID), Controller: &yes, BlockOwnerDeletion: &yes}
}

// OwnerOf is the owner that a reference means; false for a kind that is not there.
func OwnerOf(r metav1.OwnerReference) (Owner, bool) {
	kind, ok := KindFor(r.APIVersion, r.Kind)
	return Owner{Resource: kind.Resource, Name: r.Name, UID: UID(r.UID)}, ok
}

// Owned splits what people write as an object's owners into what its events say:
// the controller, if its kind is there, and all of them, unless that one alone
// says it all.
func Owned(refs []metav1.OwnerReference) (*Owner, []metav1.OwnerReference) {
	for _, r := range refs {
		w, ok := OwnerOf(r)
		if !ok || r.Controller == nil || !*r.Controller {
			continue
		}
		if len(refs) == 1 && r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion {
			refs = nil
		}
		return &w, refs
	}
	return nil, refs
}
