package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	migrationv1 "k8s.io/api/storagemigration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
)

// migrateAgain is when objects are written anew that could not be: their webhook may be away.
const migrateAgain = 5 * time.Second

// migrate writes the objects of definitions anew that a migration wants in the version that is stored, until the context
// ends. The migration's end is decided by reconcilers/migration.
func (s *Server) migrate(ctx context.Context) {
	ctx = request.WithUser(ctx, &user.DefaultInfo{Name: "system:storage-version-migrator"})
	s.tend(ctx, chore{of: events.Migrations, look: func(events.Key) {}, work: s.migrateAll, again: migrateAgain})
}

// migrateAll is false when something is left.
func (s *Server) migrateAll(ctx context.Context) bool {
	done := true
	v := s.Views.Durable()
	for o := range v.List(events.Migrations, "") {
		m, ok := v.ObjectOf(o, s.Now()).(*migrationv1.StorageVersionMigration)
		if !ok || o.Deletion != nil || !running(m) {
			continue
		}
		if err := s.rewrite(ctx, v, projections.Migrates(m)); err != nil && ctx.Err() == nil {
			s.Logger.Warn("migrate objects to the stored version", "migration", m.Name, "error", err)
			done = false
		}
	}
	return done
}

func running(m *migrationv1.StorageVersionMigration) bool {
	if done, failed := manifest.MigrationEnded(&m.Status); done || failed {
		return false
	}
	for _, c := range m.Status.Conditions {
		if c.Type == string(migrationv1.MigrationRunning) && c.Status == metav1.ConditionTrue {
			return true
		}
	}
	return false
}

// superseded tells whether somebody else wrote or deleted what was to be written.
func superseded(err error) bool {
	var again moved
	return errors.As(err, &again) || apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}

// rewrite writes each object anew as it is. One that somebody else wrote meanwhile is where it should be.
func (s *Server) rewrite(ctx context.Context, v projections.State, r events.Resource) error {
	row, ok := v.Definition(r)
	if !ok || s.Schemas == nil {
		return nil
	}
	d, err := s.Schemas.Of(row)
	if err != nil {
		return err
	}
	of := &objects{Server: s, definition: d}
	for _, k := range kindsOf(v, r) {
		if of.kind = k; k.Version == d.Storage {
			break // objects can be written in any version that is served
		}
	}
	for o := range v.StaleObjects(r) {
		now, ok, err := of.shown(ctx, v, o.Key, s.Now())
		if err != nil {
			return fmt.Errorf("read %s: %w", o.Key, err)
		}
		if !ok {
			continue
		}
		if _, _, err := of.replace(ctx, v, o.Key, now, now, false); err != nil && !superseded(err) {
			return fmt.Errorf("write %s: %w", o.Key, err)
		}
	}
	return nil
}
