package manifest

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

// BindCompleted is the annotation of a claim that has had its volume: without that one it is lost.
const BindCompleted = "pv.kubernetes.io/bind-completed"

// updateStorage says which changes of the kinds that storage is made of are not allowed.
func updateStorage(old, next events.Object) field.ErrorList {
	switch old := old.(type) {
	case *corev1.PersistentVolume:
		if n, ok := next.(*corev1.PersistentVolume); ok {
			return updateVolume(&old.Spec, &n.Spec)
		}
	case *corev1.PersistentVolumeClaim:
		if n, ok := next.(*corev1.PersistentVolumeClaim); ok {
			return updateClaim(old, n)
		}
	case *storagev1.StorageClass:
		if n, ok := next.(*storagev1.StorageClass); ok {
			return updateStorageClass(old, n)
		}
	}
	return updateDrivers(old, next)
}

// updateClaim lets a claim grow once it is bound, be given a volume once, and a class when it had none.
func updateClaim(old, next *corev1.PersistentVolumeClaim) field.ErrorList {
	at := field.NewPath("spec")
	was, rest := old.Spec.DeepCopy(), next.Spec.DeepCopy()
	if was.VolumeName == "" {
		was.VolumeName = rest.VolumeName
	}
	if was.StorageClassName == nil && old.Annotations[corev1.BetaStorageClassAnnotation] == "" {
		was.StorageClassName = rest.StorageClassName
	}
	had, want := old.Spec.Resources.Requests[corev1.ResourceStorage], next.Spec.Resources.Requests[corev1.ResourceStorage]
	if old.Spec.VolumeName != "" && old.Annotations[BindCompleted] != "" && rest.Resources.Requests != nil {
		rest.Resources.Requests[corev1.ResourceStorage] = had
		rest.VolumeAttributesClassName = was.VolumeAttributesClassName
	}
	var errs field.ErrorList
	if !same(was, rest) {
		errs = append(errs, field.Forbidden(at, "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"))
	}
	if want.Cmp(had) < 0 {
		errs = append(errs, field.Forbidden(at.Child("resources", "requests", "storage"), "field can not be less than status.capacity"))
	}
	return errs
}

// updateVolume holds a volume to where its data is.
func updateVolume(old, next *corev1.PersistentVolumeSpec) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("spec")
	if !same(old.PersistentVolumeSource, next.PersistentVolumeSource) {
		errs = append(errs, field.Forbidden(at.Child("persistentvolumesource"), "spec.persistentvolumesource is immutable after creation"))
	}
	errs = unchanged(errs, field.NewPath("volumeMode"), old.VolumeMode, next.VolumeMode)
	if old.NodeAffinity != nil {
		errs = unchanged(errs, field.NewPath("nodeAffinity"), old.NodeAffinity, next.NodeAffinity)
	}
	return errs
}

func updateStorageClass(old, next *storagev1.StorageClass) field.ErrorList {
	var errs field.ErrorList
	if !same(old.Parameters, next.Parameters) {
		errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
	}
	if old.Provisioner != next.Provisioner {
		errs = append(errs, field.Forbidden(field.NewPath("provisioner"), "updates to provisioner are forbidden."))
	}
	if !same(old.ReclaimPolicy, next.ReclaimPolicy) {
		errs = append(errs, field.Forbidden(field.NewPath("reclaimPolicy"), "updates to reclaimPolicy are forbidden."))
	}
	return unchanged(errs, field.NewPath("volumeBindingMode"), old.VolumeBindingMode, next.VolumeBindingMode)
}
