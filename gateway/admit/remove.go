package admit

import (
	"slices"
	"strings"
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
	k, err := keyOf(v, r.Item)
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
	if err := staying(k); err != nil {
		return out, err
	}
	if r.Shred && k.Resource != events.Secrets {
		return out, badRequest("only Secrets can be shredded")
	}
	if keepers := o.Keepers(); r.Shred && len(keepers) > 0 {
		return out, badRequest("%s is kept by its finalizers %s: take them off before it is shredded", k, strings.Join(keepers, ", "))
	}
	body, err := cascade(o, r.Cascade)
	if err != nil {
		return out, err
	}
	out.Drafts = removal(v, o, r, body, now)
	return out, nil
}

// cascade is what becomes of the children: what the request says, or the
// finalizers of the object when it does not, as in Kubernetes.
func cascade(o *projections.Object, how string) (events.DeletionRequested, *refusal) {
	switch how {
	case "background":
		return events.DeletionRequested{}, nil
	case "foreground":
		return events.DeletionRequested{Foreground: true}, nil
	case "orphan":
		return events.DeletionRequested{Orphan: true}, nil
	case "":
		has := o.Typed().GetFinalizers()
		orphan := slices.Contains(has, metav1.FinalizerOrphanDependents)
		return events.DeletionRequested{Orphan: orphan, Foreground: !orphan && slices.Contains(has, metav1.FinalizerDeleteDependents)}, nil
	}
	return events.DeletionRequested{}, badRequest("cascade %q: want background, foreground or orphan", how)
}

// keyOf checks the key of a delete or scale.
func keyOf(v projections.State, item wire.Item) (events.Key, *refusal) {
	kind, ok := v.KindOf(item.Key.Resource)
	switch {
	case !ok:
		return item.Key, badRequest("the server doesn't have a resource type %q", item.Key.Resource)
	case item.Key.Name == "":
		return item.Key, badRequest("resource name may not be empty")
	}
	k := place(kind, item.Key.Namespace, item.Key.Name)
	if _, written := v.Get(k); !written && v.Follows(k) {
		return k, forbidden(k, WhyFollows(k).Error())
	}
	return k, nil
}

// removal is an object's end, or the wish for it when something has to happen
// first. A wish that is there already is not written again.
func removal(v projections.State, o *projections.Object, r Request, body events.DeletionRequested, now time.Time) []reconcilers.Draft {
	switch {
	case o.Key.Resource == events.Pods:
		return podRemoval(v, o, r, body, now)
	case o.Key.Resource == events.Namespaces:
		body = events.DeletionRequested{}
	case events.Makes(o.Key.Resource), o.Key.Resource == events.Definitions:
	default:
		if !held(v, o, body) && r.Shred {
			return []reconcilers.Draft{reconcilers.Shred(o)}
		}
		if !held(v, o, body) {
			return reconcilers.Gone(v, o)
		}
	}
	if d := o.Deletion; d != nil && d.Orphan == body.Orphan && d.Foreground == body.Foreground {
		return nil
	}
	return []reconcilers.Draft{reconcilers.RequestDeletion(o, body)}
}

// held tells whether an object may not go at once: it has finalizers, or its
// children are to be seen to first.
func held(v projections.State, o *projections.Object, body events.DeletionRequested) bool {
	if len(o.Keepers()) > 0 {
		return true
	}
	if body.Foreground || body.Orphan {
		for range v.Dependents(o.UID) {
			return true
		}
	}
	return false
}

// podRemoval gives a pod its grace. A second wish counts when it is more urgent.
func podRemoval(v projections.State, o *projections.Object, r Request, body events.DeletionRequested, now time.Time) []reconcilers.Draft {
	d := o.Deletion
	p, ok := v.PodOf(o.Key)
	if r.Force || !ok || p.Node == "" {
		if !held(v, o, body) {
			return []reconcilers.Draft{reconcilers.Remove(o)}
		}
		if body.Force = r.Force; d != nil && (d.Force || !body.Force) {
			return nil
		}
		return []reconcilers.Draft{reconcilers.RequestDeletion(o, body)}
	}
	if body.Grace = reconcilers.GraceOf(o); r.Operation == wire.Evict {
		body.Disrupts = events.ByEviction
	}
	if r.Grace != nil && *r.Grace >= 0 {
		body.Grace = *r.Grace
	}
	if d != nil && !now.Add(events.Seconds(body.Grace)).Before(d.Deadline()) {
		return nil
	}
	return []reconcilers.Draft{reconcilers.RequestDeletion(o, body)}
}
