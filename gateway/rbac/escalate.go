package rbac

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// EscalationError says which rights somebody would give away without having them.
type EscalationError struct {
	Who     Who
	Missing []rbacv1.PolicyRule
}

// Error implements error, in Kubernetes' words.
func (e *EscalationError) Error() string {
	groups := slices.Sorted(slices.Values(e.Who.Groups))
	out := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:", e.Who.Name, groups)
	for _, r := range e.Missing {
		out += "\n" + text(r)
	}
	return out
}

// text is a rule as Kubernetes prints it there.
func text(r rbacv1.PolicyRule) string {
	var parts []string
	for _, p := range []struct {
		name   string
		values []string
	}{{"APIGroups", r.APIGroups}, {"Resources", r.Resources}, {"NonResourceURLs", r.NonResourceURLs}, {"ResourceNames", r.ResourceNames}, {"Verbs", r.Verbs}} {
		if len(p.values) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", p.name, p.values))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// MayWrite refuses a role or binding that gives more than its writer has: one with
// the verb escalate on the role, or bind on the role that is bound, may. old is
// nil for a new object; what does not change what is given is everybody's.
func MayWrite(v projections.State, who Who, old, next events.Object) error {
	switch o := next.(type) {
	case *rbacv1.Role:
		if was, ok := old.(*rbacv1.Role); ok && sameRules(was.Rules, o.Rules) {
			return nil
		}
		return grantable(v, who, What{Verb: "escalate", Group: rbacv1.GroupName, Resource: "roles", Name: o.Name, Namespace: o.Namespace}, o.Rules)
	case *rbacv1.ClusterRole:
		was, ok := old.(*rbacv1.ClusterRole)
		if ok && sameRules(was.Rules, o.Rules) && same(was.AggregationRule, o.AggregationRule) {
			return nil
		}
		rules := o.Rules
		if o.AggregationRule != nil && !(ok && same(was.AggregationRule, o.AggregationRule)) {
			rules = everything() // it will have whatever somebody labels
		}
		return grantable(v, who, What{Verb: "escalate", Group: rbacv1.GroupName, Resource: "clusterroles", Name: o.Name}, rules)
	case *rbacv1.RoleBinding:
		if was, ok := old.(*rbacv1.RoleBinding); ok && same(was.Subjects, o.Subjects) && was.RoleRef == o.RoleRef {
			return nil
		}
		return bindable(v, who, o.RoleRef, o.Namespace)
	case *rbacv1.ClusterRoleBinding:
		if was, ok := old.(*rbacv1.ClusterRoleBinding); ok && same(was.Subjects, o.Subjects) && was.RoleRef == o.RoleRef {
			return nil
		}
		return bindable(v, who, o.RoleRef, "")
	}
	return nil
}

func sameRules(a, b []rbacv1.PolicyRule) bool { return same(a, b) }

func same(a, b any) bool { return string(events.MustBody(a)) == string(events.MustBody(b)) }

func bindable(v projections.State, who Who, ref rbacv1.RoleRef, namespace string) error {
	resource := map[string]string{"Role": "roles", "ClusterRole": "clusterroles"}[ref.Kind]
	return grantable(v, who, What{Verb: "bind", Group: rbacv1.GroupName, Resource: resource, Name: ref.Name, Namespace: namespace}, RulesOf(v, ref, namespace))
}

// grantable says whether somebody may give rules away: by a verb that says so, or
// because they have them all.
func grantable(v projections.State, who Who, verb What, rules []rbacv1.PolicyRule) error {
	if ok, _ := Allowed(v, who, verb); ok {
		return nil
	}
	if ok, missing := validation.Covers(Rules(v, who, verb.Namespace), rules); !ok {
		return &EscalationError{who, missing}
	}
	return nil
}
