package events

import (
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// CustomResources stands for all resources that definitions make, in what
// reconcilers declare: nobody knows their names beforehand.
const CustomResources Resource = "*"

// Catalogue is the kinds that there are: Stave's own and those that definitions
// add. The zero one has Stave's own alone. It is never changed in place.
type Catalogue struct {
	custom []Kind // one a served version, the preferred version of a resource first
}

// With is a catalogue that has more kinds, as CustomKinds makes them. A resource
// that is there already keeps its kinds.
func (c Catalogue) With(more ...Kind) Catalogue {
	out := slices.Clone(c.custom)
	for _, k := range more {
		if !ours(k.Resource) && !slices.ContainsFunc(c.custom, func(x Kind) bool { return x.Resource == k.Resource }) {
			out = append(out, k)
		}
	}
	return Catalogue{out}
}

// Custom are the kinds that definitions add, one a served version.
func (c Catalogue) Custom() []Kind { return c.custom }

// All are the kinds of all resources, each in its preferred version.
func (c Catalogue) All() []Kind {
	out := slices.Clone(Kinds)
	for i, k := range c.custom {
		if i == 0 || c.custom[i-1].Resource != k.Resource {
			out = append(out, k)
		}
	}
	return out
}

// Of finds the kind of a resource in its preferred version.
func (c Catalogue) Of(r Resource) (Kind, bool) {
	if k, ok := KindOf(r); ok {
		return k, true
	}
	for _, k := range c.custom {
		if k.Resource == r {
			return k, true
		}
	}
	return Kind{}, false
}

// For finds a kind by the apiVersion and kind of a manifest.
func (c Catalogue) For(apiVersion, kind string) (Kind, bool) {
	if k, ok := KindFor(apiVersion, kind); ok {
		return k, true
	}
	for _, k := range c.custom {
		if k.Name == kind && k.APIVersion() == apiVersion {
			return k, true
		}
	}
	return Kind{}, false
}

// InGroup finds a kind by what somebody else wrote down as its apiVersion and kind:
// another version of it is the same kind, served or not.
func (c Catalogue) InGroup(apiVersion, kind string) (Kind, bool) {
	if k, ok := c.For(apiVersion, kind); ok {
		return k, true
	}
	group, _, ok := strings.Cut(apiVersion, "/")
	for _, k := range c.custom {
		if ok && k.Group == group && k.Name == kind {
			return k, true
		}
	}
	return Kind{}, false
}

// Named finds a kind by what a person types, as KindNamed does. Stave's own come
// before those of definitions, and a whole group before the beginning of one.
func (c Catalogue) Named(typed string) (Kind, bool) {
	want := strings.ToLower(typed)
	for _, loosely := range []bool{false, true} {
		for _, kinds := range [][]Kind{Kinds, OlderKinds, c.custom} {
			for i := range kinds { // a copy of each would cost more than the comparison
				if kinds[i].named(want, loosely) {
					return kinds[i], true
				}
			}
		}
	}
	return Kind{}, false
}

// Custom tells whether a definition makes the kind, and not Stave.
func (k Kind) Custom() bool { return !ours(k.Resource) }

// ours tells whether a resource is one of Stave's own, in the log or beside it.
func ours(r Resource) bool {
	_, ok := KindOf(r)
	return ok || slices.ContainsFunc(NoteKinds, func(k Kind) bool { return k.Resource == r })
}

// DefinitionKey is where the definition of a custom resource is.
func DefinitionKey(r Resource) Key { return Key{Resource: Definitions, Name: string(r)} }

// CustomKinds are the kinds that a definition makes: one a served version, the
// preferred one first, as Kubernetes orders them. Names that are not set are what
// Kubernetes makes of the kind.
func CustomKinds(d *apiextensionsv1.CustomResourceDefinition) []Kind {
	names := d.Spec.Names
	var out []Kind
	for _, v := range d.Spec.Versions {
		if !v.Served {
			continue
		}
		gvk := schema.GroupVersionKind{Group: d.Spec.Group, Version: v.Name, Kind: names.Kind}
		k := Kind{Resource: Resource(names.Plural + "." + d.Spec.Group), Group: d.Spec.Group, Version: v.Name, Name: names.Kind,
			Singular: names.Singular, Short: names.ShortNames, Namespaced: d.Spec.Scope == apiextensionsv1.NamespaceScoped,
			New: func() Object { return newCustom(gvk) }}
		if k.Singular == "" {
			k.Singular = strings.ToLower(k.Name)
		}
		out = append(out, k)
	}
	slices.SortStableFunc(out, func(a, b Kind) int { return version.CompareKubeAwareVersionStrings(b.Version, a.Version) })
	return out
}

func newCustom(gvk schema.GroupVersionKind) Object {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	return u
}
