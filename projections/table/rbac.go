package table

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bindingRow is a binding's row: who is in it by kind, when that is asked for.
func bindingRow(name string, ref rbacv1.RoleRef, age string, subjects []rbacv1.Subject) []string {
	var users, groups, accounts []string
	for _, s := range subjects {
		switch s.Kind {
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, s.Namespace+"/"+s.Name)
		}
	}
	return []string{name, ref.Kind + "/" + ref.Name, age, strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", ")}
}

// metaAlone is meta without the namespace: kubectl leaves it out of roles.
func (p page) metaAlone(o metav1.Object) {
	p.line(0, "Name:\t%s", o.GetName())
	p.labels("Labels", o.GetLabels())
	p.labels("Annotations", o.GetAnnotations())
}

// role tells what a role allows, a line for each resource, as kubectl does.
func (p page) role(o metav1.Object, rules []rbacv1.PolicyRule) {
	p.metaAlone(o)
	p.line(0, "PolicyRule:")
	p.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs")
	p.line(1, "---------\t-----------------\t--------------\t-----")
	var lines []string
	for _, r := range rules {
		lines = append(lines, ruleLines(r)...)
	}
	slices.Sort(lines)
	for _, l := range slices.Compact(lines) {
		p.line(1, "%s", l)
	}
}

func ruleLines(r rbacv1.PolicyRule) []string {
	if len(r.NonResourceURLs) > 0 {
		return []string{fmt.Sprintf("\t%v\t%v\t%v", r.NonResourceURLs, r.ResourceNames, r.Verbs)}
	}
	var out []string
	for _, group := range r.APIGroups {
		for _, resource := range r.Resources {
			name, sub, _ := strings.Cut(resource, "/")
			if group != "" {
				name += "." + group
			}
			if sub != "" {
				name += "/" + sub
			}
			out = append(out, fmt.Sprintf("%s\t[]\t%v\t%v", name, r.ResourceNames, r.Verbs))
		}
	}
	return out
}

// binding tells who has which role.
func (p page) binding(o metav1.Object, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
	p.metaAlone(o)
	p.line(0, "Role:")
	p.line(1, "Kind:\t%s", ref.Kind)
	p.line(1, "Name:\t%s", ref.Name)
	p.line(0, "Subjects:")
	p.line(1, "Kind\tName\tNamespace")
	p.line(1, "----\t----\t---------")
	for _, s := range subjects {
		p.line(1, "%s\t%s\t%s", s.Kind, s.Name, s.Namespace)
	}
}
