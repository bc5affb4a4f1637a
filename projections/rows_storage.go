package projections

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// fillClaims gives a node's row the volumes behind the claims that the pod uses, as far as they have one.
func (s State) fillClaims(d *DesiredPod) {
	for u := range ClaimsIn(d.Pod.Name, &d.Pod.Spec) {
		claim, ok := s.Get(events.Key{Resource: events.Claims, Namespace: d.Pod.Namespace, Name: u.Claim})
		if !ok || u.Ephemeral && (claim.Owner == nil || claim.Owner.UID != d.UID) {
			continue
		}
		volume, bound := s.VolumeOf(claim)
		if !bound {
			continue
		}
		d.Position = max(d.Position, claim.Position)
		if d.Claims == nil {
			d.Claims = map[string]DesiredVolume{}
		}
		v := desiredVolume(volume, u.ReadOnly)
		if v.Barred == "" {
			v.Barred = s.barred(claim, d.UID)
		}
		d.Claims[u.Volume] = v
	}
}

func desiredVolume(o *Object, readOnly bool) DesiredVolume {
	v := As[*corev1.PersistentVolume](o)
	out := DesiredVolume{Name: o.Key.Name, UID: o.UID, ReadOnly: readOnly}
	switch {
	case v.Spec.VolumeMode != nil && *v.Spec.VolumeMode == corev1.PersistentVolumeBlock:
		out.Barred = "volume " + v.Name + " is a device, and the pod mounts it as a file system"
	case OurDirectory(v):
		out.Made = o.Disk != nil && !o.Disk.Made.IsZero()
	case v.Spec.Local != nil:
		out.Local = v.Spec.Local.Path
	case v.Spec.HostPath != nil:
		out.HostPath = v.Spec.HostPath
	default:
		out.Barred = "volume " + v.Name + " is of a kind that is not mounted yet: hostPath and local are"
	}
	return out
}

// barred is why a pod may not begin to use a claim.
func (s State) barred(claim *Object, pod events.UID) string {
	if claim.Deletion != nil {
		return `persistentvolumeclaim "` + claim.Key.Name + `" is being deleted`
	}
	if !Exclusive(As[*corev1.PersistentVolumeClaim](claim)) {
		return ""
	}
	if holder := s.ClaimHolder(claim); holder != nil && holder.UID != pod {
		return `persistentvolumeclaim "` + claim.Key.Name + `" is ReadWriteOncePod, and pod ` + holder.Key.Name + ` uses it`
	}
	return ""
}

// unbarred are the pods on nodes that the end of another lets use an exclusive claim.
func (s State) unbarred(c Change) []*Pod {
	if c.Before == nil || c.PodBefore == nil || !c.PodBefore.Holds(c.Before) || c.After != nil && c.PodAfter != nil && c.PodAfter.Holds(c.After) {
		return nil
	}
	var out []*Pod
	for u := range ClaimsIn(c.Key.Name, c.Before.PodSpec()) {
		k := events.Key{Resource: events.Claims, Namespace: c.Key.Namespace, Name: u.Claim}
		if claim, ok := s.Get(k); ok && Exclusive(As[*corev1.PersistentVolumeClaim](claim)) {
			out = append(out, s.claiming(k)...)
		}
	}
	return out
}

// claiming are the pods on nodes that use a claim.
func (s State) claiming(claim events.Key) []*Pod {
	var out []*Pod
	for o := range s.List(events.Pods, claim.Namespace) {
		p, ok := s.PodOf(o.Key)
		if !ok || p.Node == "" {
			continue
		}
		for u := range ClaimsIn(o.Key.Name, o.PodSpec()) {
			if u.Claim == claim.Name {
				out = append(out, p)
				break
			}
		}
	}
	return out
}

// erasedBy tells whether a node is to erase a volume's directory.
func (s State) erasedBy(o *Object, node string) (ErasedVolume, bool) {
	if HomeOf(o) != node || !s.ToErase(o) {
		return ErasedVolume{}, false
	}
	return ErasedVolume{Name: o.Key.Name, UID: o.UID}, true
}
