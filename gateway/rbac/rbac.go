// Package rbac says who may do what: Kubernetes' roles and bindings, read from a
// state. It is pure, so a question about another moment of the cluster is the same
// call on another state.
package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Masters is the group that may do everything, whatever the roles say, so that
// nobody locks everybody out.
const Masters = "system:masters"

// Who asks.
type Who struct {
	Name   string
	Groups []string
}

// What is asked for: something of a resource, or of a path.
type What struct {
	Verb        string
	Group       string // of the API
	Resource    string
	Subresource string
	Name        string // empty: none in particular
	Namespace   string // empty: of the cluster, or of all namespaces
	Path        string // of what is no resource; else empty
}

// accountPrefix begins the user names of ServiceAccounts.
const accountPrefix = "system:serviceaccount:"

// Allowed says whether somebody may do something, and by which binding.
func Allowed(v projections.State, who Who, what What) (ok bool, reason string) {
	if slices.Contains(who.Groups, Masters) {
		return true, ""
	}
	for g := range grants(v, who, what.Namespace) {
		if slices.ContainsFunc(g.rules, what.in) {
			return true, "RBAC: allowed by " + g.by
		}
	}
	return false, ""
}

// Rules are all that somebody may do in a namespace, or, with none, everywhere.
func Rules(v projections.State, who Who, namespace string) []rbacv1.PolicyRule {
	if slices.Contains(who.Groups, Masters) {
		return everything()
	}
	var out []rbacv1.PolicyRule
	for g := range grants(v, who, namespace) {
		out = append(out, g.rules...)
	}
	return out
}

func everything() []rbacv1.PolicyRule {
	all := []string{"*"}
	return []rbacv1.PolicyRule{{Verbs: all, APIGroups: all, Resources: all}, {Verbs: all, NonResourceURLs: all}}
}

// grant is what one binding gives.
type grant struct {
	by    string // the binding and its role, in Kubernetes' words
	rules []rbacv1.PolicyRule
}

// grants walks the bindings that somebody is in: those of the cluster, and of the
// namespace if there is one.
func grants(v projections.State, who Who, namespace string) func(yield func(grant) bool) {
	return func(yield func(grant) bool) {
		for o := range v.List(events.ClusterRoleBindings, "") {
			b := projections.As[*rbacv1.ClusterRoleBinding](o)
			if s, in := who.among(b.Subjects, ""); in && !yield(grant{said("ClusterRoleBinding", b.Name, b.RoleRef, s), RulesOf(v, b.RoleRef, "")}) {
				return
			}
		}
		if namespace == "" {
			return
		}
		for o := range v.List(events.RoleBindings, namespace) {
			b := projections.As[*rbacv1.RoleBinding](o)
			if s, in := who.among(b.Subjects, namespace); in && !yield(grant{said("RoleBinding", b.Name+"/"+namespace, b.RoleRef, s), RulesOf(v, b.RoleRef, namespace)}) {
				return
			}
		}
	}
}

func said(kind, name string, ref rbacv1.RoleRef, s rbacv1.Subject) string {
	whom := s.Kind + " \"" + s.Name
	if s.Kind == rbacv1.ServiceAccountKind {
		whom += "/" + s.Namespace
	}
	return kind + " \"" + name + "\" of " + ref.Kind + " \"" + ref.Name + "\" to " + whom + "\""
}

// among finds somebody in a list of subjects.
func (w Who) among(subjects []rbacv1.Subject, namespace string) (rbacv1.Subject, bool) {
	for _, s := range subjects {
		in := false
		switch s.Kind {
		case rbacv1.UserKind:
			in = s.Name == w.Name
		case rbacv1.GroupKind:
			in = slices.Contains(w.Groups, s.Name)
		case rbacv1.ServiceAccountKind:
			if s.Namespace == "" {
				s.Namespace = namespace
			}
			in = s.Namespace != "" && w.Name == accountPrefix+s.Namespace+":"+s.Name
		}
		if in {
			return s, true
		}
	}
	return rbacv1.Subject{}, false
}

// RulesOf are those of the role that a binding in a namespace names; none for one
// that is not there.
func RulesOf(v projections.State, ref rbacv1.RoleRef, namespace string) []rbacv1.PolicyRule {
	rules, _ := roleOf(v, ref, namespace)
	return rules
}

// roleOf is RulesOf, and whether the role is there.
func roleOf(v projections.State, ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, bool) {
	if ref.Kind == "ClusterRole" {
		if o, ok := v.Get(events.Key{Resource: events.ClusterRoles, Name: ref.Name}); ok {
			return v.ClusterRules(o), true
		}
		return nil, false
	}
	if o, ok := v.Get(events.Key{Resource: events.Roles, Namespace: namespace, Name: ref.Name}); ok && namespace != "" {
		return projections.As[*rbacv1.Role](o).Rules, true
	}
	return nil, false
}

const all = "*"

// in says whether a rule allows it.
func (w What) in(r rbacv1.PolicyRule) bool {
	if !slices.Contains(r.Verbs, w.Verb) && !slices.Contains(r.Verbs, all) {
		return false
	}
	if w.Path != "" {
		return slices.ContainsFunc(r.NonResourceURLs, func(url string) bool { return covers(url, w.Path) })
	}
	return (slices.Contains(r.APIGroups, w.Group) || slices.Contains(r.APIGroups, all)) && slices.ContainsFunc(r.Resources, w.of) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, w.Name))
}

// of says whether a rule's word for resources means what is asked for.
func (w What) of(resource string) bool {
	full := w.Resource
	if w.Subresource != "" {
		full += "/" + w.Subresource
	}
	return resource == all || resource == full || w.Subresource != "" && resource == "*/"+w.Subresource
}

// covers says whether a rule's word for paths means a path.
func covers(url, path string) bool {
	return url == all || url == path || strings.HasSuffix(url, all) && strings.HasPrefix(path, strings.TrimRight(url, all))
}
