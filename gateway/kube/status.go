package kube

import (
	"bytes"

	"k8s.io/apiserver/pkg/endpoints/handlers"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// statusPart is the subresource that writes an object's status, and nothing else
// of it but labels and annotations.
const statusPart = "status"

// writesStatus tells whether a subresource is one that writes an object's status.
func writesStatus(part string) bool { return part == statusPart || part == admit.PartApproval }

// addStatus adds such a subresource to a kind.
func (v *verbs) addStatus(k events.Kind, sub string, of *objects) error {
	part := &objects{Server: of.Server, kind: of.kind, part: sub, fields: of.fields}
	scope, err := v.scope(k, k.GVK(), sub, part, v.types)
	if err != nil {
		return err
	}
	v.set(k, sub, "get", handlers.GetResource(part, scope))
	v.updates(k, sub, part, scope)
	v.patches(k, sub, part, scope, patchTypes)
	return nil
}

func (o *objects) operation() wire.Operation {
	if writesStatus(o.part) {
		return wire.Status
	}
	return wire.Replace
}

// unmoved tells whether a row still is what a write was made from. A status that
// moves does not stand in the way of a spec, whose writers ignore it.
func (o *objects) unmoved(was, now *projections.Object) bool {
	if writesStatus(o.part) {
		return was.Position == now.Position
	}
	return was.Changed == now.Changed && bytes.Equal(was.Managed, now.Managed)
}

// ignored are the fields that writers of an object, or of a subresource of it, do
// not come to manage, since they cannot write them.
func ignored(k events.Kind, sub string) map[fieldpath.APIVersion]fieldpath.Filter {
	var paths []fieldpath.Path
	switch sub {
	case "":
		paths = append(paths, fieldpath.MakePathOrDie("status"))
	case statusPart:
		paths = append(paths, fieldpath.MakePathOrDie("spec"), fieldpath.MakePathOrDie("metadata", "ownerReferences"), fieldpath.MakePathOrDie("metadata", "finalizers"))
	case admit.PartEphemeral:
		return map[fieldpath.APIVersion]fieldpath.Filter{fieldpath.APIVersion(k.APIVersion()): fieldpath.NewIncludeMatcherFilter(
			fieldpath.MakePrefixMatcherOrDie("spec", "ephemeralContainers"))}
	case admit.PartResize:
		var of []*fieldpath.SetMatcher
		for _, list := range []string{"containers", "initContainers"} {
			for _, name := range []string{"resources", "resizePolicy"} {
				of = append(of, fieldpath.MakePrefixMatcherOrDie("spec", list, fieldpath.MatchAnyPathElement(), name))
			}
		}
		return map[fieldpath.APIVersion]fieldpath.Filter{fieldpath.APIVersion(k.APIVersion()): fieldpath.NewIncludeMatcherFilter(of...)}
	case admit.PartApproval:
		paths = append(paths, fieldpath.MakePathOrDie("spec"), fieldpath.MakePathOrDie("status", "certificate"))
	default:
		return nil
	}
	return fieldpath.NewExcludeFilterSetMap(map[fieldpath.APIVersion]*fieldpath.Set{fieldpath.APIVersion(k.APIVersion()): fieldpath.NewSet(paths...)})
}
