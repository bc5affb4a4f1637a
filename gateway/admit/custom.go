package admit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Rules are what Kubernetes' own code says of definitions and of their objects.
// Every answer is a function of what is asked: gateway/custom has them compiled.
type Rules interface {
	// Definition says what is wrong with a definition. old is what it was before,
	// with its status; nil for a new one.
	Definition(next, old *apiextensionsv1.CustomResourceDefinition) field.ErrorList
	// Objects are the rules of the objects of a definition.
	Objects(definition *projections.Object) (ObjectRules, error)
}

// ObjectRules are what a definition says of its objects. An object is held to the
// version that it is in.
type ObjectRules interface {
	// Shape prunes and defaults an object in place, and says which fields were unknown.
	Shape(o *unstructured.Unstructured) (unknown []string, err error)
	// In brings an object into another version, in place.
	In(o *unstructured.Unstructured, version string) error
	// Validate says what is wrong with a shaped object; old is nil for a new one.
	Validate(o, old *unstructured.Unstructured) field.ErrorList
	// ValidateStatus says what is wrong with an object of which the status alone changes.
	ValidateStatus(o, old *unstructured.Unstructured) field.ErrorList
	// StorageVersion is the version that is kept.
	StorageVersion() string
	// Converts tells whether somebody outside brings objects into another version: In
	// fails while the answer is not there.
	Converts() bool
	// HasStatus tells whether the status of a version's objects is written by its own door alone.
	HasStatus(version string) bool
	// ReplicasField is where a version's objects say how many replicas they want; nil for those that have none.
	ReplicasField(version string) []string
}

// rulesOf are the rules of a custom resource.
func rulesOf(v projections.State, r Request, k events.Key) (ObjectRules, *refusal) {
	row, ok := v.Definition(k.Resource)
	if !ok {
		return nil, notFound(events.DefinitionKey(k.Resource))
	}
	if r.Rules == nil {
		return nil, badRequest("%s: this door does not know the schemas of definitions", k)
	}
	rules, err := r.Rules.Objects(row)
	if err != nil {
		return nil, badRequest("%s: its definition cannot be used: %v", k, err)
	}
	return rules, nil
}

// shape makes an object of a definition what its schema allows. A field that the
// schema does not know is a mistake, as it is for a kind of ours.
func (w *writing) shape() *refusal {
	u, ok := w.next.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	var err *refusal
	if w.rules, err = rulesOf(w.v, w.r, w.key); err != nil {
		return err
	}
	if w.rules.HasStatus(w.kind.Version) {
		delete(u.Object, "status")
	}
	unknown, bad := w.rules.Shape(u)
	if bad != nil {
		return badRequest("%s: %v", w.key, bad)
	}
	if len(unknown) == 0 || w.r.Shaped {
		return nil
	}
	slices.Sort(unknown)
	r := badRequest("")
	r.key = w.key
	said := make([]string, len(unknown))
	for i, f := range unknown {
		said[i] = fmt.Sprintf("unknown field %q", f)
		r.causes = append(r.causes, metav1.StatusCause{Type: metav1.CauseTypeFieldValueNotSupported, Field: f, Message: "no such field in the schema of " + w.kind.APIVersion() + " " + w.kind.Name})
	}
	r.message = "strict decoding error: " + strings.Join(said, ", ")
	return r
}

// definitionOpen wants that the definition of a new object stays.
func (w *writing) definitionOpen() *refusal {
	if row, ok := w.v.Definition(w.key.Resource); ok && row.Deletion != nil {
		return forbidden(w.key, "create not allowed while custom resource definition is terminating")
	}
	return nil
}

// before is an object as it was, in the version of the request, and as its row has
// it: without what a deletion under way adds.
func (w *writing) before(old *projections.Object) (before, row events.Object, err *refusal) {
	u, ok := stored(old).(*unstructured.Unstructured)
	if !ok {
		return old.Typed(), stored(old), nil
	}
	u = withReported(u, old.Status)
	if err := w.rules.In(u, w.kind.Version); err != nil {
		return nil, nil, badRequest("%s: %v", w.key, err)
	}
	if w.rules.HasStatus(w.kind.Version) && len(old.Status) > 0 {
		w.status = u.Object["status"]
		delete(u.Object, "status")
	}
	return u, u, nil
}

