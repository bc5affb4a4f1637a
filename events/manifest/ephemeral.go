package manifest

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateEphemeral says which changes of a pod's ephemeral containers Kubernetes does not allow: they come, and stay as they
// are. Nothing else of the pod may change with them.
func ValidateEphemeral(old, next *corev1.Pod) field.ErrorList {
	at := field.NewPath("spec", "ephemeralContainers")
	errs := updateFinalizers(old, next)
	for i := range old.Spec.EphemeralContainers {
		was := &old.Spec.EphemeralContainers[i]
		n := slices.IndexFunc(next.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == was.Name })
		switch {
		case n < 0:
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("existing ephemeral containers %q may not be removed", was.Name)))
		case !same(was, &next.Spec.EphemeralContainers[n]):
			errs = append(errs, field.Forbidden(at, fmt.Sprintf("existing ephemeral containers %q may not be changed", was.Name)))
		}
	}
	rest := next.Spec.DeepCopy()
	rest.EphemeralContainers = old.Spec.EphemeralContainers
	for _, path := range changedPaths(&old.Spec, rest, "spec") {
		errs = append(errs, field.Forbidden(field.NewPath(path), "only spec.ephemeralContainers are changed here"))
	}
	return errs
}

// validateEphemeral checks containers that look into a pod. They serve nobody, so that what serves is refused.
func validateEphemeral(s *corev1.PodSpec, names, volumes map[string]bool, at *field.Path) (errs field.ErrorList) {
	others := map[string]bool{}
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			others[list[i].Name] = true
		}
	}
	for i := range s.EphemeralContainers {
		c, here := &s.EphemeralContainers[i], at.Index(i)
		switch {
		case c.Name == "":
			errs = append(errs, field.Required(here.Child("name"), ""))
		case names[c.Name]:
			errs = append(errs, field.Duplicate(here.Child("name"), c.Name))
		default:
			errs = invalid(errs, here.Child("name"), c.Name, validation.IsDNS1123Label(c.Name))
		}
		names[c.Name] = true
		errs = append(errs, validateContainer((*corev1.Container)(&c.EphemeralContainerCommon), volumes, here)...)
		if c.TargetContainerName != "" && !others[c.TargetContainerName] {
			errs = append(errs, field.NotFound(here.Child("targetContainerName"), c.TargetContainerName))
		}
		errs = append(errs, notForLookers(&c.EphemeralContainerCommon, here)...)
	}
	return errs
}

func notForLookers(c *corev1.EphemeralContainerCommon, at *field.Path) (errs field.ErrorList) {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"ports", len(c.Ports) > 0}, {"resources", len(c.Resources.Limits)+len(c.Resources.Requests)+len(c.Resources.Claims) > 0},
		{"resizePolicy", len(c.ResizePolicy) > 0}, {"restartPolicy", c.RestartPolicy != nil}, {"restartPolicyRules", len(c.RestartPolicyRules) > 0},
		{"livenessProbe", c.LivenessProbe != nil}, {"readinessProbe", c.ReadinessProbe != nil}, {"startupProbe", c.StartupProbe != nil},
		{"lifecycle", c.Lifecycle != nil},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(at.Child(f.name), "cannot be set for an Ephemeral Container"))
		}
	}
	for i, m := range c.VolumeMounts {
		if m.SubPath != "" {
			errs = append(errs, field.Forbidden(at.Child("volumeMounts").Index(i).Child("subPath"), "cannot be set for an Ephemeral Container"))
		}
		if m.SubPathExpr != "" {
			errs = append(errs, field.Forbidden(at.Child("volumeMounts").Index(i).Child("subPathExpr"), "cannot be set for an Ephemeral Container"))
		}
	}
	return errs
}
