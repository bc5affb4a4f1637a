package admit

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/merge"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// writing is one apply, create or replace under way.
type writing struct {
	v    projections.State
	r    Request
	now  time.Time
	kind events.Kind
	key  events.Key
	// next is the object as it was written; written is its JSON, of an apply as the next merge has to know it.
	next     events.Object
	written  json.RawMessage
	rules    ObjectRules // of a definition's object, else nil
	warnings []string
	// status is what was reported of a definition's object, in the version of the request,
	// and keptStatus the same in the one that is kept; nil when it is no part apart.
	status, keptStatus any
}

func write(v projections.State, r Request, now time.Time) (Outcome, *refusal) {
	w, err := read(v, r)
	if err != nil {
		return Outcome{}, err
	}
	w.now = now
	old, there := v.Get(w.key)
	var out Outcome
	switch err = w.follows(); {
	case err != nil:
	case r.Operation == wire.Create && there:
		err = exists(w.key, old.Deletion != nil)
	case r.Operation == wire.Replace && !there:
		err = notFound(w.key)
	case there:
		out, err = w.update(old)
	default:
		out, err = w.create()
	}
	out.Result.Key, out.Result.Warnings = w.key, w.warnings
	return out, err
}

// read decodes the item strictly: the door believes no client.
func read(v projections.State, r Request) (*writing, *refusal) {
	docs, problems := manifest.DecodeOf(v.Kinds(), "object", r.Item.Object)
	if len(problems) > 0 {
		// The object is one line of JSON that the client made: places in it mean
		// nothing to a person, field paths do.
		what := make([]string, len(problems))
		for i, p := range problems {
			what[i] = p.What()
		}
		return nil, badRequest("strict decoding error: %s", strings.Join(what, "; "))
	}
	if len(docs) != 1 {
		return nil, badRequest("an item holds one object, not %d", len(docs))
	}
	d := docs[0]
	w := &writing{v: v, r: r, kind: d.Kind, next: d.Object, written: r.Item.Object}
	if r.Operation == wire.Apply {
		w.written = d.JSON() // it is kept
	}
	w.key = place(d.Kind, d.Object.GetNamespace(), d.Object.GetName())
	w.next.SetNamespace(w.key.Namespace)
	if w.key.Name == "" {
		if r.Operation == wire.Apply {
			return nil, badRequest("from %s: cannot use generate name with apply", d.Object.GetGenerateName())
		}
		w.key.Name = generated(d.Object.GetGenerateName(), r.Op)
		w.next.SetName(w.key.Name)
	}
	warnings, refused := manifest.Unhonoured(d)
	if len(refused) > 0 {
		return nil, invalid(w.key, refused)
	}
	for _, m := range warnings {
		w.warnings = append(w.warnings, m.String())
	}
	return w, w.shape()
}

func (w *writing) create() (Outcome, *refusal) {
	if err := w.namespaceOpen(); err != nil {
		return Outcome{}, err
	}
	if err := w.definitionOpen(); err != nil {
		return Outcome{}, err
	}
	if w.r.Item.ResourceVersion != "" {
		return Outcome{}, notFound(w.key) // somebody saw it, and it is gone
	}
	if w.next.GetResourceVersion() != "" {
		r := badRequest("resourceVersion should not be set on objects to be created: take metadata.resourceVersion and metadata.uid out")
		r.key = w.key
		r.causes = []metav1.StatusCause{{Type: metav1.CauseTypeFieldValueInvalid, Message: r.message, Field: "metadata.resourceVersion"}}
		return Outcome{}, r
	}
	if err := w.revise(); err != nil {
		return Outcome{}, err
	}
	manifest.Default(w.next)
	countTemplate(nil, w.next)
	if err := w.checkNew(); err != nil {
		return Outcome{}, err
	}
	raw, err := w.canonical()
	if err != nil {
		return Outcome{}, err
	}
	body := events.Created{Object: raw, Applied: w.applied(nil), Managed: w.r.Managed, Set: w.r.Set}
	body.Owner, body.Owners = events.Owned(w.next.GetOwnerReferences())
	return Outcome{
		Drafts: []reconcilers.Draft{reconcilers.Create(w.key, body)},
		Result: wire.Result{UID: events.NewUID(w.r.Op), Outcome: Created},
	}, nil
}

// namespaceOpen wants the object's namespace to be there and to stay.
func (w *writing) namespaceOpen() *refusal {
	if !w.kind.Namespaced {
		return nil
	}
	k := events.Key{Resource: events.Namespaces, Name: w.key.Namespace}
	ns, ok := w.v.Get(k)
	if !ok {
		return notFound(k)
	}
	if ns.Deletion == nil {
		return nil
	}
	r := forbidden(w.key, "unable to create new content in namespace "+k.Name+" because it is being terminated")
	r.causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause, Message: "namespace " + k.Name + " is being terminated", Field: "metadata.namespace"}}
	return r
}

