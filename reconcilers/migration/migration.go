// Package migration ends StorageVersionMigrations. What is kept of Stave's own kinds is
// in the version that is served, so those are done at once. Objects of a definition may
// lie in a version that is no longer stored: gateway/kube writes them anew, for a webhook
// may have to be asked, and the migration is done when none is left.
package migration

import (
	"encoding/json"
	"fmt"
	"time"

	migrationv1 "k8s.io/api/storagemigration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// patience is how long a resource may be unknown that somebody may be about to define.
const patience = time.Minute

// Reconciler implements reconcilers.Reconciler.
type Reconciler struct{}

// Name implements reconcilers.Reconciler.
func (Reconciler) Name() string { return "migration" }

// Version implements reconcilers.Reconciler.
func (Reconciler) Version() int { return 1 }

// Reads implements reconcilers.Reconciler.
func (Reconciler) Reads() []events.Resource {
	return []events.Resource{events.Migrations, events.Definitions, events.CustomResources}
}

// Writes implements reconcilers.Reconciler.
func (Reconciler) Writes() []events.Type {
	return []events.Type{events.TypeOf(events.Migrations, events.VerbStatusWritten), events.TypeOf(events.Definitions, events.VerbStatusWritten)}
}

// Keys implements reconcilers.Reconciler: a migration, also when its resource is defined or
// an object of it is written.
func (Reconciler) Keys(v reconcilers.View, c projections.Change) []events.Key {
	r := c.Key.Resource
	switch _, ours := events.KindOf(r); {
	case r == events.Migrations && c.After != nil:
		return []events.Key{c.Key}
	case r == events.Definitions:
		r = events.Resource(c.Key.Name)
	case ours:
		return nil
	}
	var out []events.Key
	for o := range v.List(events.Migrations, "") {
		if m := projections.As[*migrationv1.StorageVersionMigration](o); projections.Migrates(m) == r {
			out = append(out, o.Key)
		}
	}
	return out
}

// Decide implements reconcilers.Reconciler.
func (Reconciler) Decide(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
	o, ok := v.Get(k)
	if !ok || o.Deletion != nil {
		return reconcilers.Decision{}
	}
	m, ok := v.ObjectOf(o, now).(*migrationv1.StorageVersionMigration)
	if !ok {
		return reconcilers.Decision{}
	}
	if done, failed := manifest.MigrationEnded(&m.Status); done || failed {
		return reconcilers.Decision{}
	}
	r := projections.Migrates(m)
	if _, ok := v.KindOf(r); !ok {
		why := events.Reason{Code: "NoSuchResource", What: string(r), Fix: "define it within a minute of the migration's making"}
		if end := o.Created.Time.Add(patience); now.Before(end) {
			return reconcilers.Decision{WakeAt: end, Because: []events.Reason{why}}
		}
		return said(v, o, m, now, migrationv1.MigrationFailed, "MigrationFailed", "migration encountered unhandled error: unable to obtain GVR from discovery")
	}
	if stale := v.Stale(r); stale > 0 {
		d := said(v, o, m, now, migrationv1.MigrationRunning, "MigrationRunning", fmt.Sprintf("The migration is running, %d objects not yet migrated", stale))
		d.Because = []events.Reason{{Code: "ObjectsLeft", What: string(r), Need: fmt.Sprint(stale)}}
		return d
	}
	d := said(v, o, m, now, migrationv1.MigrationSucceeded, "MigrationSucceeded", "Migration completed")
	if draft, ok := forgetVersions(v, r, now); ok {
		d.Events = append(d.Events, draft)
	}
	return d
}

// said writes a condition down, and the version of the state in which the migration was first
// looked at; how many objects are left is told once.
func said(v reconcilers.View, o *projections.Object, m *migrationv1.StorageVersionMigration, now time.Time, what migrationv1.MigrationConditionType, reason, message string) reconcilers.Decision {
	for _, c := range m.Status.Conditions {
		if c.Type == string(what) && c.Status == metav1.ConditionTrue {
			return reconcilers.Decision{}
		}
	}
	next := m.Status.DeepCopy()
	if next.ResourceVersion == "" {
		next.ResourceVersion = events.At(v.Seq, 0).String()
	}
	next.Conditions = append(next.Conditions, metav1.Condition{Type: string(what), Status: metav1.ConditionTrue, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(now.UTC().Truncate(time.Second))})
	return reconcilers.Decision{Events: []reconcilers.Draft{reconcilers.WriteStatus(o, events.StatusWritten{Status: events.MustBody(next), Over: o.Over})}}
}

// forgetVersions drafts that the objects of a definition are kept in one version alone by now: the others may
// be taken out of it.
func forgetVersions(v reconcilers.View, r events.Resource, now time.Time) (reconcilers.Draft, bool) {
	row, ok := v.Definition(r)
	if !ok || row.Deletion != nil {
		return reconcilers.Draft{}, false
	}
	d, ok := v.ObjectOf(row, now).(*apiextensionsv1.CustomResourceDefinition)
	if !ok || len(d.Status.StoredVersions) < 2 {
		return reconcilers.Draft{}, false
	}
	var over, under map[string]json.RawMessage
	if json.Unmarshal(row.Status, &over) != nil {
		return reconcilers.Draft{}, false
	}
	_ = json.Unmarshal(row.Over, &under) // none is none
	delete(over, "storedVersions")       // what is derived is the one version
	delete(under, "storedVersions")
	return reconcilers.WriteStatus(row, events.StatusWritten{Status: document(over), Over: document(under)}), true
}

// document is what is left of an object, or nothing.
func document(fields map[string]json.RawMessage) json.RawMessage {
	if len(fields) == 0 {
		return nil
	}
	return events.MustBody(fields)
}
