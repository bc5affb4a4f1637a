package projections

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
)

// ClusterRules are what a ClusterRole allows. One that is made of others has
// theirs, whatever its own manifest says: they are a fold and nobody writes them.
// The rules are shared: never change them.
func (s State) ClusterRules(o *Object) []rbacv1.PolicyRule {
	role := As[*rbacv1.ClusterRole](o)
	if role.AggregationRule == nil {
		return role.Rules
	}
	a := aggregation{state: s, been: map[string]bool{}, have: map[string]bool{}}
	a.add(role)
	return a.rules
}

// aggregation is one ClusterRules under way.
type aggregation struct {
	state State
	been  map[string]bool // roles, so that two that hold each other end
	have  map[string]bool // rules, as JSON
	rules []rbacv1.PolicyRule
}

func (a *aggregation) add(role *rbacv1.ClusterRole) {
	a.been[role.Name] = true
	if role.AggregationRule == nil {
		for _, r := range role.Rules {
			if id := string(events.MustBody(r)); !a.have[id] {
				a.have[id] = true
				a.rules = append(a.rules, r)
			}
		}
		return
	}
	for i := range role.AggregationRule.ClusterRoleSelectors {
		selector, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			continue // admission read it
		}
		for o := range a.state.List(events.ClusterRoles, "") {
			part := As[*rbacv1.ClusterRole](o)
			if !a.been[part.Name] && selector.Matches(labels.Set(part.Labels)) {
				a.add(part)
			}
		}
	}
}
