package undo

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// unmake is the inverse of a creation.
func (u *undoing) unmake(p part) error {
	o, ok := u.Now.Get(p.key)
	made, err := events.Decode[events.Created](p.event)
	switch {
	case err != nil:
		return fmt.Errorf("read %d: %w", p.event.Seq, err)
	case u.Force && (!ok || o.UID != made.UID || o.Deletion != nil):
		return nil // what the undo wants is so already
	case !ok || o.UID != made.UID:
		return u.conflict(p.key, "%s that %d made is gone already", p.key, p.event.Seq)
	case o.Deletion != nil:
		return u.conflict(p.key, "%s is being deleted already", p.key)
	}
	if err := u.unchanged(p); err != nil {
		return err
	}
	if err := u.empty(p); err != nil {
		return err
	}
	u.add(Step{Key: p.key, UID: o.UID, Outcome: Deleted, Draft: removal(u.Now, o)})
	return nil
}

// empty wants that nobody made anything in a namespace, or of a definition, that
// goes but what goes by the same undo.
func (u *undoing) empty(p part) error {
	inside := func(k events.Key) bool { return k.Namespace == p.key.Name }
	switch {
	case u.Force || p.key.Resource != events.Namespaces && p.key.Resource != events.Definitions:
		return nil
	case p.key.Resource == events.Definitions:
		inside = func(k events.Key) bool { return string(k.Resource) == p.key.Name }
	}
	for _, e := range u.Later {
		k, err := e.Subject.Key()
		if err != nil || !inside(k) || e.Type.Verb() != events.VerbCreated || !strings.HasPrefix(string(e.Actor), "user:") || u.done[k] {
			continue
		}
		if o, ok := u.Now.Get(k); ok && o.Created.Seq == e.Seq && o.Deletion == nil {
			return &Refusal{Conflict: e.Seq, Said: fmt.Sprintf("%s would go with %s: %s made it at %d%s; --force lets it go", k, p.key, e.Actor, e.Seq, because(e))}
		}
	}
	return nil
}

// removal is what a deletion by a person becomes; see gateway/admit.
func removal(v projections.State, o *projections.Object) reconcilers.Draft {
	switch r := o.Key.Resource; {
	case events.Makes(r), r == events.Namespaces, r == events.Definitions:
		return reconcilers.RequestDeletion(o, events.DeletionRequested{})
	case r == events.Pods:
		if p, ok := v.PodOf(o.Key); ok && p.Node != "" {
			return reconcilers.RequestDeletion(o, events.DeletionRequested{Grace: reconcilers.GraceOf(o)})
		}
	}
	return reconcilers.Leave(o)
}

// restore is the inverse of a change.
func (u *undoing) restore(p part) error {
	was, before := u.Before.Get(p.key)
	o, ok := u.Now.Get(p.key)
	switch {
	case !before:
		return refuse("the log does not say what %s was before %d", p.key, p.event.Seq)
	case !ok || o.UID != was.UID:
		return u.conflict(p.key, "%s that %d changed is gone", p.key, p.event.Seq)
	case o.Deletion != nil:
		return u.conflict(p.key, "%s is being deleted", p.key)
	}
	if err := u.unchanged(p); err != nil {
		return err
	}
	if err := u.copies(was); err != nil {
		return err
	}
	u.add(Step{Key: p.key, UID: o.UID, Outcome: Restored, Draft: u.back(was, o), Was: was})
	return nil
}

// copies brings the ConfigMaps and Secrets back that a rollback made for what is brought back,
// and that were taken away when nobody mentioned them any more.
func (u *undoing) copies(was *projections.Object) error {
	for _, mention := range projections.Mentions(was) {
		k := mention.Key(was.Key.Namespace)
		m, had := u.Before.Get(k)
		if _, there := u.Now.Get(k); there || !had || u.done[k] || !projections.IsCopy(m) {
			continue
		}
		if err := u.again(m); err != nil {
			return err
		}
	}
	return nil
}

// back drafts that an object is again what it was.
func (u *undoing) back(was, is *projections.Object) reconcilers.Draft {
	body := reconcilers.Same(was)
	body.Generation = is.Generation + 1
	body.Owner, body.Owners = is.Owner, is.Owners // adoption is the reconcilers' business
	body.Object = u.keepCount(was, is, keepRevision(was, is, body.Object))
	return reconcilers.Change(is, body)
}

// revision is written by the deployment reconciler: an undo of what a person
// did leaves it alone.
const revision = "deployment.kubernetes.io/revision"

func keepRevision(was, is *projections.Object, raw json.RawMessage) json.RawMessage {
	now, ok := is.Typed().GetAnnotations()[revision]
	if !ok || was.Typed().GetAnnotations()[revision] == now {
		return raw
	}
	return reconcilers.Edit(raw, func(object map[string]any) {
		reconcilers.Field(reconcilers.Field(object, "metadata"), "annotations")[revision] = now
	})
}

// bringBack is the inverse of a deletion. Of a namespace, all comes back that
// was in it and that nothing controls, of a definition all its objects: the rest
// follows.
func (u *undoing) bringBack(p part) error {
	was, ok := u.Before.Get(p.key)
	if !ok {
		return refuse("the log does not say what %s was before %d", p.key, p.event.Seq)
	}
	if err := u.again(was); err != nil {
		return err
	}
	switch p.key.Resource {
	case events.Namespaces:
		return u.bringContents(p.key.Name)
	case events.Definitions:
		return u.bringAll(events.Resource(p.key.Name), "")
	}
	return nil
}

