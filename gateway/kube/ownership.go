package kube

import (
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/projections"
)

// Who manages an object that no client of this door wrote follows from what the log knows of it; nobody wrote it down. What
// was applied is kubectl's apply's, as it would be had kubectl applied it, so that who goes on with server-side apply takes it
// over as from there. What came to it since is Stave's own.
const (
	byApply = "kubectl-client-side-apply"
	byStave = "stave"
)

// managing adds to an object that this door shows who manages it, unless the log says so or one of ours made it.
func (o *objects) managing(ctx context.Context, v projections.State, k events.Key, shown events.Object) {
	row, ok := v.Get(k)
	if !ok || o.fields == nil || len(shown.GetManagedFields()) > 0 || row.UID != events.UID(shown.GetUID()) || metav1.GetControllerOf(shown) != nil {
		return
	}
	as := writtenAs{row.UID, row.Changed.Seq, o.fields}
	if known, ok := o.Server.managers.told.Get(as); ok {
		entries, _ := known.([]metav1.ManagedFieldsEntry)
		shown.SetManagedFields(owned(entries))
		return
	}
	if entries, ok := o.managersOf(ctx, shown); ok {
		at := metav1.NewTime(row.Changed.Time.UTC()).Rfc3339Copy()
		for i := range entries {
			entries[i].Time = &at
		}
		o.Server.managers.told.Add(as, entries)
		shown.SetManagedFields(owned(entries))
	}
}

// managersOf are the managers of an object; false when nobody can tell, as of what does not fit its definition any more.
func (o *objects) managersOf(ctx context.Context, shown events.Object) ([]metav1.ManagedFieldsEntry, bool) {
	from, _ := o.New().(events.Object)
	if said := shown.GetAnnotations()[corev1.LastAppliedConfigAnnotation]; said != "" {
		applied, ok := o.applied(ctx, shown, said)
		if !ok {
			return nil, false
		}
		made, err := o.fields.Update(from, applied, byApply)
		if err != nil {
			return nil, false
		}
		from, _ = made.(events.Object)
	}
	admit.Carry(shown, from) // what the cluster gives out is nobody's
	live, _ := shown.DeepCopyObject().(events.Object)
	made, err := o.fields.Update(from, live, byStave)
	if err != nil {
		return nil, false
	}
	out, ok := made.(events.Object)
	return out.GetManagedFields(), ok
}

// applied is an object as it was applied, with the defaults that it got.
func (o *objects) applied(ctx context.Context, shown events.Object, said string) (events.Object, bool) {
	out, ok := o.New().(events.Object)
	if !ok || json.Unmarshal([]byte(said), out) != nil {
		return nil, false
	}
	out.SetNamespace(shown.GetNamespace())
	out.SetUID("") // as of one that is made
	annotations := map[string]string{corev1.LastAppliedConfigAnnotation: said}
	for k, v := range out.GetAnnotations() {
		annotations[k] = v
	}
	out.SetAnnotations(annotations)
	if o.definition == nil {
		manifest.Default(out)
	}
	return out, o.bring(ctx, out) == nil
}