// withReported is a copy of an object, with the status that was reported of it: both
// are kept in one version, and are brought into another one together.
func withReported(u *unstructured.Unstructured, status json.RawMessage) *unstructured.Unstructured {
	u = u.DeepCopy()
	if len(status) == 0 {
		return u
	}
	var read unstructured.Unstructured // whole numbers stay whole
	if json.Unmarshal(events.MustBody(map[string]json.RawMessage{"kind": json.RawMessage(`"Status"`), "status": status}), &read) == nil {
		u.Object["status"] = read.Object["status"]
	}
	return u
}

// ruled is what a definition, or the schema of one, says of the object.
func (w *writing) ruled(before events.Object) field.ErrorList {
	switch next := w.next.(type) {
	case *apiextensionsv1.CustomResourceDefinition:
		return w.defining(next, before)
	case *unstructured.Unstructured:
		var old *unstructured.Unstructured
		if b, ok := before.(*unstructured.Unstructured); ok {
			old = w.withStatus(b)
			next = w.withStatus(next)
		}
		return w.rules.Validate(next, old)
	}
	return nil
}

// withStatus is an object with the status that was reported, as before found it: rules
// may look at it.
func (w *writing) withStatus(u *unstructured.Unstructured) *unstructured.Unstructured {
	if w.status == nil {
		return u
	}
	u = u.DeepCopy()
	u.Object["status"] = w.status
	return u
}

// defining is what is wrong with a definition. One that is there may not take a
// name from another: that one's objects would have none.
func (w *writing) defining(next *apiextensionsv1.CustomResourceDefinition, before events.Object) field.ErrorList {
	if w.r.Rules == nil {
		return field.ErrorList{field.Forbidden(field.NewPath("spec"), "this door does not know the rules of definitions")}
	}
	row, ok := w.v.Get(w.key)
	if before == nil || !ok {
		return w.r.Rules.Definition(next, nil)
	}
	old, ok := w.v.ObjectOf(row, row.Changed.Time).(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return nil
	}
	errs := w.r.Rules.Definition(next, old)
	had := w.v.SharedNames(old)
	for _, c := range w.v.SharedNames(next) {
		if !slices.Contains(had, c) {
			errs = append(errs, field.Invalid(field.NewPath("spec", "names"), c.Name, c.Holder.Name+" has this name"))
		}
	}
	return errs
}

// storing reports that objects of a definition are kept in one more version.
func storing(v projections.State, old *projections.Object, next events.Object) []reconcilers.Draft {
	d, ok := next.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return nil
	}
	was, ok := v.ObjectOf(old, old.Changed.Time).(*apiextensionsv1.CustomResourceDefinition)
	version := projections.StorageVersion(d)
	if !ok || slices.Contains(was.Status.StoredVersions, version) {
		return nil
	}
	// What is derived of them is the version alone, and a status lies over what is derived.
	body := events.StatusWritten{Status: setField(old.Status, "storedVersions", append(was.Status.StoredVersions, version)), Over: setField(old.Over, "storedVersions", []string{version})}
	return []reconcilers.Draft{reconcilers.WriteStatus(old, body)}
}

// setField is a document with one field set.
func setField(raw json.RawMessage, field string, value any) json.RawMessage {
	fields := map[string]json.RawMessage{}
	if len(raw) > 0 && json.Unmarshal(raw, &fields) != nil {
		fields = map[string]json.RawMessage{}
	}
	fields[field] = events.MustBody(value)
	return events.MustBody(fields)
}

