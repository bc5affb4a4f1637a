package kube_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	migrationv1 "k8s.io/api/storagemigration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
)

func claimOf(name string, rules bool) *resourcev1.ResourceClaim {
	return &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{
		Name: "gpu", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu.example.com", AdminAccess: &rules}}}}}}
}

// What a claim asks for stays; what it is given is written by somebody outside, once.
func TestResourceClaims(t *testing.T) {
	c := open(t).client()
	claims := c.ResourceV1().ResourceClaims("default")
	claim := claimOf("one", false)
	claim.Status.Allocation = &resourcev1.AllocationResult{} // not by this door
	made, err := claims.Create(t.Context(), claim, metav1.CreateOptions{})
	if err != nil || made.Status.Allocation != nil || made.Spec.Devices.Requests[0].Exactly.Count != 1 {
		t.Fatalf("%+v, %v", made, err)
	}
	changed := made.DeepCopy()
	changed.Spec.Devices.Requests[0].Exactly.Count = 2
	if _, err = claims.Update(t.Context(), changed, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "field is immutable") {
		t.Errorf("%v", err)
	}
	made.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{
		{Request: "gpu", Driver: "gpu.example.com", Pool: "n1", Device: "gpu-0"}}}}
	made.Status.Devices = []resourcev1.AllocatedDeviceStatus{{Driver: "gpu.example.com", Pool: "n1", Device: "gpu-0"}}
	given, err := claims.UpdateStatus(t.Context(), made, metav1.UpdateOptions{})
	if err != nil || given.Status.Allocation == nil || len(given.Status.Devices) != 1 {
		t.Fatalf("%+v, %v", given, err)
	}
	other := given.DeepCopy()
	other.Status.Allocation.Devices.Results[0].Device = "gpu-1"
	if _, err = claims.UpdateStatus(t.Context(), other, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "status.allocation") {
		t.Errorf("%v", err)
	}
	given.Status.Allocation = nil // what was said of its devices goes with them
	if given, err = claims.UpdateStatus(t.Context(), given, metav1.UpdateOptions{}); err != nil || given.Status.Allocation != nil || len(given.Status.Devices) != 0 {
		t.Errorf("%+v, %v", given, err)
	}
	for name, patch := range map[types.PatchType]string{types.StrategicMergePatchType: `{"status":{"allocation":{}}}`, types.JSONPatchType: `[{"op":"add","path":"/status/allocation","value":{}}]`} {
		if got, err := claims.Patch(t.Context(), "one", name, []byte(patch), metav1.PatchOptions{}, "status"); err != nil || got.Status.Allocation == nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Devices that others use are for namespaces whose label says so.
func TestAdminAccessToDevices(t *testing.T) {
	c := open(t).client()
	claims := c.ResourceV1().ResourceClaims("default")
	if _, err := claims.Create(t.Context(), claimOf("rules", true), metav1.CreateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "resource.kubernetes.io/admin-access: true") {
		t.Errorf("%v", err)
	}
	label := `{"metadata":{"labels":{"resource.kubernetes.io/admin-access":"true"}}}`
	if _, err := c.CoreV1().Namespaces().Patch(t.Context(), "default", types.MergePatchType, []byte(label), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := claims.Create(t.Context(), claimOf("rules", true), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}

// Expressions are read when they are written; slices are found by their node and driver; a taint says since when it holds.
func TestDeviceKinds(t *testing.T) {
	c := open(t).client().ResourceV1()
	for text, want := range map[string]string{"false": "", "device.driver == 'gpu.example.com' && device.attributes['gpu.example.com'].model == 'a'": "", "1 +": "compilation failed", "1 + 1": "must evaluate to bool or the unknown type, not int"} {
		class := &resourcev1.DeviceClass{ObjectMeta: metav1.ObjectMeta{GenerateName: "c-"}, Spec: resourcev1.DeviceClassSpec{Selectors: []resourcev1.DeviceSelector{{CEL: &resourcev1.CELDeviceSelector{Expression: text}}}}}
		if _, err := c.DeviceClasses().Create(t.Context(), class, metav1.CreateOptions{}); (want == "") != (err == nil) || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, node := range []string{"n1", "n2"} {
		s := &resourcev1.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: resourcev1.ResourceSliceSpec{Driver: "d", Pool: resourcev1.ResourcePool{Name: "p", ResourceSliceCount: 1}, NodeName: &node}}
		if _, err := c.ResourceSlices().Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	found, err := c.ResourceSlices().List(t.Context(), metav1.ListOptions{FieldSelector: "spec.driver=d,spec.nodeName=n2"})
	if err != nil || len(found.Items) != 1 || found.Items[0].Name != "n2" {
		t.Errorf("%+v, %v", found, err)
	}
	rule := &resourcev1.DeviceTaintRule{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Spec: resourcev1.DeviceTaintRuleSpec{Taint: resourcev1.DeviceTaint{Key: "k", Effect: resourcev1.DeviceTaintEffectNone}}}
	made, err := c.DeviceTaintRules().Create(t.Context(), rule, metav1.CreateOptions{})
	if err != nil || made.Spec.Taint.TimeAdded.IsZero() {
		t.Fatalf("%+v, %v", made, err)
	}
	early := metav1.NewTime(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
	made.Spec.Taint.TimeAdded = &early
	if made, err = c.DeviceTaintRules().Update(t.Context(), made, metav1.UpdateOptions{}); err != nil || !made.Spec.Taint.TimeAdded.Equal(&early) {
		t.Fatalf("%+v, %v", made, err)
	}
	made.Spec.Taint.Effect = resourcev1.DeviceTaintEffectNoExecute
	if made, err = c.DeviceTaintRules().Update(t.Context(), made, metav1.UpdateOptions{}); err != nil || made.Spec.Taint.TimeAdded.Equal(&early) {
		t.Errorf("%+v, %v", made, err)
	}
	made.Status.Conditions = []metav1.Condition{{Type: "Testing", Status: metav1.ConditionTrue, Reason: "Test", LastTransitionTime: early}}
	if made, err = c.DeviceTaintRules().UpdateStatus(t.Context(), made, metav1.UpdateOptions{}); err != nil || len(made.Status.Conditions) != 1 {
		t.Errorf("%+v, %v", made, err)
	}
}

func migrationOf(name, group, resource string) *migrationv1.StorageVersionMigration {
	return &migrationv1.StorageVersionMigration{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: migrationv1.StorageVersionMigrationSpec{Resource: metav1.GroupResource{Group: group, Resource: resource}}}
}

// A migration of a kind of Stave's is done at once; one of a definition's brings its objects into the version that is stored,
// asking its webhook, and then the definition forgets the other one.
func TestMigrations(t *testing.T) {
	h, all, _ := exchange(t)
	c := h.client().StoragemigrationV1().StorageVersionMigrations()
	one := all.Resource(phonesV1).Namespace("default")
	done := func(name string) {
		t.Helper()
		eventually(t, name+" is done", func(ctx context.Context) bool {
			m, err := c.Get(ctx, name, metav1.GetOptions{})
			return err == nil && m.Status.ResourceVersion != "" && slices.ContainsFunc(m.Status.Conditions, func(c metav1.Condition) bool { return c.Type == "Succeeded" && c.Status == metav1.ConditionTrue })
		})
	}
	if _, err := c.Create(t.Context(), migrationOf("maps", "", "configmaps"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	done("maps")
	for _, name := range []string{"a", "b", "c"} {
		if _, err := one.Create(t.Context(), phone(t, "v1", name, "{address: 'h:1'}"), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	crd, err := all.Resource(definitions).Patch(t.Context(), "phones.x.org", types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/spec/versions/0/storage","value":false},{"op":"replace","path":"/spec/versions/1/storage","value":true}]`), metav1.PatchOptions{})
	if stored, _, _ := unstructured.NestedStringSlice(crd.Object, "status", "storedVersions"); err != nil || len(stored) != 2 {
		t.Fatalf("%v, %v", stored, err)
	}
	if _, err := c.Create(t.Context(), migrationOf("phones", "x.org", "phones"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	done("phones")
	for _, name := range []string{"a", "b", "c"} {
		o, ok := h.view.Durable().Get(events.Key{Resource: "phones.x.org", Namespace: "default", Name: name})
		if !ok || !strings.Contains(string(o.Raw), `"host":"h"`) {
			t.Errorf("%s is kept as %s", name, o.Raw)
		}
	}
	crd, err = all.Resource(definitions).Get(t.Context(), "phones.x.org", metav1.GetOptions{})
	if stored, _, _ := unstructured.NestedStringSlice(crd.Object, "status", "storedVersions"); err != nil || !slices.Equal(stored, []string{"v2"}) {
		t.Errorf("%v, %v", stored, err)
	}
	m, err := c.Get(t.Context(), "phones", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m.Spec.Resource.Resource = "faxes"
	if _, err = c.Update(t.Context(), m, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("%v", err)
	}
}
