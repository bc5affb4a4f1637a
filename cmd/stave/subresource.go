package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// subresource is the part of an object that a command is about, as kubectl's --subresource names it; empty for all of it.
type subresource string

const (
	partStatus subresource = "status"
	partScale  subresource = "scale"
	partResize subresource = "resize"
)

// has wants a part to be one of a kind's. What objects of a definition have, the server knows.
func (p subresource) has(kind events.Kind) error {
	is := p == ""
	switch p {
	case partStatus:
		is = kind.Custom() || reflect.ValueOf(kind.New()).Elem().FieldByName("Status").IsValid()
	case partScale:
		is = scaleOf(kind.New()) != nil
	case partResize:
		is = kind.Resource == events.Pods
	}
	if !is {
		return fmt.Errorf("%s have no subresource %q", kind.Plural(), string(p))
	}
	return nil
}

// ofAll is has for objects.
func (p subresource) ofAll(items []wire.Item) error {
	var errs []error
	for _, it := range items {
		if kind, ok := kindOf(it.Key.Resource); ok {
			errs = append(errs, p.has(kind))
		}
	}
	return errors.Join(errs...)
}

// scaleOf is how many an object wants and has; nil when it has no such thing.
func scaleOf(o events.Object) *autoscalingv1.Scale {
	var wanted *int32
	var selector *metav1.LabelSelector
	out := &autoscalingv1.Scale{TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"}, ObjectMeta: metav1.ObjectMeta{Name: o.GetName(), Namespace: o.GetNamespace(),
		UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(), CreationTimestamp: o.GetCreationTimestamp()}}
	switch o := o.(type) {
	case *appsv1.Deployment:
		wanted, selector, out.Status.Replicas = o.Spec.Replicas, o.Spec.Selector, o.Status.Replicas
	case *appsv1.ReplicaSet:
		wanted, selector, out.Status.Replicas = o.Spec.Replicas, o.Spec.Selector, o.Status.Replicas
	case *appsv1.StatefulSet:
		wanted, selector, out.Status.Replicas = o.Spec.Replicas, o.Spec.Selector, o.Status.Replicas
	case *corev1.ReplicationController:
		wanted, selector, out.Status.Replicas = o.Spec.Replicas, metav1.SetAsLabelSelector(o.Spec.Selector), o.Status.Replicas
	default:
		return nil
	}
	if out.Spec.Replicas = 1; wanted != nil {
		out.Spec.Replicas = *wanted
	}
	if s, err := metav1.LabelSelectorAsSelector(selector); err == nil {
		out.Status.Selector = s.String()
	}
	return out
}

// scales are objects as their scales.
func scales(objects []json.RawMessage) ([]json.RawMessage, error) {
	all, err := decodeAll(objects)
	if err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(all))
	for i, o := range all {
		if out[i], err = json.Marshal(scaleOf(o)); err != nil {
			return nil, fmt.Errorf("encode scale of %s: %w", o.GetName(), err)
		}
	}
	return out, nil
}

// patchScale changes how many each object wants, as the patch of its scale says.
func (c *patchCmd) patchScale(ctx context.Context, s *session, items []wire.Item, patch []byte) error {
	var errs []error
	for _, it := range items {
		errs = append(errs, c.patchOneScale(ctx, s, it.Key, patch))
	}
	return errors.Join(errs...)
}

func (c *patchCmd) patchOneScale(ctx context.Context, s *session, k events.Key, patch []byte) error {
	o, err := readOne[events.Object](ctx, s, k)
	if err != nil {
		return err
	}
	live := scaleOf(o)
	before, err := json.Marshal(live)
	if err != nil {
		return fmt.Errorf("encode scale of %s: %w", k, err)
	}
	raw, err := c.patched(before, patch, &autoscalingv1.Scale{})
	var next autoscalingv1.Scale
	if err == nil {
		err = json.Unmarshal(raw, &next)
	}
	if err != nil {
		return fmt.Errorf("patch scale of %s: %w", printedName(k), err)
	}
	r := wire.Result{Key: k}
	dry := c.DryRun.settled(s)
	if dry != dryRunClient && next.Spec.Replicas != live.Spec.Replicas {
		results, err := s.change(ctx, wire.ChangeRequest{Operation: wire.Scale, Items: []wire.Item{{Key: k}}, Replicas: next.Spec.Replicas, CurrentReplicas: &live.Spec.Replicas, Brief: true,
			DryRun: dry != "", Message: c.Message})
		if err != nil {
			return err
		}
		if r = results[0]; r.Error != nil {
			return refused(r.Error)
		}
	}
	if c.Output == formatTable {
		fmt.Fprintf(s.out, "scale.autoscaling/%s patched%s\n", k.Name, dry.suffix())
		s.sayWhere(r.Seq)
		return nil
	}
	return s.printObjects(c.Output, []json.RawMessage{raw}, true)
}
