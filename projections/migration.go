package projections

import (
	migrationv1 "k8s.io/api/storagemigration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/stave-run/stave/events"
)

// Migrates is the resource whose objects a migration brings into the version that is stored.
func Migrates(m *migrationv1.StorageVersionMigration) events.Resource {
	if m.Spec.Resource.Group == "" {
		return events.Resource(m.Spec.Resource.Resource)
	}
	return events.Resource(m.Spec.Resource.Resource + "." + m.Spec.Resource.Group)
}

// Stale counts the objects of a resource that are kept in another version than they would be by now. Stave's own kinds are
// kept as they are served.
func (s State) Stale(r events.Resource) int {
	n := 0
	for range s.StaleObjects(r) {
		n++
	}
	return n
}

// StaleObjects walks them.
func (s State) StaleObjects(r events.Resource) func(yield func(*Object) bool) {
	return func(yield func(*Object) bool) {
		row, ok := s.Definition(r)
		if !ok {
			return
		}
		version := StorageVersion(As[*apiextensionsv1.CustomResourceDefinition](row))
		for o := range s.List(r, "") {
			if o.Deletion == nil && o.Typed().GetObjectKind().GroupVersionKind().Version != version && !yield(o) {
				return
			}
		}
	}
}
