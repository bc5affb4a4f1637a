package kube

import (
	"iter"
	"slices"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// TestHandlersOfDefinitionsThatAreGone: tests of operators make definitions and take them away all day.
func TestHandlersOfDefinitionsThatAreGone(t *testing.T) {
	row := func(uid events.UID, raw string) *projections.Object {
		return &projections.Object{UID: uid, Raw: []byte(raw)}
	}
	all := func(rows ...*projections.Object) func() iter.Seq[*projections.Object] {
		return func() iter.Seq[*projections.Object] { return slices.Values(rows) }
	}
	var c customs
	a, b := row("a", "1"), row("b", "1")
	first := c.of(a, all(a))
	if c.of(a, all(a)) != first || c.of(b, all(a, b)) == first || c.of(a, all(a, b)) != first {
		t.Error("what is kept of a definition is not found again")
	}
	if changed := row("a", "2"); c.of(changed, all(changed, b)) == first {
		t.Error("a definition that has changed is served as it was")
	}
	if d := row("c", "1"); c.of(d, all(d)) == nil || len(c.kept) != 1 {
		t.Errorf("%d are kept of one that is there", len(c.kept))
	}
}
