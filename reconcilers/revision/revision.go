// Package revision keeps the history of a controller whose pods follow a template: one
// ControllerRevision a template, newest last, in the form that kubectl's rollout
// commands read. DaemonSets and StatefulSets use it alike.
//
// It decides nothing by itself: it reads what is there and drafts what is missing.
package revision

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// The labels under which a revision has its hash: as Kubernetes has it of StatefulSets,
// and of DaemonSets.
const (
	HashLabel       = "controller.kubernetes.io/hash"
	DaemonHashLabel = appsv1.DefaultDaemonSetUniqueLabelKey
)

// tries bounds the search for a name; two templates of one controller with one 32-bit
// hash are rare already.
const tries = 16

// maxPrefix is how much of its owner's name a revision's name keeps.
const maxPrefix = 223

// Writes are the events that this package drafts, for a controller to declare.
func Writes() []events.Type {
	var out []events.Type
	for _, verb := range []string{events.VerbCreated, events.VerbChanged, events.VerbDeletionRequested, events.VerbRemoved} {
		out = append(out, events.TypeOf(events.Revisions, verb))
	}
	return out
}

// History is the revisions of one controller. It is immutable.
type History struct {
	v     reconcilers.View
	owner *projections.Object
	list  []*projections.Object // the oldest first, without those on their way out
}

// Of is the history of a controller: the revisions that it owns.
func Of(v reconcilers.View, owner *projections.Object) History {
	h := History{v: v, owner: owner}
	for o := range v.Children(owner.UID) {
		if o.Key.Resource == events.Revisions && o.Deletion == nil {
			h.list = append(h.list, o)
		}
	}
	slices.SortFunc(h.list, func(a, b *projections.Object) int {
		return cmp.Or(cmp.Compare(Number(a), Number(b)), cmp.Compare(a.Created.Seq, b.Created.Seq), cmp.Compare(a.Key.Name, b.Key.Name))
	})
	return h
}

// Number is the number of a revision; the newest has the highest.
func Number(o *projections.Object) int64 {
	return projections.As[*appsv1.ControllerRevision](o).Revision
}

// Adopt drafts that the revisions of nobody that a selector matches are the controller's.
func (h History) Adopt(selector labels.Selector) []reconcilers.Draft {
	var out []reconcilers.Draft
	for o := range h.v.Orphans(events.Revisions, h.owner.Key.Namespace) {
		if o.Deletion == nil && selector.Matches(labels.Set(o.Typed().GetLabels())) {
			out = append(out, reconcilers.Adopt(o, h.owner))
		}
	}
	return out
}

// Settled is the revision of a controller's present template.
type Settled struct {
	Name string // of the ControllerRevision: "web-6d4b9f7c8d"
	Hash string // the last part of it: "6d4b9f7c8d"
	// Collisions is how often the names of other templates were in the way, ever:
	// status.collisionCount, to be remembered and given to the next Settle.
	Collisions int32
	// Drafts make the revision, or give it the highest number when it is an older
	// template's; empty when it stands.
	Drafts []reconcilers.Draft
}

// Settle finds or makes the revision of a template. annotations are those of the
// controller, which the revision gets (change-cause among them). It is false when no
// name is free.
func (h History) Settle(t *corev1.PodTemplateSpec, annotations map[string]string, collisions int32) (Settled, bool) {
	data := Data(t)
	next := int64(1)
	if n := len(h.list); n > 0 {
		next = Number(h.list[n-1]) + 1
	}
	for i, o := range slices.Backward(h.list) {
		if !same(o, data) {
			continue
		}
		s := Settled{Name: o.Key.Name, Hash: HashOf(o), Collisions: collisions}
		if i < len(h.list)-1 {
			s.Drafts = append(s.Drafts, renumber(o, next))
		}
		return s, true
	}
	for salt := range int32(tries) {
		hash := hashOf(data, collisions+salt)
		k := events.Key{Resource: events.Revisions, Namespace: h.owner.Key.Namespace, Name: h.prefix() + hash}
		if _, taken := h.v.Get(k); taken {
			continue
		}
		return Settled{Name: k.Name, Hash: hash, Collisions: collisions + salt,
			Drafts: []reconcilers.Draft{h.create(k, t.Labels, annotations, hash, data, next)}}, true
	}
	return Settled{}, false
}

