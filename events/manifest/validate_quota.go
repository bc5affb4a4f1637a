package manifest

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// whole are the names of quotas that count: nobody has half a pod.
var whole = []corev1.ResourceName{corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers, corev1.ResourceSecrets,
	corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims, corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers}

// measured are the names of quotas that sum up what pods ask for.
var measured = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
	corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsEphemeralStorage, corev1.ResourceRequestsStorage,
	corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage}

func validateQuota(s *corev1.ResourceQuotaSpec) field.ErrorList {
	var errs field.ErrorList
	for _, name := range resourceNames(s.Hard) {
		n, at := s.Hard[name], field.NewPath("spec", "hard").Key(string(name))
		errs = invalid(errs, at, name, validation.IsQualifiedName(string(name)))
		if !strings.Contains(string(name), "/") && !quotaName(name) {
			errs = append(errs, field.Invalid(at, name, "must be a standard resource for quota"))
		}
		if n.Sign() < 0 {
			errs = append(errs, field.Invalid(at, n.String(), "must be greater than or equal to 0"))
		}
		if (slices.Contains(whole, name) || strings.HasPrefix(string(name), "count/")) && n.MilliValue()%1000 != 0 {
			errs = append(errs, field.Invalid(at, n.String(), "must be an integer"))
		}
	}
	var scopes []corev1.ResourceQuotaScope
	at := field.NewPath("spec", "scopes")
	for i, scope := range s.Scopes {
		errs = append(errs, validateScope(scope, s.Hard, at.Index(i))...)
		scopes = append(scopes, scope)
	}
	errs = append(errs, apart(scopes, at)...)
	if s.ScopeSelector == nil {
		return errs
	}
	scopes, at = nil, field.NewPath("spec", "scopeSelector", "matchExpressions")
	for i, want := range s.ScopeSelector.MatchExpressions {
		errs = append(errs, validateScope(want.ScopeName, s.Hard, at.Index(i).Child("scopeName"))...)
		errs = append(errs, validateScopeMatch(want, at.Index(i))...)
		scopes = append(scopes, want.ScopeName)
	}
	return append(errs, apart(scopes, at)...)
}

// quotaName tells whether a quota may limit what has this name.
func quotaName(name corev1.ResourceName) bool {
	return slices.Contains(whole, name) || slices.Contains(measured, name) || strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) ||
		strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
}

// validateScope wants a scope that says something of all that the quota limits.
func validateScope(scope corev1.ResourceQuotaScope, hard corev1.ResourceList, at *field.Path) field.ErrorList {
	scoped := []corev1.ResourceName{corev1.ResourcePods}
	switch scope {
	case corev1.ResourceQuotaScopeBestEffort:
	case corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating, corev1.ResourceQuotaScopeNotBestEffort,
		corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeCrossNamespacePodAffinity:
		scoped = append(scoped, measured...)
	default:
		return field.ErrorList{field.Invalid(at, scope, "unsupported scope")}
	}
	for _, name := range resourceNames(hard) {
		if quotaName(name) && !slices.Contains(scoped, name) {
			return field.ErrorList{field.Invalid(at, scope, "unsupported scope applied to resource "+string(name))}
		}
	}
	return nil
}

