package volume

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
)

// volume sees to a volume: that it is kept while somebody has it, that it goes when its claim is gone and its policy says
// so, and that its directory is gone first.
func volume(v reconcilers.View, o *projections.Object) reconcilers.Decision {
	pv := projections.As[*corev1.PersistentVolume](o)
	_, bound := v.ClaimOf(o)
	switch {
	case o.Deletion != nil:
		return leave(v, o, pv, bound)
	case !slices.Contains(pv.Finalizers, projections.VolumeProtection):
		return reconcilers.Decision{Events: []reconcilers.Draft{edited(o, func(m map[string]any) { addFinalizer(m, projections.VolumeProtection) })}}
	case bound || !forsaken(v, pv):
		return reconcilers.Decision{}
	case pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete:
		return reconcilers.Decision{Because: []events.Reason{{Code: "Released", About: o.Key, Said: "its claim is gone, and its policy is to keep the data",
			Fix: "delete the volume, or take spec.claimRef out of it for the next claim"}}}
	case projections.OurDirectory(pv):
		return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.RequestDeletion(o, events.DeletionRequested{})}}
	}
	return reconcilers.Decision{Because: []events.Reason{{Code: CodeNoDeleter, About: o.Key, Said: "nobody here deletes the data of such a volume",
		Fix: "delete the data yourself, then the volume; or give it the policy Retain"}}}
}

// forsaken tells whether the very claim that a volume was for is gone.
func forsaken(v reconcilers.View, pv *corev1.PersistentVolume) bool {
	k, ok := projections.ClaimRefKey(pv)
	if !ok || pv.Spec.ClaimRef.UID == "" {
		return false
	}
	claim, there := v.Get(k)
	return !there || claim.UID != events.UID(pv.Spec.ClaimRef.UID)
}

// leave takes off what keeps a volume on its way out: when nobody has it, and when its node said that its directory is gone
// or the node itself is.
func leave(v reconcilers.View, o *projections.Object, pv *corev1.PersistentVolume, bound bool) reconcilers.Decision {
	ours := slices.ContainsFunc(pv.Finalizers, func(f string) bool { return f == projections.VolumeProtection || f == projections.DirectoryKept })
	home := projections.HomeOf(o)
	_, member := v.Get(events.Key{Resource: events.Nodes, Name: home})
	switch {
	case !ours:
		return reconcilers.Decision{}
	case bound:
		k, _ := projections.ClaimRefKey(pv)
		return reconcilers.Decision{Because: []events.Reason{{Code: CodeInUse, About: k, What: string(k.Resource), Need: "claim " + k.Namespace + "/" + k.Name + " to be gone"}}}
	case v.ToErase(o) && member:
		said := ""
		if o.Disk != nil {
			said = o.Disk.Said
		}
		return reconcilers.Decision{Because: []events.Reason{{Code: CodeErasing, About: events.Key{Resource: events.Nodes, Name: home}, What: o.Key.String(),
			Need: "the node to say that the directory is gone", Said: said}}}
	}
	return reconcilers.Decision{Events: []reconcilers.Draft{edited(o, func(m map[string]any) {
		dropFinalizer(m, projections.VolumeProtection, projections.DirectoryKept)
	})}}
}

// own makes the claim that a pod has for itself and that is not there yet.
func own(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	for o := range v.List(events.Pods, k.Namespace) {
		row, ok := v.PodOf(o.Key)
		if !ok || o.Deletion != nil || row.Finished(o) || row.Failed != nil {
			continue
		}
		for u := range projections.ClaimsIn(o.Key.Name, o.PodSpec()) {
			if u.Ephemeral && u.Claim == k.Name {
				return ephemeral(v, o, u.Volume, k, now)
			}
		}
	}
	return reconcilers.Decision{}
}

func ephemeral(view reconcilers.View, pod *projections.Object, volume string, k events.Key, now time.Time) reconcilers.Decision {
	spec := pod.PodSpec()
	i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume })
	t := spec.Volumes[i].Ephemeral.VolumeClaimTemplate
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name, Labels: t.Labels, Annotations: t.Annotations,
		Finalizers: []string{projections.ClaimProtection}}, Spec: *t.Spec.DeepCopy()}
	manifest.Default(claim)
	if _, said := projections.ClaimClass(claim); !said {
		if name, ok := view.DefaultStorageClass(); ok {
			claim.Spec.StorageClassName = &name
		}
	}
	if said := birth.In(view, k.Namespace).Claim(claim); said != "" {
		return reconcilers.Decision{Because: []events.Reason{{Code: events.FailedCreate, About: pod.Key, What: k.Name, Said: said}}, WakeAt: now.Add(retry)}
	}
	raw, err := manifest.Canonical(claim)
	if err != nil {
		panic("draft " + k.String() + ": " + err.Error()) // admission has read it
	}
	b := events.Created{Object: raw}
	b.Owner = &events.Owner{Resource: events.Pods, Name: pod.Key.Name, UID: pod.UID}
	return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.Create(k, b)}}
}

// retry is when a claim is tried again that a quota had no room for: quotas are given back by many ways.
const retry = 10 * time.Second
