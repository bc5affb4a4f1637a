package manifest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// flowVerbs are what a FlowSchema can name.
var flowVerbs = []string{"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"}

// The bounds of Kubernetes' queues.
const (
	mostQueues  = 10_000_000
	mostEntropy = 60 // bits that a hand of queues is dealt from
)

func validateFlowSchema(f *flowcontrolv1.FlowSchema) field.ErrorList {
	at, s := field.NewPath("spec"), &f.Spec
	var errs field.ErrorList
	switch n, here := s.MatchingPrecedence, at.Child("matchingPrecedence"); {
	case n <= 0:
		errs = append(errs, field.Invalid(here, n, "must be a positive value"))
	case n > flowcontrolv1.FlowSchemaMaxMatchingPrecedence:
		errs = append(errs, field.Invalid(here, n, fmt.Sprintf("must not be greater than %d", flowcontrolv1.FlowSchemaMaxMatchingPrecedence)))
	case n == 1 && f.Name != flowcontrolv1.FlowSchemaNameExempt:
		errs = append(errs, field.Invalid(here, n, "only the schema named 'exempt' may have matchingPrecedence 1"))
	}
	if m := s.DistinguisherMethod; m != nil {
		errs = oneOf(errs, at.Child("distinguisherMethod", "type"), m.Type, flowcontrolv1.FlowDistinguisherMethodByNamespaceType, flowcontrolv1.FlowDistinguisherMethodByUserType)
	}
	if name, here := s.PriorityLevelConfiguration.Name, at.Child("priorityLevelConfiguration", "name"); name == "" {
		errs = append(errs, field.Required(here, "must reference a priority level"))
	} else {
		errs = invalid(errs, here, name, validation.IsDNS1123Subdomain(name))
	}
	for i, r := range s.Rules {
		errs = append(errs, validateFlowRule(&r, at.Child("rules").Index(i))...)
	}
	return errs
}

func validateFlowRule(r *flowcontrolv1.PolicyRulesWithSubjects, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Subjects) == 0 {
		errs = append(errs, field.Required(at.Child("subjects"), "subjects must contain at least one value"))
	}
	for i, s := range r.Subjects {
		errs = append(errs, validateFlowSubject(&s, at.Child("subjects").Index(i))...)
	}
	if len(r.ResourceRules) == 0 && len(r.NonResourceRules) == 0 {
		errs = append(errs, field.Required(at, "at least one of resourceRules and nonResourceRules has to be non-empty"))
	}
	for i, x := range r.ResourceRules {
		here := at.Child("resourceRules").Index(i)
		errs = append(errs, flowWords(x.Verbs, flowVerbs, "verbs", "verbs must contain at least one value", here.Child("verbs"))...)
		errs = append(errs, flowWords(x.APIGroups, nil, "api groups", "resource rules must supply at least one api group", here.Child("apiGroups"))...)
		errs = append(errs, flowWords(x.Resources, nil, "resources", "resource rules must supply at least one resource", here.Child("resources"))...)
		if len(x.Namespaces) > 0 || !x.ClusterScope {
			errs = append(errs, flowWords(x.Namespaces, nil, "namespaces", "resource rules that are not cluster scoped must supply at least one namespace", here.Child("namespaces"))...)
		}
		for n, ns := range x.Namespaces {
			for _, said := range validation.IsDNS1123Label(ns) {
				if ns != flowcontrolv1.NamespaceEvery {
					errs = append(errs, field.Invalid(here.Child("namespaces").Index(n), ns, "each member of this list must be '*' or a DNS-1123 label; "+said))
				}
			}
		}
	}
	for i, x := range r.NonResourceRules {
		here := at.Child("nonResourceRules").Index(i)
		errs = append(errs, flowWords(x.Verbs, flowVerbs, "verbs", "verbs must contain at least one value", here.Child("verbs"))...)
		errs = append(errs, flowWords(x.NonResourceURLs, nil, "non-resource URLs", "nonResourceURLs must contain at least one value", here.Child("nonResourceURLs"))...)
		for n, u := range x.NonResourceURLs {
			errs = append(errs, validateFlowPath(u, here.Child("nonResourceURLs").Index(n))...)
		}
	}
	return errs
}

