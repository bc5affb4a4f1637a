package webhook

import (
	registrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
)

// showing is a request in the version in which a webhook is asked about it.
type showing struct {
	*admission.VersionedAttributes
	in schema.GroupVersionResource
}

// GetResource implements admission.Attributes.
func (q showing) GetResource() schema.GroupVersionResource { return q.in }

// about is the request as a webhook is asked about it: in the version that it was made in, or, when its rules name another
// one of the same objects and its matchPolicy is Equivalent, in that; false when it is not asked.
func (h hook) about(v projections.State, seen *admission.VersionedAttributes) (showing, bool, error) {
	q := showing{seen, seen.GetResource()}
	ok, err := h.scope().Holds(v, q)
	if ok || err != nil {
		return h.shown(q), ok, err
	}
	if h.MatchPolicy != nil && *h.MatchPolicy == registrationv1.Exact {
		return q, false, nil
	}
	for _, version := range editionsOf(seen.GetResource()) {
		if q.in.Version = version; version != seen.GetResource().Version {
			if ok, err = h.scope().Holds(v, q); ok || err != nil {
				return h.shown(q), ok, err
			}
		}
	}
	return q, false, nil
}

// editionsOf are the versions in which a resource of ours is served, when they are several: the one that is kept first.
func editionsOf(r schema.GroupVersionResource) []string {
	for _, older := range events.OlderKinds {
		if kept, ok := events.KindOf(older.Resource); ok && older.Group == r.Group && older.Plural() == r.Resource {
			return []string{kept.Version, older.Version}
		}
	}
	return nil
}

// shown is a request with its objects in the version that it is asked in.
func (h hook) shown(q showing) showing {
	if len(editionsOf(q.in)) == 0 {
		return q
	}
	next := &admission.VersionedAttributes{Attributes: q.VersionedAttributes.Attributes, VersionedKind: q.VersionedKind}
	next.VersionedKind.Version = q.in.Version
	if o := q.VersionedObject.Object(); o != nil {
		next.VersionedObject.Set(manifest.InVersion(o, q.in.Version))
	}
	if o := q.VersionedOldObject.Object(); o != nil {
		next.VersionedOldObject.Set(manifest.InVersion(o, q.in.Version))
	}
	q.VersionedAttributes = next
	return q
}
