package manifest

import (
	"slices"
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
)

func TestCoverage(t *testing.T) {
	for _, k := range events.Kinds {
		list := Coverage(k.Resource)
		if len(list) == 0 {
			t.Errorf("%s: nothing is said about its fields", k.Name)
		}
		if !slices.IsSortedFunc(list, func(a, b Field) int { return strings.Compare(a.Path, b.Path) }) {
			t.Errorf("%s: not in order: %v", k.Name, list)
		}
	}
	for path, want := range map[string]Field{
		"spec.containers.image":                {},
		"spec.containers.resources.limits.cpu": {},
		"spec.initContainers.image":            {},
		"spec.readinessGates":                  {},
		"spec.runtimeClassName":                {},
		"spec.preemptionPolicy":                {},
	} {
		want.Path = path
		if i := slices.IndexFunc(Coverage(events.Pods), func(f Field) bool { return f.Path == path }); i < 0 || Coverage(events.Pods)[i] != want {
			t.Errorf("%s: got %v, want %+v", path, i, want)
		}
	}
}
