package why

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// claim says which volume a claim has, or what it waits for.
func (q Question) claim(a *Answer, o *projections.Object) {
	c, ok := q.State.ObjectOf(o, q.Now).(*corev1.PersistentVolumeClaim)
	if !ok {
		return
	}
	if c.Status.Phase == corev1.ClaimBound {
		a.Verdict = "is bound to volume " + c.Spec.VolumeName
		if v, ok := q.State.VolumeOf(o); ok {
			a.Details = append(a.Details, where(v))
		}
		return
	}
	a.Verdict, a.WaitsFor = string(c.Status.Phase)+": it has no volume yet", "a volume"
	q.concluded(a, o)
}

// concluded tells of an object what its verdict says.
func (q Question) concluded(a *Answer, o *projections.Object) {
	v, ok := q.State.Verdict(o.Key)
	if !ok || v.UID != o.UID {
		return
	}
	a.Reasons = v.Reasons
	for i, r := range v.Reasons {
		if i == 0 && r.Said != "" {
			a.Verdict, a.Fix = fmt.Sprintf("%s: %s", r.Code, r.Said), r.Fix
			if r.Code == "WaitForFirstConsumer" {
				a.WaitsFor = "a pod that uses it"
			}
			continue
		}
		a.Details = append(a.Details, r.String())
	}
}

// volume says who has a volume, and what becomes of it.
func (q Question) volume(a *Answer, o *projections.Object) {
	v, ok := q.State.ObjectOf(o, q.Now).(*corev1.PersistentVolume)
	if !ok {
		return
	}
	switch v.Status.Phase {
	case corev1.VolumeBound:
		a.Verdict = "is bound to claim " + v.Spec.ClaimRef.Namespace + "/" + v.Spec.ClaimRef.Name
	case corev1.VolumeReleased:
		a.Verdict, a.Fix = "is released: its claim is gone, and it keeps the data", "delete it, or take spec.claimRef out of it for the next claim"
	case corev1.VolumeFailed:
		a.Verdict = "has failed: " + v.Status.Message
	default:
		a.Verdict = "is free"
	}
	a.Details = append(a.Details, where(o))
	if q.State.ToErase(o) {
		a.WaitsFor = "node " + projections.HomeOf(o) + " to erase its directory"
	}
}

func where(o *projections.Object) string {
	v := projections.As[*corev1.PersistentVolume](o)
	switch home := projections.HomeOf(o); {
	case v.Spec.Local != nil && home != "":
		return "directory " + v.Spec.Local.Path + " on node " + home
	case v.Spec.Local != nil:
		return "directory " + v.Spec.Local.Path + " on a node that its affinity names"
	case v.Spec.HostPath != nil:
		return "path " + v.Spec.HostPath.Path + " of whichever node its pod is on"
	}
	return "of a kind that is not mounted yet"
}

// users are named of a claim that shall go, and the claim of a volume.
func (q Question) users(a *Answer, o *projections.Object) {
	switch o.Key.Resource {
	case events.Claims:
		users := q.State.ClaimUsers(o)
		for i, u := range users {
			a.WaitsFor, a.Fix = "the pods that use it to be gone", ""
			if i == maxTold {
				a.Details = append(a.Details, fmt.Sprintf("and %d more", len(users)-i))
				break
			}
			a.Details = append(a.Details, "pod "+u.Key.Name+" uses it")
		}
	case events.Volumes:
		if claim, bound := q.State.ClaimOf(o); bound {
			a.WaitsFor, a.Fix = "claim "+claim.Key.Namespace+"/"+claim.Key.Name+" to be gone", ""
		} else if q.State.ToErase(o) {
			a.WaitsFor, a.Fix = "node "+projections.HomeOf(o)+" to erase its directory", ""
		}
	}
}
