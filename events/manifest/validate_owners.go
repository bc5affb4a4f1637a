package manifest

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateOwners wants references that name an object, at most one of them as the
// controller.
func validateOwners(refs []metav1.OwnerReference, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	controller := ""
	for i, r := range refs {
		errs = append(errs, validateOwner(r, at.Index(i))...)
		if r.Controller == nil || !*r.Controller {
			continue
		}
		if controller != "" {
			errs = append(errs, field.Invalid(at, refs, fmt.Sprintf("Only one reference can have Controller set to true. Found \"true\" in references for %v and %v", controller, r.Name)))
		}
		controller = r.Name
	}
	return errs
}

func validateOwner(r metav1.OwnerReference, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	gvk := schema.FromAPIVersionAndKind(r.APIVersion, r.Kind)
	for _, f := range []struct{ name, value, what string }{{"apiVersion", gvk.Version, "version must not be empty"}, {"kind", gvk.Kind, "must not be empty"},
		{"name", r.Name, "must not be empty"}, {"uid", string(r.UID), "must not be empty"}} {
		if f.value == "" {
			errs = append(errs, field.Invalid(at.Child(f.name), f.value, f.what))
		}
	}
	if gvk == (schema.GroupVersionKind{Version: "v1", Kind: "Event"}) || gvk == (schema.GroupVersionKind{Group: "events.k8s.io", Version: "v1", Kind: "Event"}) {
		errs = append(errs, field.Invalid(at, r, fmt.Sprintf("%s is disallowed from being an owner", gvk)))
	}
	return errs
}
