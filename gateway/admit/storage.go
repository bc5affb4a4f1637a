package admit

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// FirstClass drafts the StorageClass that a cluster begins with, the default one. A cluster that ever had one of its name, or
// has any other, is left as people want it.
func FirstClass(v projections.State) []reconcilers.Draft {
	k := events.Key{Resource: events.StorageClasses, Name: projections.LocalClass}
	for range v.List(events.StorageClasses, "") {
		return nil
	}
	if v.LastSpec(k) != 0 {
		return nil
	}
	wait, grows := storagev1.VolumeBindingWaitForFirstConsumer, true
	return []reconcilers.Draft{first(k, &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: k.Name, Annotations: map[string]string{projections.DefaultClass: "true"}},
		Provisioner: projections.LocalProvisioner, VolumeBindingMode: &wait, AllowVolumeExpansion: &grows,
	})}
}

// store gives a new claim the cluster's class when it names none, and protects claims and volumes from their first moment on.
func (w *writing) store() {
	switch o := w.next.(type) {
	case *corev1.PersistentVolumeClaim:
		if _, said := projections.ClaimClass(o); !said {
			if name, ok := w.v.DefaultStorageClass(); ok {
				o.Spec.StorageClassName = &name
			}
		}
		protect(o, projections.ClaimProtection)
	case *corev1.PersistentVolume:
		protect(o, projections.VolumeProtection)
	}
}

func protect(o events.Object, finalizer string) {
	if has := o.GetFinalizers(); !slices.Contains(has, finalizer) {
		o.SetFinalizers(append(slices.Clone(has), finalizer))
	}
}

// grown holds a claim that wants more to what its class lets grow.
func (w *writing) grown(before events.Object) field.ErrorList {
	old, was := before.(*corev1.PersistentVolumeClaim)
	next, is := w.next.(*corev1.PersistentVolumeClaim)
	if !was || !is {
		return nil
	}
	had, want := old.Spec.Resources.Requests[corev1.ResourceStorage], next.Spec.Resources.Requests[corev1.ResourceStorage]
	name, _ := projections.ClaimClass(old)
	class, ok := w.v.StorageClass(name)
	if want.Cmp(had) <= 0 || ok && class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec", "resources", "requests", "storage"),
		"only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")}
}
