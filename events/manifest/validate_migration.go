package manifest

import (
	"strconv"
	"strings"

	migrationv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
)

func validateMigration(o events.Object) field.ErrorList {
	m, ok := o.(*migrationv1.StorageVersionMigration)
	if !ok {
		return nil
	}
	at, r := field.NewPath("spec", "resource"), m.Spec.Resource
	var errs field.ErrorList
	if r.Resource == "" {
		errs = append(errs, field.Required(at.Child("resource"), "resource is required to be set"))
	} else if said := validation.IsDNS1035Label(r.Resource); len(said) > 0 {
		errs = append(errs, field.Invalid(at.Child("resource"), r.Resource, strings.Join(said, ",")))
	}
	if said := validation.IsDNS1123Subdomain(r.Group); r.Group != "" && len(said) > 0 {
		errs = append(errs, field.Invalid(at.Child("group"), r.Group, strings.Join(said, ",")))
	}
	return errs
}

// MigrationStatus says what is wrong with how far a migration has come, beside how far it was.
func MigrationStatus(old, next *migrationv1.StorageVersionMigrationStatus) field.ErrorList {
	at := field.NewPath("status")
	version, here := next.ResourceVersion, at.Child("conditions")
	var errs field.ErrorList
	if _, err := strconv.ParseUint(version, 10, 64); version != "" && (err != nil || strings.HasPrefix(version, "0")) {
		errs = append(errs, field.Invalid(at.Child("resourceVersion"), version, "resource version is not well formed: "+version))
	}
	errs = append(errs, Conditions(next.Conditions, len(next.Conditions), here)...)
	if old.ResourceVersion != "" && old.ResourceVersion != version {
		errs = append(errs, field.Invalid(at.Child("resourceVersion"), version, immutable))
	}
	done, failed := MigrationEnded(next)
	wasDone, wasFailed := MigrationEnded(old)
	if done && failed {
		errs = append(errs, field.Invalid(here, next.Conditions, "Both success and failed conditions cannot be true at the same time"))
	}
	if wasDone && !done {
		errs = append(errs, field.Invalid(here, next.Conditions, "Success condition cannot be set to false once it is true"))
	}
	if wasFailed && !failed {
		errs = append(errs, field.Invalid(here, next.Conditions, "Failed condition cannot be set to false once it is true"))
	}
	return errs
}

// MigrationEnded tells whether a migration has ended, and how.
func MigrationEnded(s *migrationv1.StorageVersionMigrationStatus) (done, failed bool) {
	for _, c := range s.Conditions {
		done = done || c.Type == string(migrationv1.MigrationSucceeded) && c.Status == metav1.ConditionTrue
		failed = failed || c.Type == string(migrationv1.MigrationFailed) && c.Status == metav1.ConditionTrue
	}
	return done, failed
}