// accountThere wants a pod's ServiceAccount. The default one comes a moment after
// its namespace, and nobody should have to wait for that.
func (w *writing) accountThere() *refusal {
	pod, ok := w.next.(*corev1.Pod)
	if !ok || projections.AccountOf(&pod.Spec) == projections.DefaultAccount {
		return nil
	}
	k := events.Key{Resource: events.Accounts, Namespace: w.key.Namespace, Name: pod.Spec.ServiceAccountName}
	if _, ok := w.v.Get(k); ok {
		return nil
	}
	return forbidden(w.key, "error looking up service account "+k.Namespace+"/"+k.Name+": serviceaccount \""+k.Name+"\" not found")
}

// precondition is the resourceVersion that the object must still have.
func (w *writing) precondition() string {
	if w.r.Item.ResourceVersion != "" {
		return w.r.Item.ResourceVersion
	}
	return w.next.GetResourceVersion()
}

func (w *writing) update(old *projections.Object) (Outcome, *refusal) {
	if err := unmoved(w.v, old, w.precondition(), firstUID(w.r.Item.UID, events.UID(w.next.GetUID()))); err != nil {
		return Outcome{}, err
	}
	if w.r.Set != "" && old.Set != "" && w.r.Set != old.Set {
		return Outcome{}, elsewhere(w.key, old.Set)
	}
	before, shown, err := w.before(old)
	if err != nil {
		return Outcome{}, err
	}
	live, bad := manifest.Canonical(shown)
	if bad != nil {
		return Outcome{}, badRequest("read %s: %v", w.key, bad)
	}
	if w.r.Operation == wire.Apply {
		if err := w.merge(old, live); err != nil {
			return Outcome{}, err
		}
	}
	Carry(before, w.next)
	w.carryAsked(before)
	w.taintMoved(before)
	if err := w.revise(); err != nil {
		return Outcome{}, err
	}
	w.keepSpecFinalizers(before)
	w.forgetGiven(old)
	manifest.Default(w.next)
	countTemplate(before, w.next)
	forgetDefault(before, w.next)
	if err := w.check(before); err != nil {
		return Outcome{}, err
	}
	if w.r.Part == PartResize {
		if err := w.within(w.v.LimitRanges(w.key.Namespace)); err != nil {
			return Outcome{}, err
		}
	}
	released, last := w.release(old)
	if last {
		return Outcome{Drafts: reconcilers.Gone(w.v, old), Result: wire.Result{UID: old.UID, Outcome: Replaced}}, nil
	}
	raw, err := w.canonical()
	if err != nil {
		return Outcome{}, err
	}
	if w.rules == nil {
		return w.changed(old, live, raw, released, !bytes.Equal(specOf(live), specOf(raw))), nil
	}
	next, bad := manifest.Canonical(w.next)
	if bad != nil {
		return Outcome{}, badRequest("%v", bad)
	}
	again := !bytes.Equal(contentOf(live), contentOf(next)) // in the version that the client sees: another one that is kept is no change
	if live, bad = manifest.Canonical(stored(old)); bad != nil {
		return Outcome{}, badRequest("read %s: %v", w.key, bad)
	}
	return w.changed(old, live, raw, released, again), nil
}

func firstUID(a, b events.UID) events.UID {
	if a != "" {
		return a
	}
	return b
}

// unmoved holds a row to what the client had seen of it.
func unmoved(v projections.State, o *projections.Object, version string, uid events.UID) *refusal {
	if uid != "" && uid != o.UID {
		return conflict(o.Key, "Precondition failed: UID in precondition: "+string(uid)+", UID in object meta: "+string(o.UID))
	}
	if version != "" && version != v.PositionOf(o.Key).String() {
		return conflict(o.Key, "the object has been modified; please apply your changes to the latest version and try again")
	}
	return nil
}

// merge makes next of what was applied before, what is applied now, and live.
func (w *writing) merge(old *projections.Object, live json.RawMessage) *refusal {
	merged, err := merge.ThreeWay(w.kind, old.Applied, w.written, live)
	if err != nil {
		return badRequest("%v", err)
	}
	next := w.kind.New()
	if err := json.Unmarshal(merged, next); err != nil {
		return badRequest("merge %s: %v", w.key, err)
	}
	next.SetOwnerReferences(mergeOwners(ownersIn(old.Applied), w.next.GetOwnerReferences(), old.References()))
	w.next = next
	return w.shape()
}

