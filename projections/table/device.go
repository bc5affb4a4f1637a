package table

import (
	"strings"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	migrationv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// devicePrinters are those of the kinds by which devices are given to pods, and of migrations.
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
