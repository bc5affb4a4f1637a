package kube_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Storage's kinds are made, read, patched and taken away as in a Kubernetes without drivers; claims and volumes are protected
// from their first moment on, and the status of those that have one is written by whom it concerns.
func TestStorageKinds(t *testing.T) {
	h := open(t)
	ctx := t.Context()
	claims := h.client().CoreV1().PersistentVolumeClaims("default")
	claim, err := claims.Create(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{GenerateName: "data-"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}, metav1.CreateOptions{})
	if err != nil || claim.Status.Phase != corev1.ClaimPending || len(claim.Finalizers) != 1 || *claim.Spec.VolumeMode != corev1.PersistentVolumeFilesystem {
		t.Fatalf("%+v, %v", claim, err)
	}
	status := []byte(`{"status":{"conditions":[{"type":"Checked","status":"True"}]}}`)
	if p, err := claims.Patch(ctx, claim.Name, types.MergePatchType, status, metav1.PatchOptions{}, "status"); err != nil || len(p.Status.Conditions) != 1 || p.Status.Phase != corev1.ClaimPending {
		t.Errorf("status: %+v, %v", p, err)
	}
	if err := claims.Delete(ctx, claim.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if c, err := claims.Get(ctx, claim.Name, metav1.GetOptions{}); err == nil && c.DeletionTimestamp == nil {
		t.Errorf("it is not going: %+v", c.ObjectMeta)
	}
	s := h.client().StorageV1()
	yes := true
	driver, err := s.CSIDrivers().Create(ctx, &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "d.example.org"}}, metav1.CreateOptions{})
	if err != nil || driver.Spec.AttachRequired == nil || !*driver.Spec.AttachRequired || len(driver.Spec.VolumeLifecycleModes) != 1 {
		t.Fatalf("%+v, %v", driver, err)
	}
	driver.Spec.PodInfoOnMount = &yes
	if _, err := s.CSIDrivers().Update(ctx, driver, metav1.UpdateOptions{}); err != nil {
		t.Error(err)
	}
	name := "v"
	at, err := s.VolumeAttachments().Create(ctx, &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: storagev1.VolumeAttachmentSpec{
		Attacher: "d.example.org", NodeName: "n1", Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &name}}}, metav1.CreateOptions{})
	if err != nil || at.Status.Attached {
		t.Fatalf("%+v, %v", at, err)
	}
	if p, err := s.VolumeAttachments().Patch(ctx, "a", types.MergePatchType, []byte(`{"status":{"attached":true}}`), metav1.PatchOptions{}, "status"); err != nil || !p.Status.Attached {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := s.VolumeAttributesClasses().Create(ctx, &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, DriverName: "d"}, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a class without parameters: %v", err)
	}
	if _, err := s.CSIStorageCapacities("default").Create(ctx, &storagev1.CSIStorageCapacity{ObjectMeta: metav1.ObjectMeta{Name: "c"}, StorageClassName: "fast"}, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := s.CSINodes().Create(ctx, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{}}}, metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
	if err := s.CSIDrivers().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
}