func (w *writing) check(before events.Object) *refusal {
	var errs field.ErrorList
	if svc, ok := w.next.(*corev1.Service); ok {
		errs = allocate(w.v, w.key, svc, before, w.r.Held, w.r.Op)
	}
	errs = append(errs, w.r.Item.Found...)
	errs = append(errs, manifest.Validate(w.whole())...)
	errs = append(errs, w.ruled(before)...)
	if err := sealed(w.next); err != nil {
		return err
	}
	errs = append(errs, w.changes(before)...)
	if len(errs) > 0 {
		return invalid(w.key, errs)
	}
	w.warnings = append(w.warnings, manifest.Warnings(before, w.next)...)
	if err := w.secure(before); err != nil {
		return err
	}
	return w.oneDefault()
}

func (w *writing) canonical() (json.RawMessage, *refusal) {
	kept, refused := w.kept()
	if refused != nil {
		return nil, refused
	}
	raw, err := manifest.Canonical(kept)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	if len(raw)+len(w.written) > MaxObject {
		return nil, tooLarge(w.key, len(raw)+len(w.written))
	}
	return raw, nil
}

// changed drafts the new whole, if it is one. An apply that changes nothing of
// the object is kept all the same when the manifest itself is another one: the
// next merge has to know it.
// again says that it is another generation.
func (w *writing) changed(old *projections.Object, live, raw json.RawMessage, released []string, again bool) Outcome {
	applying := w.r.Operation == wire.Apply
	applied, managed := w.applied(old.Applied), old.Managed
	if w.r.Managed != nil {
		managed = w.r.Managed
	}
	out := Outcome{Result: wire.Result{UID: old.UID, Outcome: Replaced}}
	owner, owners := events.Owned(w.next.GetOwnerReferences())
	moved := !bytes.Equal(live, raw) || len(released) > 0 || !sameOwners(old.References(), w.next.GetOwnerReferences())
	if applying && !moved {
		out.Result.Outcome = Unchanged
	} else if applying {
		out.Result.Outcome = Configured
	}
	set := old.Set
	if w.r.Set != "" {
		set = w.r.Set
	}
	if !moved && set == old.Set && bytes.Equal(old.Applied, applied) && bytes.Equal(old.Managed, managed) {
		return out
	}
	body := events.Changed{Generation: old.Generation, Owner: owner, Owners: owners, Object: raw, Applied: applied, Managed: managed, Set: set, Released: released}
	if again {
		body.Generation++
	}
	out.Drafts = append([]reconcilers.Draft{reconcilers.Change(old, body)}, storing(w.v, old, w.next)...)
	out.Drafts = append(out.Drafts, w.moving(old)...)
	return out
}

// applied is the manifest that the next three-way merge has to know: what is
// applied now, or what a client that merges by itself says that it applied, in
// the annotation where kubectl keeps it. Anything else leaves what was known.
func (w *writing) applied(before json.RawMessage) json.RawMessage {
	if w.r.Operation == wire.Apply {
		return w.written
	}
	said := json.RawMessage(w.next.GetAnnotations()[corev1.LastAppliedConfigAnnotation])
	var compact bytes.Buffer
	if len(said) == 0 || json.Compact(&compact, said) != nil {
		return before
	}
	return compact.Bytes()
}

// Carry takes over what the cluster gave out and a manifest does not repeat.
func Carry(before, next events.Object) {
	next.SetNamespace(before.GetNamespace())
	switch n := next.(type) {
	case *corev1.Service:
		if b, ok := before.(*corev1.Service); ok {
			carryService(&b.Spec, &n.Spec)
		}
	case *corev1.Pod:
		if b, ok := before.(*corev1.Pod); ok {
			carryPod(&b.Spec, &n.Spec)
		}
	case *corev1.Node:
		if b, ok := before.(*corev1.Node); ok && n.Spec.PodCIDR == "" {
			n.Spec.PodCIDR, n.Spec.PodCIDRs = b.Spec.PodCIDR, b.Spec.PodCIDRs
		}
	case *appsv1.Deployment:
		carryRevision(before, n)
	}
}

// revisionAnnotation is written by the deployment reconciler, never by people.
const revisionAnnotation = "deployment.kubernetes.io/revision"

func carryRevision(before, next events.Object) {
	revision, ok := before.GetAnnotations()[revisionAnnotation]
	if !ok {
		return
	}
	a := map[string]string{revisionAnnotation: revision}
	for k, v := range next.GetAnnotations() {
		if k != revisionAnnotation {
			a[k] = v
		}
	}
	next.SetAnnotations(a)
}
