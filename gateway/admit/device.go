package admit

import (
	"encoding/json"
	"slices"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	resourcev1 "k8s.io/api/resource/v1"
	migrationv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
)

// overlord is the label of namespaces whose claims may have devices that others use.
const overlord = resourcev1.DRAAdminNamespaceLabelKey

// device says since when taints of devices hold, and refuses claims for what others use where the namespace does not allow it.
func (w *writing) device() *refusal {
	switch o := w.next.(type) {
	case *resourcev1.DeviceTaintRule:
		w.since(&o.Spec.Taint)
	case *resourcev1.ResourceSlice:
		w.tainted(o)
	case *resourcev1.ResourceClaim:
		return w.mayRule(o.Spec.Devices.Requests, field.NewPath("spec", "devices", "requests"))
	case *resourcev1.ResourceClaimTemplate:
		return w.mayRule(o.Spec.Spec.Devices.Requests, field.NewPath("spec", "spec", "devices", "requests"))
	}
	return nil
}

func (w *writing) tainted(s *resourcev1.ResourceSlice) {
	for i := range s.Spec.Devices {
		for j := range s.Spec.Devices[i].Taints {
			w.since(&s.Spec.Devices[i].Taints[j])
		}
	}
}

func (w *writing) since(t *resourcev1.DeviceTaint) {
	if t.TimeAdded == nil {
		at := metav1.NewTime(w.now.UTC().Truncate(time.Second))
		t.TimeAdded = &at
	}
}

// taintMoved is since for a change: another effect begins now, unless its writer says when.
func (w *writing) taintMoved(before events.Object) {
	switch o := w.next.(type) {
	case *resourcev1.ResourceSlice:
		w.tainted(o)
	case *resourcev1.DeviceTaintRule:
		was, ok := before.(*resourcev1.DeviceTaintRule)
		if t := &o.Spec.Taint; ok && t.Effect != was.Spec.Taint.Effect && t.TimeAdded.Equal(was.Spec.Taint.TimeAdded) {
			t.TimeAdded = nil
		}
		w.since(&o.Spec.Taint)
	}
}

func (w *writing) mayRule(all []resourcev1.DeviceRequest, at *field.Path) *refusal {
	i := slices.IndexFunc(all, func(r resourcev1.DeviceRequest) bool {
		return r.Exactly != nil && r.Exactly.AdminAccess != nil && *r.Exactly.AdminAccess
	})
	if i < 0 || w.rulesDevices() {
		return nil
	}
	return invalid(w.key, field.ErrorList{field.Forbidden(at.Index(i).Child("adminAccess"), onlyOverlords)})
}

const onlyOverlords = "admin access to devices requires the `" + overlord + ": true` label on the containing namespace"

func (w *writing) rulesDevices() bool {
	ns, ok := w.v.Get(events.Key{Resource: events.Namespaces, Name: w.key.Namespace})
	return ok && ns.Typed().GetLabels()[overlord] == "true"
}

// reported holds the status of what drivers and schedulers outside write to Kubernetes' rules; that of other objects as it is.
func (w *writing) reported(old *projections.Object, sent json.RawMessage, now time.Time) (json.RawMessage, *refusal) {
	at := field.NewPath("status")
	var errs field.ErrorList
	read := func(into any) *refusal {
		if len(sent) == 0 {
			return nil
		}
		if err := json.Unmarshal(sent, into); err != nil {
			return badRequest("read status of %s: %v", w.key, err)
		}
		return nil
	}
	switch was := w.seen(old, now).(type) {
	case *resourcev1.ResourceClaim:
		next := &resourcev1.ResourceClaimStatus{}
		if err := read(next); err != nil {
			return nil, err
		}
		forgetGivenBack(&was.Status, next)
		errs = append(manifest.ClaimStatus(&was.Spec, &was.Status, next, old.Deletion != nil), w.mayHave(&was.Status, next, at)...)
		sent = events.MustBody(next)
	case *resourcev1.DeviceTaintRule:
		next := &resourcev1.DeviceTaintRuleStatus{}
		if err := read(next); err != nil {
			return nil, err
		}
		errs = manifest.Conditions(next.Conditions, resourcev1.DeviceTaintRuleStatusMaxConditions, at.Child("conditions"))
	case *autoscalingv2.HorizontalPodAutoscaler:
		next := &autoscalingv2.HorizontalPodAutoscalerStatus{}
		if err := read(next); err != nil {
			return nil, err
		}
		errs = manifest.AutoscalerStatus(next)
	case *migrationv1.StorageVersionMigration:
		next := &migrationv1.StorageVersionMigrationStatus{}
		if err := read(next); err != nil {
			return nil, err
		}
		errs = manifest.MigrationStatus(&was.Status, next)
	case *apiregistrationv1.APIService:
		next := &apiregistrationv1.APIServiceStatus{}
		if err := read(next); err != nil {
			return nil, err
		}
		errs = manifest.APIServiceStatus(next)
	}
	if len(errs) > 0 {
		return nil, invalid(w.key, errs)
	}
	return sent, nil
}

// seen is an object whose status somebody outside writes whole; nil for any other.
func (w *writing) seen(old *projections.Object, now time.Time) events.Object {
	switch old.Key.Resource {
	case events.Autoscalers, events.DeviceClaims, events.DeviceTaints, events.Migrations, events.APIServices:
		return w.v.ObjectOf(old, now)
	}
	return nil
}

// mayHave refuses what others use to claims of a namespace that does not allow it. What was given stays given.
func (w *writing) mayHave(old, next *resourcev1.ResourceClaimStatus, at *field.Path) field.ErrorList {
	if old.Allocation != nil || next.Allocation == nil || w.rulesDevices() {
		return nil
	}
	i := slices.IndexFunc(next.Allocation.Devices.Results, func(r resourcev1.DeviceRequestAllocationResult) bool { return r.AdminAccess != nil && *r.AdminAccess })
	if i < 0 {
		return nil
	}
	return field.ErrorList{field.Forbidden(at.Child("allocation", "devices", "results").Index(i).Child("adminAccess"), onlyOverlords)}
}

// forgetGivenBack takes out what drivers said of devices that the claim has no more.
func forgetGivenBack(old, next *resourcev1.ResourceClaimStatus) {
	gone := map[string]bool{}
	for _, r := range resultsOf(old) {
		gone[manifest.DeviceID(r.Driver, r.Pool, r.Device, (*string)(r.ShareID))] = true
	}
	for _, r := range resultsOf(next) {
		delete(gone, manifest.DeviceID(r.Driver, r.Pool, r.Device, (*string)(r.ShareID)))
	}
	next.Devices = slices.DeleteFunc(next.Devices, func(d resourcev1.AllocatedDeviceStatus) bool {
		return gone[manifest.DeviceID(d.Driver, d.Pool, d.Device, d.ShareID)]
	})
}

func resultsOf(s *resourcev1.ResourceClaimStatus) []resourcev1.DeviceRequestAllocationResult {
	if s.Allocation == nil {
		return nil
	}
	return s.Allocation.Devices.Results
}
