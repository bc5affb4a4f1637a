package manifest

import (
	"net/url"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// defaultMutating fills in what a configuration leaves open.
func defaultMutating(c *admissionv1.MutatingWebhookConfiguration) {
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		plain := AsValidating(*w)
		defaultWebhook(&plain)
		w.ClientConfig, w.Rules, w.FailurePolicy, w.MatchPolicy = plain.ClientConfig, plain.Rules, plain.FailurePolicy, plain.MatchPolicy
		w.NamespaceSelector, w.ObjectSelector, w.TimeoutSeconds = plain.NamespaceSelector, plain.ObjectSelector, plain.TimeoutSeconds
		pointTo(&w.ReinvocationPolicy, admissionv1.NeverReinvocationPolicy)
	}
}

func defaultValidating(c *admissionv1.ValidatingWebhookConfiguration) {
	for i := range c.Webhooks {
		defaultWebhook(&c.Webhooks[i])
	}
}

// AsValidating is what a mutating webhook has in common with a validating one.
func AsValidating(w admissionv1.MutatingWebhook) admissionv1.ValidatingWebhook {
	return admissionv1.ValidatingWebhook{Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy,
		MatchPolicy: w.MatchPolicy, NamespaceSelector: w.NamespaceSelector, ObjectSelector: w.ObjectSelector, SideEffects: w.SideEffects,
		TimeoutSeconds: w.TimeoutSeconds, AdmissionReviewVersions: w.AdmissionReviewVersions, MatchConditions: w.MatchConditions}
}

// webhookSeconds is how long a webhook may take that says nothing, and at most.
const (
	webhookSeconds    = 10
	maxWebhookSeconds = 30
	webhookPort       = 443
)

func defaultWebhook(w *admissionv1.ValidatingWebhook) {
	pointTo(&w.FailurePolicy, admissionv1.Fail)
	pointTo(&w.MatchPolicy, admissionv1.Equivalent)
	pointTo(&w.NamespaceSelector, metav1.LabelSelector{})
	pointTo(&w.ObjectSelector, metav1.LabelSelector{})
	pointTo(&w.TimeoutSeconds, webhookSeconds)
	if s := w.ClientConfig.Service; s != nil {
		pointTo(&s.Port, webhookPort)
	}
	for i := range w.Rules {
		pointTo(&w.Rules[i].Scope, admissionv1.AllScopes)
	}
}

func validateMutating(c *admissionv1.MutatingWebhookConfiguration) field.ErrorList {
	plain := make([]admissionv1.ValidatingWebhook, len(c.Webhooks))
	for i, w := range c.Webhooks {
		plain[i] = AsValidating(w)
	}
	errs := validateWebhooks(plain)
	for i, w := range c.Webhooks {
		at := field.NewPath("webhooks").Index(i).Child("reinvocationPolicy")
		errs = oneOfPointed(errs, at, w.ReinvocationPolicy, admissionv1.NeverReinvocationPolicy, admissionv1.IfNeededReinvocationPolicy)
	}
	return errs
}

func validateValidating(c *admissionv1.ValidatingWebhookConfiguration) field.ErrorList {
	return validateWebhooks(c.Webhooks)
}

func validateWebhooks(all []admissionv1.ValidatingWebhook) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i := range all {
		at := field.NewPath("webhooks").Index(i)
		errs = append(errs, validateWebhook(&all[i], at)...)
		if seen[all[i].Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), all[i].Name))
		}
		seen[all[i].Name] = true
	}
	return errs
}

func validateWebhook(w *admissionv1.ValidatingWebhook, at *field.Path) field.ErrorList {
	errs := validation.IsFullyQualifiedName(at.Child("name"), w.Name)
	for i, r := range w.Rules {
		errs = append(errs, validateHooked(r, at.Child("rules").Index(i))...)
	}
	errs = oneOfPointed(errs, at.Child("failurePolicy"), w.FailurePolicy, admissionv1.Fail, admissionv1.Ignore)
	errs = oneOfPointed(errs, at.Child("matchPolicy"), w.MatchPolicy, admissionv1.Exact, admissionv1.Equivalent)
	errs = append(errs, validatePicks(w.NamespaceSelector, at.Child("namespaceSelector"))...)
	errs = append(errs, validatePicks(w.ObjectSelector, at.Child("objectSelector"))...)
	if w.SideEffects == nil {
		errs = append(errs, field.Required(at.Child("sideEffects"), "must specify one of None, NoneOnDryRun"))
	}
	errs = oneOfPointed(errs, at.Child("sideEffects"), w.SideEffects, admissionv1.SideEffectClassNone, admissionv1.SideEffectClassNoneOnDryRun)
	if t := w.TimeoutSeconds; t != nil && (*t < 1 || *t > maxWebhookSeconds) {
		errs = append(errs, field.Invalid(at.Child("timeoutSeconds"), *t, "the timeout value must be between 1 and 30 seconds"))
	}
	switch versions := at.Child("admissionReviewVersions"); {
	case len(w.AdmissionReviewVersions) == 0:
		errs = append(errs, field.Required(versions, "must specify one of v1"))
	case !slices.Contains(w.AdmissionReviewVersions, "v1"):
		errs = append(errs, field.Invalid(versions, w.AdmissionReviewVersions, "must include at least one of v1"))
	}
	for i, v := range w.AdmissionReviewVersions {
		here := at.Child("admissionReviewVersions").Index(i)
		if errs = invalid(errs, here, v, validation.IsDNS1035Label(v)); slices.Contains(w.AdmissionReviewVersions[:i], v) {
			errs = append(errs, field.Invalid(here, v, "duplicate version"))
		}
	}
	errs = append(errs, validateClient(&w.ClientConfig, at.Child("clientConfig"))...)
	return append(errs, validateConditions(w.MatchConditions, at.Child("matchConditions"))...)
}