// Template is the template of a revision of the controller; false when there is no
// such revision, or nothing in it can be read.
func (h History) Template(name string) (*corev1.PodTemplateSpec, bool) {
	i := slices.IndexFunc(h.list, func(o *projections.Object) bool { return o.Key.Name == name })
	if i < 0 {
		return nil, false
	}
	return TemplateOf(h.list[i])
}

// Has tells whether the controller has a revision of a name.
func (h History) Has(name string) bool {
	return slices.ContainsFunc(h.list, func(o *projections.Object) bool { return o.Key.Name == name })
}

// Truncate drafts the end of the oldest revisions that nothing uses, but for the
// newest limit of them.
func (h History) Truncate(limit int, used func(*projections.Object) bool) []reconcilers.Draft {
	idle := slices.DeleteFunc(slices.Clone(h.list), used)
	var out []reconcilers.Draft
	for _, o := range idle[:max(0, len(idle)-max(0, limit))] {
		out = append(out, reconcilers.Leave(o))
	}
	return out
}

// Data is what a revision of a template holds: a strategic merge patch that gives its
// controller this template again, whatever it has by then.
func Data(t *corev1.PodTemplateSpec) json.RawMessage {
	template := reconcilers.Edit(events.MustBody(t), func(object map[string]any) { object["$patch"] = "replace" })
	return events.MustBody(map[string]any{"spec": map[string]any{"template": template}})
}

// TemplateOf reads the template that a revision holds.
func TemplateOf(o *projections.Object) (*corev1.PodTemplateSpec, bool) {
	held, err := projections.HeldTemplate(projections.As[*appsv1.ControllerRevision](o))
	return held, err == nil && held != nil
}

// HashOf is the hash of a revision: its label, or the end of its name where somebody
// took that away.
func HashOf(o *projections.Object) string {
	has := o.Typed().GetLabels()
	if h := cmp.Or(has[HashLabel], has[DaemonHashLabel]); h != "" {
		return h
	}
	return o.Key.Name[strings.LastIndexByte(o.Key.Name, '-')+1:]
}

// same tells whether a revision holds data: byte for byte as we write it, and by
// meaning where another door wrote it anew.
func same(o *projections.Object, data json.RawMessage) bool {
	raw := projections.As[*appsv1.ControllerRevision](o).Data.Raw
	return bytes.Equal(raw, data) || bytes.Equal(reconcilers.Edit(raw, func(map[string]any) {}), data)
}

// hashOf is Kubernetes' hash of a revision's data.
func hashOf(data json.RawMessage, probe int32) string {
	h := fnv.New32()
	h.Write(data) // a Hash's Write never fails
	h.Write([]byte(strconv.Itoa(int(probe))))
	return events.SafeEncode(fmt.Sprint(h.Sum32()))
}

func (h History) prefix() string {
	return h.owner.Key.Name[:min(len(h.owner.Key.Name), maxPrefix)] + "-"
}

func (h History) create(k events.Key, own, annotations map[string]string, hash string, data json.RawMessage, number int64) reconcilers.Draft {
	has := maps.Clone(own)
	if has == nil {
		has = map[string]string{}
	}
	has[HashLabel], has[DaemonHashLabel] = hash, hash
	meta := map[string]any{"name": k.Name, "namespace": k.Namespace, "labels": has}
	handed := maps.Clone(annotations)
	delete(handed, corev1.LastAppliedConfigAnnotation) // it is the controller's, and as long as all of it
	if len(handed) > 0 {
		meta["annotations"] = handed
	}
	w := &events.Owner{Resource: h.owner.Key.Resource, Name: h.owner.Key.Name, UID: h.owner.UID}
	return reconcilers.Create(k, events.Created{Owner: w, Object: events.MustBody(map[string]any{
		"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta, "data": data, "revision": number})})
}

// renumber drafts that a revision is the newest from here on.
func renumber(o *projections.Object, number int64) reconcilers.Draft {
	b := reconcilers.Same(o)
	b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) { object["revision"] = number })
	return reconcilers.Change(o, b)
}
