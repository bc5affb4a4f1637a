package projections

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
)

// claimStatus is what a claim has. Nobody writes phases: they follow from what claim and volume say of each other.
func (s State) claimStatus(o *Object, c *corev1.PersistentVolumeClaim) corev1.PersistentVolumeClaimStatus {
	volume, bound := s.VolumeOf(o)
	switch {
	case bound:
		v := &As[*corev1.PersistentVolume](volume).Spec
		return corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound, AccessModes: v.AccessModes, Capacity: v.Capacity.DeepCopy()}
	case c.Annotations[BindCompleted] != "":
		return corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimLost}
	}
	return corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
}

// NoDeleter begins what is said of a volume that shall go with its data when nobody here can make that so.
const NoDeleter = "error getting deleter volume plugin for volume"

func (s State) volumeStatus(o *Object, v *corev1.PersistentVolume) corev1.PersistentVolumeStatus {
	_, bound := s.ClaimOf(o)
	switch r := v.Spec.ClaimRef; {
	case bound:
		return corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound}
	case r == nil || r.UID == "":
		return corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable}
	case s.awaited(r):
		return corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable}
	case v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle:
		return corev1.PersistentVolumeStatus{Phase: corev1.VolumeFailed, Message: "nothing empties volumes here: no recycler"}
	case v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete && v.Annotations[ProvisionedBy] == "":
		return corev1.PersistentVolumeStatus{Phase: corev1.VolumeFailed, Message: NoDeleter + " \"" + v.Name + "\": no deletable volume plugin matched"}
	case o.Disk != nil && o.Disk.Said != "":
		return corev1.PersistentVolumeStatus{Phase: corev1.VolumeFailed, Message: o.Disk.Said}
	}
	return corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased}
}

// awaited tells whether the claim that a volume is for is there and has no volume yet.
func (s State) awaited(r *corev1.ObjectReference) bool {
	claim, ok := s.Get(events.Key{Resource: events.Claims, Namespace: r.Namespace, Name: r.Name})
	return ok && claim.UID == events.UID(r.UID) && As[*corev1.PersistentVolumeClaim](claim).Spec.VolumeName == ""
}

// pairs shows on the other side what a claim or a volume says of it.
func (f *folding) pairs(c Change) {
	for _, o := range []*Object{c.Before, c.After} {
		if o == nil {
			continue
		}
		other, ok := events.Key{}, false
		switch v := o.Typed().(type) {
		case *corev1.PersistentVolumeClaim:
			other, ok = VolumeKey(v.Spec.VolumeName), v.Spec.VolumeName != ""
		case *corev1.PersistentVolume:
			other, ok = ClaimRefKey(v)
		}
		if ok && other != c.Key {
			f.touchOnce(other, nil)
		}
	}
}

// volumeSeen folds what a node did to the directory of a volume. Another life of it, and another's directory, are void.
func (f *folding) volumeSeen(node string, seen events.VolumeSeen) {
	o, ok := f.s.Get(VolumeKey(seen.Name))
	if !ok || o.UID != seen.UID || HomeOf(o) != node {
		f.s.Void++
		return
	}
	var d Disk
	if o.Disk != nil {
		d = *o.Disk
	}
	switch seen.Kind {
	case events.VolumeMade:
		if d.Made.IsZero() {
			d.Node, d.Made = node, f.mark()
		}
	case events.VolumeErased:
		if d.Erased.IsZero() {
			d.Erased, d.Said = f.mark(), ""
		}
	case events.VolumeNotErased:
		d.Said = seen.Message
	default:
		f.s.Unknown++
		return
	}
	if o.Disk == nil || *o.Disk != d {
		f.touchOnce(o.Key, func(n *Object) { n.Disk = &d })
	}
}
