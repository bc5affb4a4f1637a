package api

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/fields"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// fieldSelector is a parsed --field-selector.
type fieldSelector struct{ fields.Selector }

func parseFields(v projections.State, r events.Resource, s string) (fieldSelector, error) {
	sel, err := fields.ParseSelector(s)
	if err != nil {
		return fieldSelector{}, fmt.Errorf("unable to parse field selector: %w", err)
	}
	known := v.SelectableFields(r)
	for _, q := range sel.Requirements() {
		if !slices.Contains(known, q.Field) {
			return fieldSelector{}, fmt.Errorf("field label not supported: %s; there are %s", q.Field, strings.Join(known, ", "))
		}
	}
	return fieldSelector{sel}, nil
}

func (f fieldSelector) matches(o events.Object) bool {
	set := fields.Set{}
	for _, q := range f.Requirements() {
		set[q.Field] = projections.FieldOf(o, q.Field)
	}
	return f.Matches(set)
}
