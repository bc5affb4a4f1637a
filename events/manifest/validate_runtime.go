package manifest

import (
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateRuntimeClass(c *nodev1.RuntimeClass) field.ErrorList {
	var errs field.ErrorList
	if at := field.NewPath("handler"); c.Handler == "" {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = invalid(errs, at, c.Handler, validation.IsDNS1123Label(c.Handler))
	}
	if c.Overhead != nil {
		errs = append(errs, validateQuantities(c.Overhead.PodFixed, field.NewPath("overhead", "podFixed"))...)
	}
	if c.Scheduling == nil {
		return errs
	}
	at := field.NewPath("scheduling")
	errs = append(errs, validateLabels(c.Scheduling.NodeSelector, at.Child("nodeSelector"))...)
	errs = append(errs, validateTolerations(c.Scheduling.Tolerations, at.Child("tolerations"))...)
	seen := map[corev1.Toleration]bool{}
	for i, t := range c.Scheduling.Tolerations {
		if t.TolerationSeconds = nil; seen[t] {
			errs = append(errs, field.Duplicate(at.Child("tolerations").Index(i), t))
		}
		seen[t] = true
	}
	return errs
}

// updateRuntimeClass keeps what the nodes of pods were told already.
func updateRuntimeClass(old, next *nodev1.RuntimeClass) field.ErrorList {
	return unchanged(nil, field.NewPath("handler"), old.Handler, next.Handler)
}