// bringContents brings back what was in a namespace.
func (u *undoing) bringContents(namespace string) error {
	for _, kind := range u.Before.Kinds().All() {
		if !kind.Namespaced || kind.Derived {
			continue
		}
		if err := u.bringAll(kind.Resource, namespace); err != nil {
			return err
		}
	}
	return nil
}

// bringAll brings back the objects of a resource that nothing controlled.
func (u *undoing) bringAll(r events.Resource, namespace string) error {
	for o := range u.Before.List(r, namespace) {
		if o.Owner != nil || o.Deletion != nil || u.done[o.Key] {
			continue
		}
		if err := u.note(u.again(o)); err != nil {
			return err
		}
	}
	return nil
}

// again adds the step that makes an object anew. One that stands in its place is
// a conflict, or, by force, becomes what the old one was.
func (u *undoing) again(was *projections.Object) error {
	if is, there := u.Now.Get(was.Key); there {
		switch {
		case is.Deletion != nil || is.UID == was.UID && was.Key.Resource == events.Namespaces:
			return u.conflict(was.Key, "%s is not gone yet; try again when it is (stave wait --for=delete %s)", was.Key, was.Key)
		case !u.Force || was.Key.Resource == events.CertRequests || was.Key.Resource == events.PodCertRequests: // what was approved must not become another one
			return u.conflict(was.Key, "%s is there again, made by %s at %d", was.Key, u.actorOf(is.Created.Seq), is.Created.Seq)
		}
		u.add(Step{Key: was.Key, UID: is.UID, Outcome: Restored, Draft: u.back(was, is), Was: was})
		return nil
	}
	if was.Key.Resource == events.Nodes && !u.Force {
		return u.conflict(was.Key, "%s joins again when its agent is started anew ('stave node add %s' on its machine), and only the agent can tell what it has; --force brings its labels and taints back before", was.Key, was.Key.Name)
	}
	if err := u.free(was); err != nil {
		return err
	}
	if err := u.hasNamespace(was.Key); err != nil {
		return err
	}
	if err := u.copies(was); err != nil {
		return err
	}
	b := reconcilers.Same(was)
	var err error
	if b.Object, err = u.reclaim(was, b.Object); err != nil {
		return err
	}
	u.add(Step{Key: was.Key, Outcome: Created, Was: was,
		Draft: reconcilers.Create(was.Key, events.Created{Template: b.Template, Object: b.Object, Applied: b.Applied, Managed: b.Managed, Set: b.Set})})
	return nil
}

// hasNamespace wants the namespace to be there, or to come back with it.
func (u *undoing) hasNamespace(k events.Key) error {
	ns := events.Key{Resource: events.Namespaces, Name: k.Namespace}
	if k.Namespace == "" || u.done[ns] {
		return nil
	}
	o, ok := u.Now.Get(ns)
	switch {
	case !ok:
		return u.conflict(ns, "namespace %s is gone: undo its deletion first", k.Namespace)
	case o.Deletion != nil:
		return u.conflict(ns, "namespace %s is being deleted", k.Namespace)
	}
	return nil
}

// free wants what a service had been given to belong to nobody else now.
func (q Question) free(was *projections.Object) error {
	if was.Key.Resource != events.Services {
		return nil
	}
	old := &projections.As[*corev1.Service](was).Spec
	for o := range q.Now.List(events.Services, "") {
		spec := &projections.As[*corev1.Service](o).Spec
		if old.ClusterIP != "" && old.ClusterIP != corev1.ClusterIPNone && spec.ClusterIP == old.ClusterIP {
			return q.conflict(o.Key, "the address %s of %s belongs to %s now", old.ClusterIP, was.Key, o.Key)
		}
		for _, p := range old.Ports {
			for _, taken := range spec.Ports {
				if p.NodePort != 0 && p.NodePort == taken.NodePort && p.Protocol == taken.Protocol {
					return q.conflict(o.Key, "the node port %d of %s belongs to %s now", p.NodePort, was.Key, o.Key)
				}
			}
		}
	}
	return nil
}

// unchanged wants that no person changed the object after the change. What
// reconcilers wrote since follows anew from what is restored.
func (u *undoing) unchanged(p part) error {
	if u.Force {
		return nil
	}
	last := p.last
	for _, e := range u.Later {
		own, err := e.Subject.Key()
		if err != nil || own != p.key || e.Subject.Class() != "spec" || e.Seq < p.event.Seq {
			continue
		}
		last = max(last, e.Seq)
		if strings.HasPrefix(string(e.Actor), "user:") {
			return &Refusal{Conflict: e.Seq, Said: fmt.Sprintf("%s was changed after %d: by %s at %d, %s%s; undo that first, or go on over it with --force",
				p.key, p.event.Seq, e.Actor, e.Seq, e.Time.UTC().Format(time.RFC3339), because(e))}
		}
	}
	if newest := u.Now.LastSpec(p.key); newest > last {
		return &Refusal{Conflict: newest, Said: fmt.Sprintf("%s is being changed right now, at %d; look at it and try again", p.key, newest)}
	}
	return nil
}

func because(e events.Envelope) string {
	if e.Message == "" {
		return ""
	}
	return " (" + e.Message + ")"
}

// conflict names what was last said of an object.
func (q Question) conflict(k events.Key, format string, args ...any) error {
	return &Refusal{Conflict: q.Now.LastSpec(k), Said: fmt.Sprintf(format, args...)}
}

func (q Question) actorOf(seq events.Seq) events.Actor {
	for _, e := range q.Later {
		if e.Seq == seq {
			return e.Actor
		}
	}
	return "somebody"
}
