package table

import (
	"strings"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	migrationv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
)

// devicePrinters are those of the kinds by which devices are given to pods, of migrations, and of API servers beside ours.
var devicePrinters = map[events.Resource]printer{
	events.DeviceClaims: {cols("NAME STATE AGE"), rowOf(func(o *resourcev1.ResourceClaim, age string, _ time.Time) []string {
		return []string{o.Name, claimState(o), age}
	})},
	events.DeviceSlices: {cols("NAME NODE DRIVER POOL AGE"), rowOf(func(o *resourcev1.ResourceSlice, age string, _ time.Time) []string {
		node := ""
		if n := o.Spec.NodeName; n != nil {
			node = *n
		}
		return []string{o.Name, node, o.Spec.Driver, o.Spec.Pool.Name, age}
	})},
	events.DeviceTaints: {cols("NAME KEY VALUE EFFECT TIMEADDED AGE"), rowOf(func(o *resourcev1.DeviceTaintRule, age string, now time.Time) []string {
		t, since := o.Spec.Taint, ""
		if t.TimeAdded != nil {
			since = Age(now.Sub(t.TimeAdded.Time))
		}
		return []string{o.Name, t.Key, t.Value, string(t.Effect), since, age}
	})},
	events.Migrations: {cols("NAME RESOURCE STATUS"), rowOf(func(o *migrationv1.StorageVersionMigration, _ string, _ time.Time) []string {
		return []string{o.Name, o.Spec.Resource.String(), migrationState(o.Status.Conditions)}
	})},
	events.APIServices: {cols("NAME SERVICE AVAILABLE AGE"), rowOf(func(o *apiregistrationv1.APIService, age string, _ time.Time) []string {
		service := "Local"
		if s := o.Spec.Service; s != nil {
			service = s.Namespace + "/" + s.Name
		}
		return []string{o.Name, service, availability(o.Status.Conditions), age}
	})},
}

func claimState(o *resourcev1.ResourceClaim) string {
	var states []string
	if o.DeletionTimestamp != nil {
		states = append(states, "deleted")
	}
	switch {
	case o.Status.Allocation != nil && len(o.Status.ReservedFor) > 0:
		states = append(states, "allocated", "reserved")
	case o.Status.Allocation != nil:
		states = append(states, "allocated")
	case o.DeletionTimestamp == nil:
		states = append(states, "pending")
	}
	return strings.Join(states, ",")
}

func availability(all []apiregistrationv1.APIServiceCondition) string {
	for _, c := range all {
		if c.Type != apiregistrationv1.Available {
			continue
		}
		if c.Status == apiregistrationv1.ConditionTrue || c.Reason == "" {
			return string(c.Status)
		}
		return string(c.Status) + " (" + c.Reason + ")"
	}
	return string(apiregistrationv1.ConditionUnknown)
}

func migrationState(all []metav1.Condition) string {
	state := "Unknown"
	for _, c := range all {
		switch migrationv1.MigrationConditionType(c.Type) {
		case migrationv1.MigrationRunning, migrationv1.MigrationFailed, migrationv1.MigrationSucceeded:
			if c.Status == metav1.ConditionTrue {
				state = c.Type
			}
		}
	}
	return state
}
