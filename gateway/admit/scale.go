package admit

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

func scale(v projections.State, r Request) (Outcome, *refusal) {
	k, err := keyOf(v, r.Item)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Result: wire.Result{Key: k, Outcome: Scaled}}
	o, ok := v.Get(k)
	if !ok {
		return out, notFound(k)
	}
	out.Result.UID = o.UID
	if err := unmoved(v, o, r.Item.ResourceVersion, r.Item.UID); err != nil {
		return out, err
	}
	has, ok := replicas(o)
	var custom []reconcilers.Draft
	if _, defined := v.Definition(k.Resource); defined {
		if custom, has, err = scaleCustom(v, r, o); err != nil {
			return out, err
		}
	} else if !ok {
		return out, badRequest("%s cannot be scaled: only deployments, replicasets, statefulsets, replicationcontrollers and objects whose definition says so have replicas", k)
	}
	if want := r.CurrentReplicas; want != nil && *want >= 0 && *want != has {
		return out, conflict(k, fmt.Sprintf("Expected replicas to be %d, was %d", *want, has))
	}
	if r.Replicas < 0 {
		return out, invalid(k, field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), r.Replicas, "must be greater than or equal to 0")})
	}
	if has == r.Replicas {
		return out, nil
	}
	if custom != nil {
		out.Drafts = custom
		return out, nil
	}
	body := reconcilers.Same(o)
	body.Generation++
	body.Object = reconcilers.Edit(o.Raw, func(object map[string]any) {
		reconcilers.Field(object, "spec")["replicas"] = json.Number(fmt.Sprint(r.Replicas))
	})
	out.Drafts = []reconcilers.Draft{reconcilers.Change(o, body)}
	return out, nil
}

// replicas is how many pods an object asks for; ok is false for kinds that don't.
func replicas(o *projections.Object) (n int32, ok bool) {
	var p *int32
	switch o.Key.Resource {
	case events.Deployments:
		p = projections.As[*appsv1.Deployment](o).Spec.Replicas
	case events.ReplicaSets:
		p = projections.As[*appsv1.ReplicaSet](o).Spec.Replicas
	case events.StatefulSets:
		p = projections.As[*appsv1.StatefulSet](o).Spec.Replicas
	case events.Controllers:
		p = projections.As[*corev1.ReplicationController](o).Spec.Replicas
	default:
		return 0, false
	}
	if p == nil {
		return 1, true
	}
	return *p, true
}
