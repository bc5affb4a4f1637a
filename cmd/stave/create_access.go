package main

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// accessFlags are what `stave create` takes for who may do what, and how much.
type accessFlags struct {
	Verb        []string `help:"role, clusterrole: what is allowed, repeatable." placeholder:"VERB"`
	Resource    []string `help:"role, clusterrole: on what, repeatable: pods, deployments.apps, pods/log." placeholder:"RESOURCE"`
	Only        []string `name:"resource-name" help:"role, clusterrole: on these objects alone, repeatable." placeholder:"NAME"`
	Role        string   `help:"rolebinding: the role." placeholder:"NAME"`
	ClusterRole string   `name:"clusterrole" help:"rolebinding, clusterrolebinding: the role of the cluster." placeholder:"NAME"`
	User        []string `help:"…binding: a user, repeatable." placeholder:"NAME"`
	Group       []string `help:"…binding: a group, repeatable." placeholder:"NAME"`
	Account     []string `name:"serviceaccount" help:"…binding: a ServiceAccount, repeatable." placeholder:"NAMESPACE:NAME"`
	Hard        []string `help:"quota: bounds." placeholder:"pods=10,cpu=4"`
	Value       int32    `help:"priorityclass: its priority." placeholder:"N"`
}

// object is one of the kinds that need no more than these flags; nil when it is none of them.
func (f accessFlags) object(kind events.Kind, meta metav1.ObjectMeta) (events.Object, error) {
	switch kind.Resource {
	case events.Accounts:
		return &corev1.ServiceAccount{ObjectMeta: meta}, nil
	case events.PriorityClasses:
		return &schedulingv1.PriorityClass{ObjectMeta: meta, Value: f.Value}, nil
	case events.Quotas:
		hard, err := f.bounds()
		return &corev1.ResourceQuota{ObjectMeta: meta, Spec: corev1.ResourceQuotaSpec{Hard: hard}}, err
	case events.Roles:
		rules, err := f.rules()
		return &rbacv1.Role{ObjectMeta: meta, Rules: rules}, err
	case events.ClusterRoles:
		rules, err := f.rules()
		return &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, err
	case events.RoleBindings:
		ref, err := f.role(f.Role != "")
		return &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: f.subjects()}, err
	case events.ClusterRoleBindings:
		ref, err := f.role(false)
		return &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: f.subjects()}, err
	}
	return nil, nil
}

// rules allow the verbs on each resource, one rule an API group.
func (f accessFlags) rules() ([]rbacv1.PolicyRule, error) {
	if len(f.Verb) == 0 || len(f.Resource) == 0 {
		return nil, errors.New("at least one verb and one resource must be specified\nhelp: --verb=get,list --resource=pods")
	}
	var out []rbacv1.PolicyRule
	at := map[string]int{}
	for _, typed := range f.Resource {
		name, below, sub := strings.Cut(typed, "/")
		resource, group := "*", "*"
		if name != "*" {
			kind, err := kindNamed(name)
			if err != nil {
				return nil, err
			}
			resource, group = kind.Plural(), kind.Group
		}
		if sub {
			resource += "/" + below
		}
		i, ok := at[group]
		if !ok {
			i = len(out)
			at[group], out = i, append(out, rbacv1.PolicyRule{Verbs: f.Verb, APIGroups: []string{group}, ResourceNames: f.Only})
		}
		out[i].Resources = append(out[i].Resources, resource)
	}
	return out, nil
}

// role is what a binding is to.
func (f accessFlags) role(local bool) (rbacv1.RoleRef, error) {
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: f.ClusterRole}
	if local {
		ref.Kind, ref.Name = "Role", f.Role
	}
	if ref.Name == "" || local && f.ClusterRole != "" {
		return ref, errors.New("exactly one of --clusterrole or --role must be specified; a clusterrolebinding takes the first")
	}
	return ref, nil
}

func (f accessFlags) subjects() []rbacv1.Subject {
	var out []rbacv1.Subject
	for _, n := range f.User {
		out = append(out, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: n})
	}
	for _, n := range f.Group {
		out = append(out, rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: n})
	}
	for _, typed := range f.Account {
		namespace, name, _ := strings.Cut(typed, ":") // admission says what is missing
		out = append(out, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name})
	}
	return out
}

func (f accessFlags) bounds() (corev1.ResourceList, error) {
	out := corev1.ResourceList{}
	for _, typed := range f.Hard {
		name, amount, ok := strings.Cut(typed, "=")
		q, err := resource.ParseQuantity(amount)
		if !ok || err != nil {
			return nil, fmt.Errorf("--hard=%s: want pods=10,cpu=4", typed)
		}
		out[corev1.ResourceName(name)] = q
	}
	return out, nil
}