func validateScopeMatch(want corev1.ScopedResourceSelectorRequirement, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if want.ScopeName != corev1.ResourceQuotaScopePriorityClass && want.Operator != corev1.ScopeSelectorOpExists {
		errs = append(errs, field.Invalid(at.Child("operator"), want.Operator, "must be 'Exists' when scope is any of Terminating, NotTerminating, BestEffort, NotBestEffort or CrossNamespacePodAffinity"))
	}
	switch want.Operator {
	case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
		if len(want.Values) == 0 {
			errs = append(errs, field.Required(at.Child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"))
		}
	case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
		if len(want.Values) != 0 {
			errs = append(errs, field.Invalid(at.Child("values"), want.Values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"))
		}
	default:
		errs = append(errs, field.Invalid(at.Child("operator"), want.Operator, "not a valid selector operator"))
	}
	return errs
}

// apart refuses scopes of which no pod is in both.
func apart(scopes []corev1.ResourceQuotaScope, at *field.Path) field.ErrorList {
	for _, pair := range [][2]corev1.ResourceQuotaScope{
		{corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort}, {corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating},
	} {
		if slices.Contains(scopes, pair[0]) && slices.Contains(scopes, pair[1]) {
			return field.ErrorList{field.Invalid(at, scopes, "conflicting scopes")}
		}
	}
	return nil
}

// updateQuota keeps what a quota is about: its sum would be another one.
func updateQuota(old, next *corev1.ResourceQuotaSpec) field.ErrorList {
	sorted := func(scopes []corev1.ResourceQuotaScope) []corev1.ResourceQuotaScope {
		return slices.Compact(slices.Sorted(slices.Values(scopes)))
	}
	if slices.Equal(sorted(old.Scopes), sorted(next.Scopes)) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("spec", "scopes"), next.Scopes, immutable)}
}

func validateLimitRange(o *corev1.LimitRange) field.ErrorList {
	var errs field.ErrorList
	seen := map[corev1.LimitType]bool{}
	for i := range o.Spec.Limits {
		item, at := &o.Spec.Limits[i], field.NewPath("spec", "limits").Index(i)
		switch errs = invalid(errs, at.Child("type"), item.Type, validation.IsQualifiedName(string(item.Type))); {
		case seen[item.Type]:
			errs = append(errs, field.Duplicate(at.Child("type"), item.Type))
		case item.Type != corev1.LimitTypePod && item.Type != corev1.LimitTypeContainer && item.Type != corev1.LimitTypePersistentVolumeClaim && !strings.Contains(string(item.Type), "/"):
			errs = append(errs, field.Invalid(at.Child("type"), item.Type, "must be a standard limit type or fully qualified"))
		}
		seen[item.Type] = true
		errs = append(errs, validateLimits(item, at)...)
	}
	return errs
}

func validateLimits(item *corev1.LimitRangeItem, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	all := corev1.ResourceList{}
	for _, side := range []struct {
		name string
		of   corev1.ResourceList
	}{{"max", item.Max}, {"min", item.Min}, {"default", item.Default}, {"defaultRequest", item.DefaultRequest}, {"maxLimitRequestRatio", item.MaxLimitRequestRatio}} {
		if strings.HasPrefix(side.name, "default") && item.Type == corev1.LimitTypePod && len(side.of) > 0 {
			errs = append(errs, field.Forbidden(at.Child(side.name), "may not be specified when `type` is 'Pod'"))
			continue
		}
		if item.Type == corev1.LimitTypePod || item.Type == corev1.LimitTypeContainer {
			errs = append(errs, validateQuantities(side.of, at.Child(side.name))...)
		} else {
			errs = append(errs, validateLimited(side.of, at.Child(side.name))...)
		}
		inherit(&all, side.of)
	}
	_, least := item.Min[corev1.ResourceStorage]
	if _, most := item.Max[corev1.ResourceStorage]; item.Type == corev1.LimitTypePersistentVolumeClaim && !least && !most {
		errs = append(errs, field.Required(at.Child("limits"), "either minimum or maximum storage value is required, but neither was provided"))
	}
	for _, name := range resourceNames(all) {
		errs = append(errs, validateOrder(item, name, at)...)
		errs = append(errs, validateRatio(item, name, at)...)
	}
	return errs
}

// validateLimited wants names that Kubernetes gives, or with a domain.
func validateLimited(list corev1.ResourceList, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, name := range resourceNames(list) {
		errs = invalid(errs, at.Key(string(name)), string(name), validation.IsQualifiedName(string(name)))
		if !strings.Contains(string(name), "/") && !quotaName(name) && name != corev1.ResourceStorage {
			errs = append(errs, field.Invalid(at.Key(string(name)), name, "must be a standard resource type or fully qualified"))
		}
	}
	return errs
}

// validateOrder wants min ≤ defaultRequest ≤ default ≤ max, of those that are said.
func validateOrder(item *corev1.LimitRangeItem, name corev1.ResourceName, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, rule := range []struct {
		of            string // the field that is told of
		less, more    corev1.ResourceList
		lesser, other string
	}{
		{"min", item.Min, item.Max, "min", "max"},
		{"defaultRequest", item.Min, item.DefaultRequest, "min", "default request"},
		{"defaultRequest", item.DefaultRequest, item.Max, "default request", "max"},
		{"defaultRequest", item.DefaultRequest, item.Default, "default request", "default limit"},
		{"default", item.Min, item.Default, "min", "default"},
		{"default", item.Default, item.Max, "default", "max"},
	} {
		less, ok := rule.less[name]
		more, both := rule.more[name]
		if ok && both && less.Cmp(more) > 0 {
			errs = append(errs, field.Invalid(at.Child(rule.of).Key(string(name)), less.String(),
				fmt.Sprintf("%s value %s is greater than %s value %s", rule.lesser, less.String(), rule.other, more.String())))
		}
	}
	return errs
}

func validateRatio(item *corev1.LimitRangeItem, name corev1.ResourceName, at *field.Path) field.ErrorList {
	ratio, ok := item.MaxLimitRequestRatio[name]
	if !ok {
		return nil
	}
	here := at.Child("maxLimitRequestRatio").Key(string(name))
	if ratio.Cmp(*resource.NewQuantity(1, resource.DecimalSI)) < 0 {
		return field.ErrorList{field.Invalid(here, ratio.String(), fmt.Sprintf("ratio %s is less than 1", ratio.String()))}
	}
	least, some := item.Min[name]
	most, both := item.Max[name]
	if !some || !both || least.IsZero() {
		return nil
	}
	if bound := most.AsApproximateFloat64() / least.AsApproximateFloat64(); ratio.AsApproximateFloat64() > bound {
		return field.ErrorList{field.Invalid(here, ratio.String(), fmt.Sprintf("ratio %s is greater than max/min = %f", ratio.String(), bound))}
	}
	return nil
}
