package events

import "strings"

// Absent is a kind of Kubernetes that people know and that is not there yet: it
// is told apart from one that nobody ever heard of.
type Absent struct {
	Name       string // "StatefulSet"
	APIVersion string // "apps/v1"
	Typed      string // what people type: plural, singular and short names
}

// absent are Kubernetes' own kinds without a row in Kinds.
var absent = []Absent{
	{"Lease", "coordination.k8s.io/v1", "leases lease"},
}

// AbsentNamed finds a kind that is not there yet by what a person types, or
// writes as the kind of a manifest.
func AbsentNamed(typed string) (Absent, bool) {
	plain, _, _ := strings.Cut(strings.ToLower(typed), ".") // a group behind it changes nothing
	for _, a := range absent {
		for _, name := range strings.Fields(a.Typed) {
			if name == plain {
				return a, true
			}
		}
	}
	return Absent{}, false
}
