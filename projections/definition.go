package projections

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/stave-run/stave/events"
)

// Kinds are the kinds that there are: Stave's own and those of the definitions
// whose names are theirs.
func (s State) Kinds() events.Catalogue { return s.kinds }

// definedKinds are the kinds that the definitions make now.
func (s State) definedKinds() events.Catalogue {
	var custom []events.Kind
	for o := range s.List(events.Definitions, "") {
		if s.accepted(o) {
			custom = append(custom, events.CustomKinds(As[*apiextensionsv1.CustomResourceDefinition](o))...)
		}
	}
	return events.Catalogue{}.With(custom...)
}

// KindOf finds the kind of a resource in its preferred version.
func (s State) KindOf(r events.Resource) (events.Kind, bool) { return s.kinds.Of(r) }

// Definition finds the row that defines a custom resource. What a definition of
// one of Stave's own would say counts for nothing.
func (s State) Definition(r events.Resource) (*Object, bool) {
	if !strings.Contains(string(r), ".") {
		return nil, false // groups of definitions are never empty
	}
	if _, ours := events.KindOf(r); ours {
		return nil, false
	}
	return s.Get(events.DefinitionKey(r))
}

// CustomResources are the resources in namespaces that definitions make, whether
// anybody serves them or not.
func (s State) CustomResources() []events.Resource {
	var out []events.Resource
	for o := range s.List(events.Definitions, "") {
		if As[*apiextensionsv1.CustomResourceDefinition](o).Spec.Scope == apiextensionsv1.NamespaceScoped {
			out = append(out, events.Resource(o.Key.Name))
		}
	}
	return out
}

// defined tells whether events of a resource mean something: it is one of ours, or
// somebody has defined it.
func (s State) defined(r events.Resource) bool {
	if _, ours := events.KindOf(r); ours {
		return true
	}
	_, ok := s.Definition(r)
	return ok
}

func (s State) accepted(o *Object) bool { return len(s.NameConflicts(o)) == 0 }

// NameConflict is a name of a definition that another one of its group has.
type NameConflict struct {
	Reason string // "KindConflict"
	Name   string
	Holder events.Key
}

// Said is the conflict in Kubernetes' words.
func (c NameConflict) Said() string { return fmt.Sprintf("%q is already in use", c.Name) }

// NameConflicts are the names of a definition that others of its group had before.
// Admission sees to it that none takes the name of another that was made later.
func (s State) NameConflicts(o *Object) []NameConflict {
	d := As[*apiextensionsv1.CustomResourceDefinition](o)
	var out []NameConflict
	for other := range s.List(events.Definitions, "") {
		if other.Key != o.Key && other.Created.Seq < o.Created.Seq {
			out = append(out, conflicts(d, other)...)
		}
	}
	return out
}

// conflicts are the names that a definition shares with another one.
func conflicts(d *apiextensionsv1.CustomResourceDefinition, with *Object) []NameConflict {
	other := As[*apiextensionsv1.CustomResourceDefinition](with)
	if other.Spec.Group != d.Spec.Group {
		return nil
	}
	names, taken := d.Spec.Names, other.Spec.Names
	resources := append([]string{taken.Plural, taken.Singular}, taken.ShortNames...)
	kinds := []string{taken.Kind, taken.ListKind}
	var out []NameConflict
	ask := func(reason, name string, among []string) {
		if name != "" && slices.Contains(among, name) {
			out = append(out, NameConflict{reason, name, with.Key})
		}
	}
	ask("SingularConflict", names.Singular, resources)
	for _, short := range names.ShortNames {
		ask("ShortNamesConflict", short, resources)
	}
	ask("KindConflict", names.Kind, kinds)
	ask("ListKindConflict", names.ListKind, kinds)
	return out
}

// SharedNames are the names that a definition would have in common with others of
// its group, whoever was there first.
func (s State) SharedNames(d *apiextensionsv1.CustomResourceDefinition) []NameConflict {
	var out []NameConflict
	for other := range s.List(events.Definitions, "") {
		if other.Key.Name != d.Name {
			out = append(out, conflicts(d, other)...)
		}
	}
	return out
}

// StorageVersion is the version in which the objects of a definition are kept.
func StorageVersion(d *apiextensionsv1.CustomResourceDefinition) string {
	for _, v := range d.Spec.Versions {
		if v.Storage {
			return v.Name
		}
	}
	return ""
}