// flowWords wants some words, or "*" alone; known are all that there are, nil when any will do.
func flowWords(words, known []string, what, none string, at *field.Path) field.ErrorList {
	every := slices.Contains(words, "*")
	switch {
	case len(words) == 0:
		return field.ErrorList{field.Required(at, none)}
	case every && len(words) > 1:
		return field.ErrorList{field.Invalid(at, words, "if '*' is present, must not specify other "+what)}
	case every || known == nil:
		return nil
	}
	for _, w := range words {
		if !slices.Contains(known, w) {
			return field.ErrorList{field.NotSupported(at, words, known)}
		}
	}
	return nil
}

func validateFlowPath(u string, at *field.Path) field.ErrorList {
	said := ""
	switch stars := strings.Count(u, "*"); {
	case u == "":
		said = "must not be empty"
	case u == "*" || u == "/":
	case !strings.HasPrefix(u, "/"):
		said = "must start with slash"
	case strings.Contains(u, " "):
		said = "must not contain white-space"
	case strings.Contains(u, "//"):
		said = "must not contain double slash"
	case stars > 1 || stars == 1 && !strings.HasSuffix(u, "/*"):
		said = "wildcard can only do suffix matching"
	}
	if said == "" {
		return nil
	}
	return field.ErrorList{field.Invalid(at, u, said)}
}

func validateFlowSubject(s *flowcontrolv1.Subject, at *field.Path) field.ErrorList {
	const user, group, account = flowcontrolv1.SubjectKindUser, flowcontrolv1.SubjectKindGroup, flowcontrolv1.SubjectKindServiceAccount
	errs := oneOf(nil, at.Child("kind"), s.Kind, group, account, user)
	if len(errs) > 0 {
		return errs
	}
	var name string
	var there bool
	part := map[flowcontrolv1.SubjectKind]string{user: "user", group: "group", account: "serviceAccount"}
	switch s.Kind {
	case user:
		if there = s.User != nil; there {
			name = s.User.Name
		}
	case group:
		if there = s.Group != nil; there {
			name = s.Group.Name
		}
	case account:
		if there = s.ServiceAccount != nil; there {
			name = s.ServiceAccount.Name
			if here := at.Child("serviceAccount", "namespace"); s.ServiceAccount.Namespace == "" {
				errs = append(errs, field.Required(here, "must specify namespace for service account"))
			} else {
				errs = invalid(errs, here, s.ServiceAccount.Namespace, validation.IsDNS1123Label(s.ServiceAccount.Namespace))
			}
		}
	}
	here := at.Child(part[s.Kind])
	switch {
	case !there:
		errs = append(errs, field.Required(here, fmt.Sprintf("%s is required when subject kind is '%s'", part[s.Kind], s.Kind)))
	case name == "":
		errs = append(errs, field.Required(here.Child("name"), ""))
	case s.Kind == account && name != flowcontrolv1.NameAll:
		errs = invalid(errs, here.Child("name"), name, validation.IsDNS1123Subdomain(name))
	}
	others := map[flowcontrolv1.SubjectKind]bool{user: s.User != nil, group: s.Group != nil, account: s.ServiceAccount != nil}
	for _, k := range []flowcontrolv1.SubjectKind{user, group, account} {
		if k != s.Kind && others[k] {
			errs = append(errs, field.Forbidden(at.Child(part[k]), fmt.Sprintf("%s is forbidden when subject kind is not '%s'", part[k], k)))
		}
	}
	return errs
}

