package manifest

import (
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/stave-run/stave/events"
)

// defaultStorage fills in the kinds that storage is made of.
func defaultStorage(o events.Object) {
	switch o := o.(type) {
	case *corev1.PersistentVolume:
		defaultPersistentVolume(&o.Spec)
	case *corev1.PersistentVolumeClaim:
		defaultClaim(&o.Spec)
	case *storagev1.StorageClass:
		defaultStorageClass(o)
	case *storagev1.CSIDriver:
		defaultDriver(&o.Spec)
	}
}

func defaultDriver(s *storagev1.CSIDriverSpec) {
	pointTo(&s.AttachRequired, true)
	pointTo(&s.PodInfoOnMount, false)
	pointTo(&s.StorageCapacity, false)
	pointTo(&s.FSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	pointTo(&s.RequiresRepublish, false)
	pointTo(&s.SELinuxMount, false)
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = []storagev1.VolumeLifecycleMode{storagev1.VolumeLifecyclePersistent}
	}
}

func defaultPersistentVolume(s *corev1.PersistentVolumeSpec) {
	setTo(&s.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
	pointTo(&s.VolumeMode, corev1.PersistentVolumeFilesystem)
	if s.HostPath != nil {
		pointTo(&s.HostPath.Type, corev1.HostPathUnset)
	}
}

func defaultClaim(s *corev1.PersistentVolumeClaimSpec) {
	pointTo(&s.VolumeMode, corev1.PersistentVolumeFilesystem)
}

func defaultStorageClass(c *storagev1.StorageClass) {
	pointTo(&c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
	pointTo(&c.VolumeBindingMode, storagev1.VolumeBindingImmediate)
}