// definitionStatus is what a definition's names and end say of it. A definition
// that may have its names is in force from its first event on.
func (s State) definitionStatus(o *Object, d *apiextensionsv1.CustomResourceDefinition) apiextensionsv1.CustomResourceDefinitionStatus {
	out := apiextensionsv1.CustomResourceDefinitionStatus{AcceptedNames: d.Spec.Names, StoredVersions: []string{StorageVersion(d)}}
	condition := func(t apiextensionsv1.CustomResourceDefinitionConditionType, status apiextensionsv1.ConditionStatus, reason, said string, since Mark) {
		out.Conditions = append(out.Conditions, apiextensionsv1.CustomResourceDefinitionCondition{Type: t, Status: status, Reason: reason, Message: said, LastTransitionTime: stamp(since.Time)})
	}
	taken := s.NameConflicts(o)
	if len(taken) == 0 {
		condition(apiextensionsv1.NamesAccepted, apiextensionsv1.ConditionTrue, "NoConflicts", "no conflicts found", o.Created)
		condition(apiextensionsv1.Established, apiextensionsv1.ConditionTrue, "InitialNamesAccepted", "the initial names have been accepted", o.Created)
	} else {
		last := taken[len(taken)-1]
		condition(apiextensionsv1.NamesAccepted, apiextensionsv1.ConditionFalse, last.Reason, last.Said(), o.Created)
		condition(apiextensionsv1.Established, apiextensionsv1.ConditionFalse, "NotAccepted", "not all names are accepted", o.Created)
		out.AcceptedNames = free(d.Spec.Names, taken)
	}
	if del := o.Deletion; del != nil {
		condition(apiextensionsv1.Terminating, apiextensionsv1.ConditionTrue, "InstanceDeletionInProgress", "CustomResource deletion is in progress", del.Mark)
	}
	return out
}

// free are the names that nobody else has.
func free(names apiextensionsv1.CustomResourceDefinitionNames, taken []NameConflict) apiextensionsv1.CustomResourceDefinitionNames {
	for _, c := range taken {
		switch c.Reason {
		case "SingularConflict":
			names.Singular = ""
		case "ShortNamesConflict":
			names.ShortNames = nil
		case "KindConflict":
			names.Kind = ""
		case "ListKindConflict":
			names.ListKind = ""
		}
	}
	return names
}

// converts tells whether a webhook brings the objects of a resource into other versions.
func (s State) converts(r events.Resource) bool {
	row, ok := s.Definition(r)
	if !ok {
		return false
	}
	c := As[*apiextensionsv1.CustomResourceDefinition](row).Spec.Conversion
	return c != nil && c.Strategy == apiextensionsv1.WebhookConverter
}

// customObject completes an object of a definition: it is shown in its preferred
// version, or in the one that is kept where only a webhook can tell another, and with
// the status that somebody reported.
func (s State) customObject(o *Object, v *unstructured.Unstructured) {
	if kind, ok := s.KindOf(o.Key.Resource); ok && !s.converts(o.Key.Resource) {
		v.SetAPIVersion(kind.APIVersion())
	}
	if len(o.Status) == 0 {
		return
	}
	var status unstructured.Unstructured
	if json.Unmarshal(events.MustBody(map[string]json.RawMessage{"kind": json.RawMessage(`"x"`), "status": o.Status}), &status) == nil { // whole numbers stay whole
		v.Object["status"] = status.Object["status"]
	}
}

// SelectableFields are the fields that a field selector may name: definitions say
// theirs, each named by its path.
func (s State) SelectableFields(r events.Resource) []string {
	out := SelectableFields(r)
	row, ok := s.Definition(r)
	if !ok {
		return out
	}
	for _, v := range As[*apiextensionsv1.CustomResourceDefinition](row).Spec.Versions {
		for _, f := range v.SelectableFields {
			if name := strings.TrimPrefix(f.JSONPath, "."); v.Served && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// customField is the value at a path without lists: definitions may name no other.
func customField(object map[string]any, path string) string {
	for {
		step, rest, more := strings.Cut(path, ".")
		value, ok := object[step]
		if !ok || value == nil {
			return ""
		}
		if !more {
			return fmt.Sprint(value)
		}
		if object, ok = value.(map[string]any); !ok {
			return ""
		}
		path = rest
	}
}
