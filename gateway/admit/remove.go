package admit

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// lasting are the namespaces that Kubernetes never lets go.
var lasting = map[string]bool{metav1.NamespaceDefault: true, metav1.NamespaceSystem: true, metav1.NamespacePublic: true}

func remove(v projections.State, r Request, now time.Time) (Outcome, *refusal) {
	k, err := keyOf(r.Item)
	if err != nil {
		return Outcome{}, err
	}
	out := Outcome{Result: wire.Result{Key: k, Outcome: Deleted}}
	o, ok := v.Get(k)
	if !ok {
		return out, notFound(k)
	}
	out.Result.UID = o.UID
	if err := unmoved(v, o, r.Item.ResourceVersion, r.Item.UID); err != nil {
		return out, err
	}
	if k.Resource == events.Namespaces && lasting[k.Name] {
		return out, forbidden(k, "this namespace may not be deleted")
	}
	if r.Shred && k.Resource != events.Secrets {
		return out, badRequest("only Secrets can be shredded")
	}
	body := events.DeletionRequested{}
	switch r.Cascade {
	case "", "background":
	case "foreground":
		body.Foreground = true
	case "orphan":
		body.Orphan = true
	default:
		return out, badRequest("cascade %q: want background, foreground or orphan", r.Cascade)
	}
	out.Drafts = removal(v, o, r, body, now)
	return out, nil
}

// keyOf checks the key of a delete or scale.
func keyOf(item wire.Item) (events.Key, *refusal) {
	kind, ok := events.KindOf(item.Key.Resource)
	switch {
	case !ok:
		return item.Key, badRequest("the server doesn't have a resource type %q", item.Key.Resource)
	case item.Key.Name == "":
		return item.Key, badRequest("resource name may not be empty")
	case kind.Derived:
		return item.Key, forbidden(item.Key, "it follows from services and pods; nobody writes it")
	}
	return place(kind, item.Key.Namespace, item.Key.Name), nil
}

func removal(v projections.State, o *projections.Object, r Request, body events.DeletionRequested, now time.Time) []reconcilers.Draft {
	switch o.Key.Resource {
	case events.Pods:
		return podRemoval(v, o, r, now)
	case events.Deployments, events.ReplicaSets:
		again := o.Deletion != nil && o.Deletion.Orphan == body.Orphan && o.Deletion.Foreground == body.Foreground
		if again {
			return nil
		}
		return []reconcilers.Draft{reconcilers.RequestDeletion(o, body)}
	case events.Namespaces:
		if o.Deletion != nil {
			return nil
		}
		return []reconcilers.Draft{reconcilers.RequestDeletion(o, events.DeletionRequested{})}
	}
	if r.Shred {
		return []reconcilers.Draft{reconcilers.Shred(o)}
	}
	return []reconcilers.Draft{reconcilers.Remove(o)}
}

// podRemoval gives a pod its grace. A second wish counts when it is more urgent.
func podRemoval(v projections.State, o *projections.Object, r Request, now time.Time) []reconcilers.Draft {
	p, ok := v.PodOf(o.Key)
	if r.Force || !ok || p.Node == "" {
		return []reconcilers.Draft{reconcilers.Remove(o)}
	}
	grace := reconcilers.GraceOf(o)
	if r.Grace != nil && *r.Grace >= 0 {
		grace = *r.Grace
	}
	if d := o.Deletion; d != nil && !now.Add(time.Duration(grace)*time.Second).Before(d.Deadline()) {
		return nil
	}
	return []reconcilers.Draft{reconcilers.RequestDeletion(o, events.DeletionRequested{Grace: grace})}
}
