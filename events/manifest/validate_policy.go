package manifest

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// defaultMatch fills in what a policy, or its binding, matches.
func defaultMatch(m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	pointTo(&m.MatchPolicy, admissionv1.Equivalent)
	pointTo(&m.NamespaceSelector, metav1.LabelSelector{})
	pointTo(&m.ObjectSelector, metav1.LabelSelector{})
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{m.ResourceRules, m.ExcludeResourceRules} {
		for i := range rules {
			pointTo(&rules[i].Scope, admissionv1.AllScopes)
		}
	}
}

func validatePolicy(s *admissionv1.ValidatingAdmissionPolicySpec, at *field.Path) field.ErrorList {
	errs := oneOfPointed(nil, at.Child("failurePolicy"), s.FailurePolicy, admissionv1.Fail, admissionv1.Ignore)
	errs = append(errs, validateMatter(s.ParamKind, s.MatchConstraints, at)...)
	if len(s.Validations)+len(s.AuditAnnotations) == 0 {
		errs = append(errs, field.Required(at.Child("validations"), "validations or auditAnnotations must contain at least one item"))
	}
	for i := range s.Validations {
		errs = append(errs, validateClaim(&s.Validations[i], at.Child("validations").Index(i))...)
	}
	errs = append(errs, validateVariables(s.Variables, at.Child("variables"))...)
	return append(errs, validateConditions(s.MatchConditions, at.Child("matchConditions"))...)
}

// validateMatter holds to the rules what a policy of either sort is about.
func validateMatter(k *admissionv1.ParamKind, m *admissionv1.MatchResources, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if k != nil && k.APIVersion == "" {
		errs = append(errs, field.Required(at.Child("paramKind", "apiVersion"), ""))
	}
	if k != nil && k.Kind == "" {
		errs = append(errs, field.Required(at.Child("paramKind", "kind"), ""))
	}
	if m == nil {
		return append(errs, field.Required(at.Child("matchConstraints"), ""))
	}
	errs = append(errs, validateMatch(m, at.Child("matchConstraints"))...)
	if len(m.ResourceRules) == 0 {
		errs = append(errs, field.Required(at.Child("matchConstraints", "resourceRules"), ""))
	}
	return errs
}

// claims are the reasons that a policy may refuse with.
var claims = []metav1.StatusReason{metav1.StatusReasonForbidden, metav1.StatusReasonInvalid, metav1.StatusReasonRequestEntityTooLarge, metav1.StatusReasonUnauthorized}

func validateClaim(v *admissionv1.Validation, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if strings.TrimSpace(v.Expression) == "" {
		errs = append(errs, field.Required(at.Child("expression"), "expression is not specified"))
	}
	if v.Message != "" && strings.TrimSpace(v.Message) == "" {
		errs = append(errs, field.Invalid(at.Child("message"), v.Message, "message must be non-empty if specified"))
	}
	if strings.Contains(strings.TrimSpace(v.Message), "\n") {
		errs = append(errs, field.Invalid(at.Child("message"), v.Message, "message must not contain line breaks"))
	}
	if strings.Contains(strings.TrimSpace(v.Expression), "\n") && v.Message == "" {
		errs = append(errs, field.Required(at.Child("message"), "message must be specified if expression contains line breaks"))
	}
	return oneOfPointed(errs, at.Child("reason"), v.Reason, claims...)
}

func validateVariables(all []admissionv1.Variable, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, v := range all {
		here := at.Index(i)
		switch {
		case v.Name == "":
			errs = append(errs, field.Required(here.Child("name"), "name is not specified"))
		case len(validation.IsCIdentifier(v.Name)) > 0:
			errs = append(errs, field.Invalid(here.Child("name"), v.Name, "name is not a valid CEL identifier"))
		}
		if strings.TrimSpace(v.Expression) == "" {
			errs = append(errs, field.Required(here.Child("expression"), "expression is not specified"))
		}
		if seen[v.Name] {
			errs = append(errs, field.Duplicate(here.Child("name"), v.Name))
		}
		seen[v.Name] = true
	}
	return errs
}

func validateMatch(m *admissionv1.MatchResources, at *field.Path) field.ErrorList {
	errs := oneOfPointed(nil, at.Child("matchPolicy"), m.MatchPolicy, admissionv1.Exact, admissionv1.Equivalent)
	errs = append(errs, validatePicks(m.NamespaceSelector, at.Child("namespaceSelector"))...)
	errs = append(errs, validatePicks(m.ObjectSelector, at.Child("objectSelector"))...)
	for i, r := range m.ResourceRules {
		errs = append(errs, validateHooked(r.RuleWithOperations, at.Child("resourceRules").Index(i))...)
	}
	for i, r := range m.ExcludeResourceRules {
		errs = append(errs, validateHooked(r.RuleWithOperations, at.Child("excludeResourceRules").Index(i))...)
	}
	return errs
}

// validateBound holds to the rules what a binding of either sort says.
func validateBound(policy string, params *admissionv1.ParamRef, m *admissionv1.MatchResources, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if policy == "" {
		errs = append(errs, field.Required(at.Child("policyName"), ""))
	} else {
		errs = invalid(errs, at.Child("policyName"), policy, validation.IsDNS1123Subdomain(policy))
	}
	errs = append(errs, validateParams(params, at.Child("paramRef"))...)
	if m != nil {
		errs = append(errs, validateMatch(m, at.Child("matchResources"))...)
	}
	return errs
}

func validatePolicyBinding(s *admissionv1.ValidatingAdmissionPolicyBindingSpec, at *field.Path) field.ErrorList {
	errs := validateBound(s.PolicyName, s.ParamRef, s.MatchResources, at)
	actions := at.Child("validationActions")
	if len(s.ValidationActions) == 0 {
		errs = append(errs, field.Required(actions, "at least one validation action is required"))
	}
	for i, a := range s.ValidationActions {
		errs = oneOf(errs, actions.Index(i), a, admissionv1.Deny, admissionv1.Warn, admissionv1.Audit)
		if slices.Contains(s.ValidationActions[:i], a) {
			errs = append(errs, field.Duplicate(actions.Index(i), a))
		}
	}
	if slices.Contains(s.ValidationActions, admissionv1.Deny) && slices.Contains(s.ValidationActions, admissionv1.Warn) {
		errs = append(errs, field.Invalid(actions, s.ValidationActions,
			"must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"))
	}
	return errs
}

func validateParams(r *admissionv1.ParamRef, at *field.Path) field.ErrorList {
	if r == nil {
		return nil
	}
	var errs field.ErrorList
	switch {
	case r.Name == "" && r.Selector == nil:
		errs = append(errs, field.Required(at.Child("name"), "name or selector must be specified"))
	case r.Name != "" && r.Selector != nil:
		errs = append(errs, field.Forbidden(at.Child("name"), "name and selector are mutually exclusive"))
	}
	errs = append(errs, validatePicks(r.Selector, at.Child("selector"))...)
	if r.ParameterNotFoundAction == nil {
		return append(errs, field.Required(at.Child("parameterNotFoundAction"), ""))
	}
	return oneOf(errs, at.Child("parameterNotFoundAction"), *r.ParameterNotFoundAction, admissionv1.AllowAction, admissionv1.DenyAction)
}
