package manifest

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events/ration"
)

func validatePriorityClass(c *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	value, known := ration.SystemClasses[c.Name]
	switch {
	case strings.HasPrefix(c.Name, "system-") && (!known || value != c.Value || c.GlobalDefault):
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "name"), "priority class names with 'system-' prefix are reserved for system use only"))
	case !known && c.Value > ration.HighestUserPriority:
		errs = append(errs, field.Forbidden(field.NewPath("value"), fmt.Sprintf("maximum allowed value of a user defined priority is %d", ration.HighestUserPriority)))
	}
	return oneOfPointed(errs, field.NewPath("preemptionPolicy"), c.PreemptionPolicy, corev1.PreemptLowerPriority, corev1.PreemptNever)
}

// updatePriorityClass keeps what pods were given already.
func updatePriorityClass(old, next *schedulingv1.PriorityClass) field.ErrorList {
	var errs field.ErrorList
	if old.Value != next.Value {
		errs = append(errs, field.Forbidden(field.NewPath("value"), "may not be changed in an update."))
	}
	return unchanged(errs, field.NewPath("preemptionPolicy"), old.PreemptionPolicy, next.PreemptionPolicy)
}
