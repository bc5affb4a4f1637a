package undo

import (
	"encoding/json"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// reclaim gives a claim that comes back its volume again, if that was kept and is nobody's since. Data that is gone, or on its
// way, no undo brings back: that is said, and by force the claim is made anew and empty.
func (u *undoing) reclaim(was *projections.Object, raw json.RawMessage) (json.RawMessage, error) {
	if was.Key.Resource != events.Claims {
		return raw, nil
	}
	name := projections.As[*corev1.PersistentVolumeClaim](was).Spec.VolumeName
	if name == "" {
		return raw, nil
	}
	raw = reconcilers.Edit(raw, func(object map[string]any) {
		notes := reconcilers.Field(reconcilers.Field(object, "metadata"), "annotations")
		delete(notes, projections.BindCompleted) // it is bound anew
	})
	volume, ok := u.Now.Get(projections.VolumeKey(name))
	if ok && volume.Deletion == nil {
		r := projections.As[*corev1.PersistentVolume](volume).Spec.ClaimRef
		if r == nil {
			return raw, nil
		}
		if events.UID(r.UID) == was.UID {
			b := reconcilers.Same(volume)
			b.Object = reconcilers.Edit(volume.Raw, func(object map[string]any) {
				delete(reconcilers.Field(reconcilers.Field(object, "spec"), "claimRef"), "uid") // of the life before
			})
			u.add(Step{Key: volume.Key, UID: volume.UID, Outcome: Restored, Draft: reconcilers.Change(volume, b), Was: volume})
			return raw, nil
		}
	}
	if !u.Force {
		return nil, u.conflict(was.Key, "the data of %s is gone with its volume %s, and nothing brings it back; --force makes the claim again, empty", was.Key, name)
	}
	return reconcilers.Edit(raw, func(object map[string]any) {
		delete(reconcilers.Field(object, "spec"), "volumeName")
		notes := reconcilers.Field(reconcilers.Field(object, "metadata"), "annotations")
		delete(notes, projections.BoundByController)
		delete(notes, projections.SelectedNode)
	}), nil
}
