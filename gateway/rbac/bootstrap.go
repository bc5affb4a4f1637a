package rbac

import (
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Bootstrap drafts the defaults that a view lacks. As in Kubernetes, one that is
// there keeps what people added and gets what it lacks, unless its annotation
// autoupdate says "false"; so a cluster cannot be left without a way in.
func Bootstrap(v projections.State) []reconcilers.Draft {
	var out []reconcilers.Draft
	for _, want := range Defaults() {
		manifest.Default(want)
		k := events.Key{Resource: resourceOf(want), Namespace: want.GetNamespace(), Name: want.GetName()}
		have, there := v.Get(k)
		if !there {
			out = append(out, reconcilers.Create(k, events.Created{Object: body(want)}))
			continue
		}
		if next, lacks := completed(have.Typed(), want); lacks && have.Deletion == nil {
			out = append(out, reconcilers.Change(have, events.Changed{Generation: have.Generation, Owner: have.Owner, Owners: have.Owners, Object: body(next), Applied: have.Applied, Managed: have.Managed, Set: have.Set}))
		}
	}
	return out
}

func resourceOf(o events.Object) events.Resource {
	switch o.(type) {
	case *rbacv1.ClusterRoleBinding:
		return events.ClusterRoleBindings
	case *rbacv1.Role:
		return events.Roles
	}
	return events.ClusterRoles
}

// completed is an object with what it lacks of its default.
func completed(have, want events.Object) (events.Object, bool) {
	if have.GetAnnotations()[updated] == "false" {
		return nil, false
	}
	switch w := want.(type) {
	case *rbacv1.ClusterRole:
		next, ok := have.DeepCopyObject().(*rbacv1.ClusterRole)
		if !ok || w.AggregationRule != nil {
			return nil, false // its rules are those of others
		}
		covered, missing := validation.Covers(next.Rules, w.Rules)
		next.Rules = append(next.Rules, missing...)
		return next, !covered
	case *rbacv1.Role:
		next, ok := have.DeepCopyObject().(*rbacv1.Role)
		if !ok {
			return nil, false
		}
		covered, missing := validation.Covers(next.Rules, w.Rules)
		next.Rules = append(next.Rules, missing...)
		return next, !covered
	case *rbacv1.ClusterRoleBinding:
		next, ok := have.DeepCopyObject().(*rbacv1.ClusterRoleBinding)
		if !ok {
			return nil, false
		}
		before := len(next.Subjects)
		for _, s := range w.Subjects {
			if !slices.Contains(next.Subjects, s) {
				next.Subjects = append(next.Subjects, s)
			}
		}
		return next, len(next.Subjects) > before
	}
	return nil, false
}

func body(o events.Object) []byte {
	raw, err := manifest.Canonical(o)
	if err != nil {
		panic(fmt.Sprintf("draft %s: %v", o.GetName(), err)) // our own objects always encode
	}
	return raw
}