func validatePriorityLevel(p *flowcontrolv1.PriorityLevelConfiguration) field.ErrorList {
	at, s := field.NewPath("spec"), &p.Spec
	const exempt, limited = flowcontrolv1.PriorityLevelEnablementExempt, flowcontrolv1.PriorityLevelEnablementLimited
	var errs field.ErrorList
	if (p.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt) != (s.Type == exempt) {
		errs = append(errs, field.Invalid(at.Child("type"), s.Type, "must be 'Exempt' if and only if `name` is 'exempt'"))
	}
	switch {
	case s.Type == "":
		return append(errs, field.Required(at.Child("type"), ""))
	case s.Type != exempt && s.Type != limited:
		return oneOf(errs, at.Child("type"), s.Type, exempt, limited)
	case s.Type == exempt && s.Limited != nil:
		errs = append(errs, field.Forbidden(at.Child("limited"), "must be nil if the type is not Limited"))
	case s.Type == limited && s.Exempt != nil:
		errs = append(errs, field.Forbidden(at.Child("exempt"), "must be nil if the type is Limited"))
	}
	if e, here := s.Exempt, at.Child("exempt"); e != nil && s.Type == exempt {
		errs = append(errs, validateShares(e.NominalConcurrencyShares, e.LendablePercent, here)...)
	}
	if s.Type != limited {
		return errs
	}
	here := at.Child("limited")
	if s.Limited == nil {
		return append(errs, field.Required(here, "must not be empty when type is Limited"))
	}
	errs = append(errs, validateShares(s.Limited.NominalConcurrencyShares, s.Limited.LendablePercent, here)...)
	if b := s.Limited.BorrowingLimitPercent; b != nil && *b < 0 {
		errs = append(errs, field.Invalid(here.Child("borrowingLimitPercent"), *b, "if specified, must be a non-negative integer"))
	}
	return append(errs, validateLimitResponse(&s.Limited.LimitResponse, here.Child("limitResponse"))...)
}

func validateShares(shares, lendable *int32, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if shares != nil && *shares < 0 {
		errs = append(errs, field.Invalid(at.Child("nominalConcurrencyShares"), *shares, "must be a non-negative integer"))
	}
	if lendable != nil && (*lendable < 0 || *lendable > 100) {
		errs = append(errs, field.Invalid(at.Child("lendablePercent"), *lendable, "must be between 0 and 100, inclusive"))
	}
	return errs
}

func validateLimitResponse(r *flowcontrolv1.LimitResponse, at *field.Path) field.ErrorList {
	const queue, reject = flowcontrolv1.LimitResponseTypeQueue, flowcontrolv1.LimitResponseTypeReject
	here := at.Child("queuing")
	switch {
	case r.Type == "":
		return field.ErrorList{field.Required(at.Child("type"), "")}
	case r.Type == reject && r.Queuing != nil:
		return field.ErrorList{field.Forbidden(here, "must be nil if limited.limitResponse.type is not Limited")}
	case r.Type == queue && r.Queuing == nil:
		return field.ErrorList{field.Required(here, "must not be empty if limited.limitResponse.type is Limited")}
	case r.Type != queue:
		return oneOf(nil, at.Child("type"), r.Type, queue, reject)
	}
	q := r.Queuing
	var errs field.ErrorList
	if q.QueueLengthLimit <= 0 {
		errs = append(errs, field.Invalid(here.Child("queueLengthLimit"), q.QueueLengthLimit, "must be positive"))
	}
	switch {
	case q.Queues <= 0:
		errs = append(errs, field.Invalid(here.Child("queues"), q.Queues, "must be positive"))
	case q.Queues > mostQueues:
		errs = append(errs, field.Invalid(here.Child("queues"), q.Queues, fmt.Sprintf("must not be greater than %d", mostQueues)))
	}
	hand := here.Child("handSize")
	switch entropy := int(math.Ceil(math.Log2(float64(q.Queues)) * float64(q.HandSize))); {
	case q.HandSize <= 0:
		errs = append(errs, field.Invalid(hand, q.HandSize, "must be positive"))
	case q.HandSize > q.Queues:
		errs = append(errs, field.Invalid(hand, q.HandSize, fmt.Sprintf("should not be greater than queues (%d)", q.Queues)))
	case entropy > mostEntropy:
		errs = append(errs, field.Invalid(hand, q.HandSize, fmt.Sprintf("required entropy bits of deckSize %d and handSize %d should not be greater than %d", q.Queues, q.HandSize, mostEntropy)))
	}
	return errs
}