// customStatus takes the status of an object of a definition, pruned and validated as
// its schema says. All of it is the client's: nothing is derived.
func (w *writing) customStatus(old *projections.Object, sent json.RawMessage) (json.RawMessage, *refusal) {
	if !w.rules.HasStatus(w.kind.Version) {
		return nil, badRequest("%s has no status subresource", w.key)
	}
	before, _, err := w.before(old)
	if err != nil {
		return nil, err
	}
	was, ok := before.(*unstructured.Unstructured)
	if !ok {
		return nil, nil
	}
	was = w.withStatus(was)
	next := was.DeepCopy()
	delete(next.Object, "status")
	if len(sent) > 0 {
		written := &unstructured.Unstructured{}
		if bad := json.Unmarshal(events.MustBody(map[string]json.RawMessage{"kind": json.RawMessage(`"Status"`), "status": sent}), written); bad != nil {
			return nil, badRequest("read status of %s: %v", w.key, bad)
		}
		next.Object["status"] = written.Object["status"]
	}
	if _, bad := w.rules.Shape(next); bad != nil {
		return nil, badRequest("%s: %v", w.key, bad)
	}
	if errs := w.rules.ValidateStatus(next, was); len(errs) > 0 {
		return nil, invalid(w.key, errs)
	}
	if bad := w.rules.In(next, w.keptVersion(old)); bad != nil {
		return nil, badRequest("%s: %v", w.key, bad)
	}
	if status, ok := next.Object["status"]; ok {
		return events.MustBody(status), nil
	}
	return nil, nil
}

// keptVersion is the version that a row's status has to be kept in, for its object is:
// the names of versions that nobody converts mean nothing.
func (w *writing) keptVersion(old *projections.Object) string {
	if !w.rules.Converts() {
		return w.kind.Version
	}
	return old.Typed().GetObjectKind().GroupVersionKind().Version
}

// kept is an object of a definition as it is kept: in the storage version. Its status
// comes along and stays apart.
func (w *writing) kept() (events.Object, *refusal) {
	u, ok := w.next.(*unstructured.Unstructured)
	if !ok {
		return w.next, nil
	}
	if u = u.DeepCopy(); w.rules.Converts() {
		u = w.withStatus(u).DeepCopy()
	}
	if err := w.rules.In(u, w.rules.StorageVersion()); err != nil {
		return nil, badRequest("%s: %v", w.key, err)
	}
	if w.status != nil && w.rules.Converts() {
		w.keptStatus = u.Object["status"]
		delete(u.Object, "status")
	}
	return u, nil
}

// moving brings a status along when its object is kept in another version from now on.
func (w *writing) moving(old *projections.Object) []reconcilers.Draft {
	if w.keptStatus == nil || w.keptVersion(old) == w.rules.StorageVersion() {
		return nil
	}
	return []reconcilers.Draft{reconcilers.WriteStatus(old, events.StatusWritten{Status: events.MustBody(w.keptStatus), Over: old.Over})}
}

// specOf is what generations count the changes of.
func specOf(raw json.RawMessage) json.RawMessage {
	var o struct {
		Spec json.RawMessage `json:"spec"`
	}
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o.Spec
}

// contentOf is what the generations of an object of a definition count the changes of:
// all but its metadata.
func contentOf(raw json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	delete(fields, "metadata")
	delete(fields, "apiVersion")
	return events.MustBody(fields)
}

// scaleCustom sets the replicas of an object whose definition says where they are.
func scaleCustom(v projections.State, r Request, o *projections.Object) ([]reconcilers.Draft, int32, *refusal) {
	rules, err := rulesOf(v, r, o.Key)
	if err != nil {
		return nil, 0, err
	}
	old, ok := o.Typed().(*unstructured.Unstructured)
	version := rules.StorageVersion()
	if ok && rules.Converts() { // it stays in the version that it is in
		version = old.GroupVersionKind().Version
	}
	at := rules.ReplicasField(version)
	if !ok || at == nil {
		return nil, 0, badRequest("%s cannot be scaled: its definition has no scale subresource", o.Key)
	}
	has, _, bad := unstructured.NestedInt64(old.Object, at...)
	if bad != nil {
		return nil, 0, badRequest("%s cannot be scaled: %v", o.Key, bad)
	}
	next := old.DeepCopy()
	if bad := unstructured.SetNestedField(next.Object, int64(r.Replicas), at...); bad != nil {
		return nil, 0, badRequest("%s cannot be scaled: %v", o.Key, bad)
	}
	if errs := rules.Validate(next, old); len(errs) > 0 {
		return nil, 0, invalid(o.Key, errs)
	}
	raw, bad := manifest.Canonical(next)
	if bad != nil {
		return nil, 0, badRequest("%v", bad)
	}
	body := reconcilers.Same(o)
	body.Generation++
	body.Object = raw
	return []reconcilers.Draft{reconcilers.Change(o, body)}, int32(has), nil //nolint:gosec // validation bounds it
}
