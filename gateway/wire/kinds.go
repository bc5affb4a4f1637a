package wire

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// VerbKinds is KindsRequest → KindsReply.
const VerbKinds = "kinds"

// KindsRequest asks which kinds a cluster has beside those of its release.
type KindsRequest struct {
	At Moment `json:"at,omitzero"` // as it was then
}

// KindsReply has what the definitions in force say, without their schemas.
type KindsReply struct {
	Definitions []apiextensionsv1.CustomResourceDefinitionSpec `json:"definitions,omitempty"`
	Error       *metav1.Status                                 `json:"error,omitempty"`
}

// Catalogue is the kinds of the cluster.
func (r KindsReply) Catalogue() events.Catalogue {
	var c events.Catalogue
	for i := range r.Definitions {
		c = c.With(events.CustomKinds(&apiextensionsv1.CustomResourceDefinition{Spec: r.Definitions[i]})...)
	}
	return c
}

// Columns are what objects of a kind print beside their name, as the definition
// says; none when it says nothing.
func (r KindsReply) Columns(k events.Kind) []apiextensionsv1.CustomResourceColumnDefinition {
	for _, d := range r.Definitions {
		for _, v := range d.Versions {
			if d.Group == k.Group && d.Names.Plural == k.Plural() && v.Name == k.Version {
				return v.AdditionalPrinterColumns
			}
		}
	}
	return nil
}

// Categories are the groups of kinds that a kind is in: "all" is one.
func (r KindsReply) Categories(k events.Kind) []string {
	for _, d := range r.Definitions {
		if d.Group == k.Group && d.Names.Plural == k.Plural() {
			return d.Names.Categories
		}
	}
	return nil
}
