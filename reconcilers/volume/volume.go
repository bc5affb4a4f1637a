// Package volume gives claims their volumes: one that is there and fits, or a
// directory on the node that the scheduler chose for the first pod. It keeps
// what is in use, and takes away the volumes that nobody claims any more, with
// their data where their policy says so.
//
// A claim and its volume are bound by one decision, which writes both. What
// follows from it, the phases, is derived. A directory is erased by its node
// alone, and a volume stays until the node said that this is done.
package volume

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "volume" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 3 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return []events.Resource{events.Claims, events.Volumes, events.StorageClasses, events.Pods, events.Nodes, events.Quotas, events.LimitRanges}
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{
		events.TypeOf(events.Claims, events.VerbCreated),
		events.TypeOf(events.Claims, events.VerbChanged),
		events.TypeOf(events.Claims, events.VerbVerdict),
		events.TypeOf(events.Volumes, events.VerbCreated),
		events.TypeOf(events.Volumes, events.VerbChanged),
		events.TypeOf(events.Volumes, events.VerbDeletionRequested),
	}
}

// Keys implements reconcilers.Reconciler: claims and volumes, those that wait when
// something comes that may help them, and a claim on its way out when a pod lets go of it.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	switch c.Key.Resource {
	case events.Claims:
		return claimKeys(c)
	case events.Volumes:
		return volumeKeys(v, c)
	case events.StorageClasses:
		return waiting(v)
	case events.Nodes:
		if c.Before == nil || c.After == nil || c.Before.Changed != c.After.Changed {
			return append(waiting(v), homeless(v, c)...)
		}
		return newlyThere(v, c)
	case events.Pods:
		return podKeys(v, c)
	}
	return nil
}

// claimKeys are a claim, also one that is gone: a pod may want one of that name for itself; and then the volume that it had.
func claimKeys(c projections.Change) []events.Key {
	out := []events.Key{c.Key}
	if c.After != nil {
		return out
	}
	if name := projections.As[*corev1.PersistentVolumeClaim](c.Before).Spec.VolumeName; name != "" {
		out = append(out, projections.VolumeKey(name))
	}
	return out
}

func volumeKeys(v reconcilers.View, c projections.Change) []events.Key {
	if c.After == nil {
		if k, ok := projections.ClaimRefKey(projections.As[*corev1.PersistentVolume](c.Before)); ok {
			return []events.Key{k}
		}
		return nil
	}
	out := []events.Key{c.Key}
	claim, meant := projections.ClaimRefKey(projections.As[*corev1.PersistentVolume](c.After))
	switch {
	case meant:
		out = append(out, claim)
	case c.Before == nil || c.Before.Changed != c.After.Changed:
		out = append(out, waiting(v)...)
	}
	return out
}

// waiting are the claims that have no volume.
func waiting(v reconcilers.View) []events.Key {
	var out []events.Key
	for o := range v.List(events.Claims, "") {
		if projections.As[*corev1.PersistentVolumeClaim](o).Spec.VolumeName == "" {
			out = append(out, o.Key)
		}
	}
	return out
}

// homeless are the volumes of a node that is gone: nobody will say any more that their directories are.
func homeless(v reconcilers.View, c projections.Change) []events.Key {
	if c.After != nil {
		return nil
	}
	var out []events.Key
	for o := range v.List(events.Volumes, "") {
		if o.Deletion != nil && projections.HomeOf(o) == c.Key.Name {
			out = append(out, o.Key)
		}
	}
	return out
}

// newlyThere are the claims that wait when a node says where it keeps volumes, or that it is ready: few do either often.
func newlyThere(v reconcilers.View, c projections.Change) []events.Key {
	n, ok := v.Node(c.Key.Name)
	if !ok || max(n.Seen.Seq, n.Since.Seq) < c.Position.Seq() {
		return nil
	}
	return waiting(v)
}

// podKeys are the claims of a pod that has come, or has let go of them.
func podKeys(v reconcilers.View, c projections.Change) []events.Key {
	came := c.Before == nil
	left := c.After == nil || c.PodBefore != nil && c.PodAfter != nil && c.PodBefore.Stopped.IsZero() && !c.PodAfter.Stopped.IsZero()
	if !came && !left {
		return nil
	}
	o := c.After
	if o == nil {
		o = c.Before
	}
	var out []events.Key
	for u := range projections.ClaimsIn(o.Key.Name, o.PodSpec()) {
		k := events.Key{Resource: events.Claims, Namespace: o.Key.Namespace, Name: u.Claim}
		if _, there := v.Get(k); there || came && u.Ephemeral {
			out = append(out, k)
		}
	}
	return out
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	switch {
	case !ok && k.Resource == events.Claims:
		return own(v, k, now)
	case !ok:
		return reconcilers.Decision{}
	case k.Resource == events.Volumes:
		return volume(v, o)
	}
	p := &pass{v: v, o: o, claim: projections.As[*corev1.PersistentVolumeClaim](o)}
	p.decide()
	p.say()
	return p.d
}

// pass is one decision about a claim under way.
type pass struct {
	v     reconcilers.View
	o     *projections.Object
	claim *corev1.PersistentVolumeClaim
	class *storagev1.StorageClass // nil for none
	d     reconcilers.Decision
}

func (p *pass) because(r events.Reason) { p.d.Because = append(p.d.Because, r) }

// say writes why a claim waits, when that is something else than before.
func (p *pass) say() {
	was, ok := p.v.Verdict(p.o.Key)
	var had []events.Reason
	if ok && was.UID == p.o.UID {
		had = was.Reasons
	}
	if p.o.Deletion != nil || len(had) == len(p.d.Because) && same(had, p.d.Because) {
		return
	}
	p.d.Events = append(p.d.Events, reconcilers.Conclude(p.o, p.d.Because))
}

func same(a, b []events.Reason) bool {
	for i := range a {
		if a[i].Code != b[i].Code || a[i].What != b[i].What || a[i].Said != b[i].Said {
			return false
		}
	}
	return true
}