func oneOfPointed[T ~string](errs field.ErrorList, at *field.Path, value *T, allowed ...T) field.ErrorList {
	if value == nil {
		return errs
	}
	return oneOf(errs, at, *value, allowed...)
}

// validateClient wants one place where the webhook is.
func validateClient(c *admissionv1.WebhookClientConfig, at *field.Path) field.ErrorList {
	if (c.URL == nil) == (c.Service == nil) {
		return field.ErrorList{field.Required(at, "exactly one of url or service is required")}
	}
	if c.URL != nil {
		return validateHookURL(*c.URL, at.Child("url"))
	}
	var errs field.ErrorList
	at = at.Child("service")
	if c.Service.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), "service name is required"))
	}
	if c.Service.Namespace == "" {
		errs = append(errs, field.Required(at.Child("namespace"), "service namespace is required"))
	}
	if p := c.Service.Port; p != nil {
		errs = invalid(errs, at.Child("port"), *p, validation.IsValidPortNum(int(*p)))
	}
	if p := c.Service.Path; p != nil && *p != "" && (*p)[0] != '/' {
		errs = append(errs, field.Invalid(at.Child("path"), *p, "must start with a '/'"))
	}
	return errs
}

func validateHookURL(raw string, at *field.Path) field.ErrorList {
	const form = "; desired format: https://host[:port]/path"
	u, err := url.Parse(raw)
	var errs field.ErrorList
	switch {
	case err != nil:
		return field.ErrorList{field.Required(at, "url must be a valid URL: "+err.Error()+form)}
	case u.Scheme != "https":
		errs = append(errs, field.Invalid(at, u.Scheme, "'https' is the only allowed URL scheme"+form))
	}
	if u.Host == "" {
		errs = append(errs, field.Invalid(at, u.Host, "host must be specified"+form))
	}
	if u.User != nil {
		errs = append(errs, field.Invalid(at, u.User.String(), "user information is not permitted in the URL"))
	}
	if u.Fragment != "" {
		errs = append(errs, field.Invalid(at, u.Fragment, "fragments are not permitted in the URL"))
	}
	if u.RawQuery != "" {
		errs = append(errs, field.Invalid(at, u.RawQuery, "query parameters are not permitted in the URL"))
	}
	return errs
}

// validateHooked is about what a webhook or policy is asked about.
func validateHooked(r admissionv1.RuleWithOperations, at *field.Path) field.ErrorList {
	errs := validateStars(r.APIGroups, at.Child("apiGroups"), true)
	errs = append(errs, validateStars(r.APIVersions, at.Child("apiVersions"), false)...)
	if len(r.Resources) == 0 {
		errs = append(errs, field.Required(at.Child("resources"), ""))
	}
	for i, res := range r.Resources {
		if res == "" {
			errs = append(errs, field.Required(at.Child("resources").Index(i), ""))
		}
	}
	if len(r.Operations) == 0 {
		errs = append(errs, field.Required(at.Child("operations"), ""))
	}
	if slices.Contains(r.Operations, admissionv1.OperationAll) && len(r.Operations) > 1 {
		errs = append(errs, field.Invalid(at.Child("operations"), r.Operations, "if '*' is present, must not specify other operations"))
	}
	for i, op := range r.Operations {
		errs = oneOf(errs, at.Child("operations").Index(i), op, admissionv1.OperationAll, admissionv1.Create, admissionv1.Update, admissionv1.Delete, admissionv1.Connect)
	}
	return oneOfPointed(errs, at.Child("scope"), r.Scope, admissionv1.AllScopes, admissionv1.ClusterScope, admissionv1.NamespacedScope)
}

func validateStars(values []string, at *field.Path, emptyToo bool) field.ErrorList {
	var errs field.ErrorList
	if len(values) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	if slices.Contains(values, "*") && len(values) > 1 {
		errs = append(errs, field.Invalid(at, values, "if '*' is present, must not specify other values"))
	}
	for i, v := range values {
		if v == "" && !emptyToo {
			errs = append(errs, field.Required(at.Index(i), ""))
		}
	}
	return errs
}

// maxConditions is how many conditions a webhook or policy may have.
const maxConditions = 64

// validateConditions looks at names; whether the expressions can be compiled is
// known where they are evaluated.
func validateConditions(all []admissionv1.MatchCondition, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(all) > maxConditions {
		errs = append(errs, field.TooMany(at, len(all), maxConditions))
	}
	seen := map[string]bool{}
	for i, c := range all {
		here := at.Index(i)
		if c.Name == "" {
			errs = append(errs, field.Required(here.Child("name"), ""))
		} else {
			errs = invalid(errs, here.Child("name"), c.Name, validation.IsQualifiedName(c.Name))
		}
		if c.Expression == "" {
			errs = append(errs, field.Required(here.Child("expression"), ""))
		}
		if seen[c.Name] {
			errs = append(errs, field.Duplicate(here.Child("name"), c.Name))
		}
		seen[c.Name] = true
	}
	return errs
}
