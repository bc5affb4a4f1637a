package rbac

import (
	"bytes"
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

// AggregationError refuses a role that is the sum of others, to who may not everything: whatever somebody labels is in it.
type AggregationError struct{}

// Error implements error, in Kubernetes' words.
func (AggregationError) Error() string {
	return "must have cluster-admin privileges to use the aggregationRule"
}

// NoRoleError says that the role which is bound is not there: what it will once allow, nobody can hold against its writer.
type NoRoleError struct{ Resource, Name string }

// Error implements error.
func (e *NoRoleError) Error() string {
	return fmt.Sprintf("%s.%s %q not found", e.Resource, rbacv1.GroupName, e.Name)
}

// MayWrite refuses a role or binding that gives more than its writer has: one with
// the verb escalate on the role, or bind on the role that is bound, may. old is
// nil for a new object; what only lets an object go, or changes nothing, is everybody's. Labels
// are not: they make a role a part of others.
func MayWrite(v projections.State, who Who, old, next events.Object) error {
	if old != nil && sameButKept(old, next) {
		return nil
	}
	switch o := next.(type) {
	case *rbacv1.Role:
		return grantable(v, who, What{Verb: "escalate", Group: rbacv1.GroupName, Resource: "roles", Name: o.Name, Namespace: o.Namespace}, o.Rules)
	case *rbacv1.ClusterRole:
		was, _ := old.(*rbacv1.ClusterRole)
		return sumsUp(v, who, was, o)
	case *rbacv1.RoleBinding:
		return bindable(v, who, o.RoleRef, o.Namespace)
	case *rbacv1.ClusterRoleBinding:
		return bindable(v, who, o.RoleRef, "")
	}
	return nil
}

// sumsUp is MayWrite of a role of the cluster.
func sumsUp(v projections.State, who Who, old, next *rbacv1.ClusterRole) error {
	escalate := What{Verb: "escalate", Group: rbacv1.GroupName, Resource: "clusterroles", Name: next.Name}
	if err := grantable(v, who, escalate, next.Rules); err != nil {
		return err
	}
	if (sums(next) || old != nil && sums(old)) && grantable(v, who, escalate, everything()) != nil {
		return AggregationError{}
	}
	return nil
}

// sums tells a role that has the rules of others.
func sums(r *rbacv1.ClusterRole) bool {
	return r.AggregationRule != nil && len(r.AggregationRule.ClusterRoleSelectors) > 0
}

// sameButKept tells whether an object is the same but for what holds up its end.
func sameButKept(old, next events.Object) bool {
	return bytes.Equal(unkept(old), unkept(next))
}

func unkept(o events.Object) []byte {
	if c, ok := o.DeepCopyObject().(events.Object); ok {
		c.SetFinalizers(nil)
		o = c
	}
	return body(o)
}

func bindable(v projections.State, who Who, ref rbacv1.RoleRef, namespace string) error {
	resource := map[string]string{"Role": "roles", "ClusterRole": "clusterroles"}[ref.Kind]
	bind := What{Verb: "bind", Group: rbacv1.GroupName, Resource: resource, Name: ref.Name, Namespace: namespace}
	rules, there := roleOf(v, ref, namespace)
	if may, _ := Allowed(v, who, bind); !there && !may {
		return &NoRoleError{strings.TrimSuffix(resource, "s"), ref.Name}
	}
	return grantable(v, who, bind, rules)
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
