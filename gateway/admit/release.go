package admit

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// stored is an object with the finalizers that its row has: those of a deletion
// under way are shown beside them and are no part of it.
func stored(o *projections.Object) events.Object {
	v := o.Typed()
	if o.Deletion == nil || len(o.Deletion.Own()) == 0 {
		return v
	}
	v = v.DeepCopyObject().(events.Object)
	v.SetFinalizers(slices.DeleteFunc(v.GetFinalizers(), projections.Collects))
	return v
}

// release sees what a write takes off the finalizers of an object that is on its
// way out: which of the deletion's own, and whether these were the last that kept
// it. An apply says nothing of the deletion's own.
func (w *writing) release(old *projections.Object) (released []string, last bool) {
	if old.Deletion == nil {
		return nil, false
	}
	has := w.next.GetFinalizers()
	own := old.Deletion.Own()
	for _, f := range own {
		if w.r.Operation != wire.Apply && !slices.Contains(has, f) {
			released = append(released, f)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(has), projections.Collects)
	w.next.SetFinalizers(kept)
	if len(kept)+len(own) > len(released) || len(own)+len(old.Keepers()) == 0 {
		return released, false
	}
	busy := old.Key.Resource == events.Namespaces || old.Key.Resource == events.Definitions || reconcilers.Lingers(w.v, old)
	return released, !busy
}

// keepSpecFinalizers leaves those of a namespace's spec to the one write that is
// for them.
func (w *writing) keepSpecFinalizers(before events.Object) {
	was, ok := before.(*corev1.Namespace)
	if ns, is := w.next.(*corev1.Namespace); ok && is && w.r.Part != PartFinalize {
		ns.Spec.Finalizers = was.Spec.Finalizers
	}
}
