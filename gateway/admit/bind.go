package admit

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// bind gives a waiting pod to a node, as a scheduler outside asks. Whether it fits there is that one's business; whether it
// is there, ours: a pod on a node that never comes would wait for ever.
func bind(v projections.State, r Request) (Outcome, *refusal) {
	k, err := keyOf(v, r.Item)
	if err == nil && k.Resource != events.Pods {
		err = badRequest("only pods are bound, not %s", k)
	}
	if err != nil {
		return Outcome{}, err
	}
	o, ok := v.Get(k)
	if !ok {
		return Outcome{}, notFound(k)
	}
	out := Outcome{Result: wire.Result{Key: k, UID: o.UID, Outcome: Bound}}
	if err := bindable(v, o, r); err != nil {
		return out, err
	}
	marked, err := marked(o, r)
	if err != nil {
		return out, err
	}
	out.Drafts = append(marked, reconcilers.Assign(r.Node, events.Assigned{Pods: []events.Ref{{Key: k, UID: o.UID}}}))
	return out, nil
}

func bindable(v projections.State, o *projections.Object, r Request) *refusal {
	if err := unmoved(v, o, r.Item.ResourceVersion, r.Item.UID); err != nil {
		return err
	}
	p, _ := v.PodOf(o.Key)
	switch {
	case o.Deletion != nil:
		return notBound(o.Key, "pod "+o.Key.Name+" is being deleted, cannot be assigned to a host")
	case p != nil && p.Node != "":
		return notBound(o.Key, fmt.Sprintf("pod %s is already assigned to node %q", o.Key.Name, p.Node))
	case projections.HeldBack(o.PodSpec()):
		return notBound(o.Key, "pod "+o.Key.Name+" has non-empty .spec.schedulingGates")
	}
	node := events.Key{Resource: events.Nodes, Name: r.Node}
	if n, ok := v.Get(node); !ok || n.Deletion != nil {
		return notFound(node)
	}
	return nil
}

func notBound(k events.Key, why string) *refusal {
	c := conflict(k, why)
	c.message = fmt.Sprintf("Operation cannot be fulfilled on pods/binding %q: %s", k.Name, why)
	return c
}

// marked drafts the labels and annotations that come with a binding, if any do.
func marked(o *projections.Object, r Request) ([]reconcilers.Draft, *refusal) {
	if len(r.Labels)+len(r.Annotations) == 0 {
		return nil, nil
	}
	next := stored(o).DeepCopyObject().(*corev1.Pod)
	next.Labels, next.Annotations = over(next.Labels, r.Labels), over(next.Annotations, r.Annotations)
	if errs := manifest.Validate(next); len(errs) > 0 {
		return nil, invalid(o.Key, errs)
	}
	raw, bad := manifest.Canonical(next)
	if bad != nil {
		return nil, badRequest("%v", bad)
	}
	body := reconcilers.Same(o)
	body.Object, body.Template = raw, ""
	return []reconcilers.Draft{reconcilers.Change(o, body)}, nil
}

func over(base, top map[string]string) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, top)
	return out
}
