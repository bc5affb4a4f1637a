package kube

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// scalable are the kinds that have replicas.
var scalable = map[events.Resource]bool{events.Deployments: true, events.ReplicaSets: true, events.StatefulSets: true, events.Controllers: true}

// scale is the scale subresource of a workload.
type scale struct{ of *objects }

// New implements rest.Storage.
func (scale) New() runtime.Object {
	return &autoscalingv1.Scale{TypeMeta: metav1.TypeMeta{Kind: "Scale", APIVersion: "autoscaling/v1"}}
}

// Destroy implements rest.Storage.
func (scale) Destroy() {}

// GroupVersionKind implements rest.GroupVersionKindProvider.
func (scale) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return autoscalingv1.SchemeGroupVersion.WithKind("Scale")
}

// ConvertToTable implements rest.TableConvertor.
func (s scale) ConvertToTable(_ context.Context, obj, opts runtime.Object) (*metav1.Table, error) {
	return tableOf(obj, opts, func([]events.Object) table.Table {
		one, _ := obj.(*autoscalingv1.Scale)
		return table.Scales([]*autoscalingv1.Scale{one}, s.of.Now())
	})
}

// Get implements rest.Getter.
func (s scale) Get(ctx context.Context, name string, opts *metav1.GetOptions) (runtime.Object, error) {
	found, err := s.of.Get(ctx, name, opts)
	if err != nil {
		return nil, err
	}
	return s.scaleOf(found)
}

func (s scale) scaleOf(o runtime.Object) (*autoscalingv1.Scale, error) {
	if u, ok := o.(*unstructured.Unstructured); ok && s.of.definition != nil {
		return s.of.customScale(u)
	}
	return scaleOf(o)
}

// scaleOf is a workload's scale.
func scaleOf(o runtime.Object) (*autoscalingv1.Scale, error) {
	var wanted *int32
	var status autoscalingv1.ScaleStatus
	var selector *metav1.LabelSelector
	var m metav1.ObjectMeta
	switch o := o.(type) {
	case *appsv1.Deployment:
		m, wanted, selector, status.Replicas = o.ObjectMeta, o.Spec.Replicas, o.Spec.Selector, o.Status.Replicas
	case *appsv1.ReplicaSet:
		m, wanted, selector, status.Replicas = o.ObjectMeta, o.Spec.Replicas, o.Spec.Selector, o.Status.Replicas
	case *appsv1.StatefulSet:
		m, wanted, selector, status.Replicas = o.ObjectMeta, o.Spec.Replicas, o.Spec.Selector, o.Status.Replicas
	case *corev1.ReplicationController:
		m, wanted, selector, status.Replicas = o.ObjectMeta, o.Spec.Replicas, metav1.SetAsLabelSelector(o.Spec.Selector), o.Status.Replicas
	default:
		return nil, apierrors.NewInternalError(fmt.Errorf("scale of %T: it has no replicas", o))
	}
	sel, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	status.Selector = sel.String()
	out, _ := scale{}.New().(*autoscalingv1.Scale)
	out.ObjectMeta = metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, CreationTimestamp: m.CreationTimestamp}
	out.Spec.Replicas, out.Status = 1, status
	if wanted != nil {
		out.Spec.Replicas = *wanted
	}
	return out, nil
}

// Update implements rest.Updater. Who scales becomes no manager of replicas
// here; the log says who it was.
func (s scale) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, _ rest.ValidateObjectFunc, validate rest.ValidateObjectUpdateFunc,
	_ bool, opts *metav1.UpdateOptions) (runtime.Object, bool, error) {
	for range writeTries {
		found, err := s.of.Get(ctx, name, nil)
		if err != nil {
			return nil, false, err
		}
		out, err := s.updateOnce(ctx, found, info, validate, len(opts.DryRun) > 0)
		var again moved
		if !errors.As(err, &again) {
			return out, false, err
		}
		if _, err = s.of.Views.WaitDurable(ctx, again.seq); err != nil {
			return nil, false, apierrors.NewTimeoutError("the request did not complete within the allotted timeout", 0)
		}
	}
	return nil, false, apierrors.NewConflict(s.of.resource(), name, errMoved)
}

func (s scale) updateOnce(ctx context.Context, found runtime.Object, info rest.UpdatedObjectInfo, validate rest.ValidateObjectUpdateFunc, dryRun bool) (runtime.Object, error) {
	old, err := s.scaleOf(found)
	if err != nil {
		return nil, err
	}
	obj, err := info.UpdatedObject(ctx, old.DeepCopy())
	if err != nil {
		return nil, err
	}
	next, ok := obj.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected input object type to be Scale, but %T", obj))
	}
	if validate != nil {
		if err := validate(ctx, obj.DeepCopyObject(), old); err != nil {
			return nil, err
		}
	}
	if v := next.ResourceVersion; v != "" && v != old.ResourceVersion {
		return nil, apierrors.NewConflict(s.of.resource(), old.Name, errMoved)
	}
	k := s.of.key(ctx, old.Name)
	out, err := s.of.submit(ctx, change{key: k, dryRun: dryRun, Request: admit.Request{
		ChangeRequest: wire.ChangeRequest{Operation: wire.Scale, Replicas: next.Spec.Replicas, CurrentReplicas: &old.Spec.Replicas},
		Item:          wire.Item{Key: k, UID: events.UID(old.UID)}}})
	if apierrors.IsConflict(err) {
		return nil, moved{out.view.Seq} // somebody else scaled it just now
	}
	if err != nil {
		return nil, err
	}
	now, ok, err := s.of.shown(ctx, out.view, k, out.now)
	if err != nil || !ok {
		return next, err
	}
	return s.scaleOf(now)
}
