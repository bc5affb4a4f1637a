package manifest

import (
	"encoding/json"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validateRevision checks a controller's revision. What its data means is known to
// the controller alone; that it is an object, everybody may count on.
func validateRevision(r *appsv1.ControllerRevision) field.ErrorList {
	errs := notNegative(nil, field.NewPath("revision"), r.Revision)
	at := field.NewPath("data")
	if len(r.Data.Raw) == 0 || string(r.Data.Raw) == "null" {
		return append(errs, field.Required(at, "data is mandatory"))
	}
	var data any
	if err := json.Unmarshal(r.Data.Raw, &data); err != nil {
		return append(errs, field.Invalid(at, "<value omitted>", "error parsing data: "+err.Error()))
	}
	if _, object := data.(map[string]any); !object {
		errs = append(errs, field.Required(at, "data must be a valid JSON object"))
	}
	return errs
}

// updateRevision keeps the data of a revision. A patch writes it in another order, and
// means the same.
func updateRevision(old, next *appsv1.ControllerRevision) field.ErrorList {
	var was, is any
	if json.Unmarshal(old.Data.Raw, &was) == nil && json.Unmarshal(next.Data.Raw, &is) == nil && reflect.DeepEqual(was, is) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("data"), "<value omitted>", immutable)}
}
