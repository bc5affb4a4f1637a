package manifest

import (
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateMutatingPolicy(s *admissionv1.MutatingAdmissionPolicySpec, at *field.Path) field.ErrorList {
	errs := oneOfPointed(nil, at.Child("failurePolicy"), s.FailurePolicy, admissionv1.Fail, admissionv1.Ignore)
	errs = append(errs, validateMatter(s.ParamKind, s.MatchConstraints, at)...)
	if m := s.MatchConstraints; m != nil {
		for _, r := range m.ResourceRules {
			for _, op := range r.Operations { // nothing else has an object that could be another
				errs = oneOf(errs, at.Child("matchConstraints", "resourceRules", "operations"), op, admissionv1.Create, admissionv1.Update)
			}
		}
	}
	errs = append(errs, validateVariables(s.Variables, at.Child("variables"))...)
	mutations := at.Child("mutations")
	if len(s.Mutations) == 0 {
		errs = append(errs, field.Required(mutations, "mutations must contain at least one item"))
	}
	for i := range s.Mutations {
		errs = append(errs, validateMutation(&s.Mutations[i], mutations.Index(i))...)
	}
	if s.ReinvocationPolicy == "" {
		errs = append(errs, field.Required(at.Child("reinvocationPolicy"), ""))
	} else {
		errs = oneOf(errs, at.Child("reinvocationPolicy"), s.ReinvocationPolicy, admissionv1.IfNeededReinvocationPolicy, admissionv1.NeverReinvocationPolicy)
	}
	return append(errs, validateConditions(s.MatchConditions, at.Child("matchConditions"))...)
}

// validateMutation wants the one expression that the type of patch names.
func validateMutation(m *admissionv1.Mutation, at *field.Path) field.ErrorList {
	if m.PatchType == "" {
		return field.ErrorList{field.Required(at.Child("patchType"), "")}
	}
	errs := oneOf(nil, at.Child("patchType"), m.PatchType, admissionv1.PatchTypeApplyConfiguration, admissionv1.PatchTypeJSONPatch)
	apply, patch := at.Child("applyConfiguration"), at.Child("jsonPatch")
	switch {
	case m.PatchType == admissionv1.PatchTypeJSONPatch && m.JSONPatch == nil:
		errs = append(errs, field.Required(patch, "must be specified when patchType is JSONPatch"))
	case m.PatchType == admissionv1.PatchTypeJSONPatch && m.ApplyConfiguration != nil:
		errs = append(errs, field.Invalid(apply, "{applyConfiguration}", "must not be specified when patchType is JSONPatch"))
	case m.PatchType == admissionv1.PatchTypeApplyConfiguration && m.ApplyConfiguration == nil:
		errs = append(errs, field.Required(apply, "must be specified when patchType is ApplyConfiguration"))
	case m.PatchType == admissionv1.PatchTypeApplyConfiguration && m.JSONPatch != nil:
		errs = append(errs, field.Invalid(patch, "{jsonPatch}", "must not be specified when patchType is ApplyConfiguration"))
	}
	if m.ApplyConfiguration != nil && strings.TrimSpace(m.ApplyConfiguration.Expression) == "" {
		errs = append(errs, field.Required(apply.Child("expression"), ""))
	}
	if m.JSONPatch != nil && strings.TrimSpace(m.JSONPatch.Expression) == "" {
		errs = append(errs, field.Required(patch.Child("expression"), ""))
	}
	return errs
}

func validateMutatingBinding(s *admissionv1.MutatingAdmissionPolicyBindingSpec, at *field.Path) field.ErrorList {
	return validateBound(s.PolicyName, s.ParamRef, s.MatchResources, at)
}
