package manifest

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxRestartRules is how many rules a container may have of its restarts.
const maxRestartRules = 20

// validateRestart checks what a container says of its restarts.
func validateRestart(c *corev1.Container, at *field.Path) (errs field.ErrorList) {
	rules := at.Child("restartPolicyRules")
	switch {
	case c.RestartPolicy != nil:
		errs = supported(errs, at.Child("restartPolicy"), *c.RestartPolicy, corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure)
	case len(c.RestartPolicyRules) > 0:
		errs = append(errs, field.Required(at.Child("restartPolicy"), "must specify restartPolicy when restart rules are used"))
	}
	if n := len(c.RestartPolicyRules); n > maxRestartRules {
		errs = append(errs, field.TooMany(rules, n, maxRestartRules))
	}
	for i, r := range c.RestartPolicyRules {
		here := rules.Index(i)
		errs = supported(errs, here.Child("action"), r.Action, corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestartAllContainers)
		if r.ExitCodes == nil {
			errs = append(errs, field.Required(here.Child("exitCodes"), "must be specified"))
			continue
		}
		errs = supported(errs, here.Child("exitCodes", "operator"), r.ExitCodes.Operator, corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn)
		if n := len(r.ExitCodes.Values); n > maxExitCodes {
			errs = append(errs, field.TooMany(here.Child("exitCodes", "values"), n, maxExitCodes))
		}
	}
	return errs
}

// supported wants a value out of a few; none is none of them.
func supported[T ~string](errs field.ErrorList, at *field.Path, value T, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return errs
	}
	return append(errs, field.NotSupported(at, value, allowed))
}
