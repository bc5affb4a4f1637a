package events

import (
	"strings"
	"testing"
)

// A kind that is there is not called absent: whoever adds one to Kinds takes it
// out of absent.
func TestAbsentKindsAreAbsent(t *testing.T) {
	for _, k := range Kinds {
		if _, ok := AbsentNamed(k.Name); ok {
			t.Errorf("%s is in Kinds: take its row out of events/absent.go", k.Name)
		}
		for _, typed := range k.names() {
			if a, ok := AbsentNamed(typed); ok {
				t.Errorf("%q means %s, not the absent %s", typed, k.Name, a.Name)
			}
		}
	}
	seen := map[string]string{}
	for _, a := range absent {
		for _, typed := range strings.Fields(a.Typed) {
			if seen[typed] != "" {
				t.Errorf("%q means %s and %s", typed, seen[typed], a.Name)
			}
			seen[typed] = a.Name
		}
	}
	if a, ok := AbsentNamed("Leases.coordination.k8s.io"); !ok || a.Name != "Lease" {
		t.Errorf("leases with their group are %+v", a)
	}
	if _, ok := AbsentNamed("leasee"); ok {
		t.Error("a word misspelled is found")
	}
}
