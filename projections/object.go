package projections

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/stave-run/stave/events"
)

// Object is the immutable row of anything that has a spec.
type Object struct {
	Key        events.Key
	UID        events.UID
	Owner      *events.Owner // its controller, nil when nothing controls it that is a kind of ours
	Created    Mark
	Changed    Mark            // the last change of spec or metadata
	Position   events.Position // the last change of any kind, derived status too: resourceVersion
	Generation int64
	Deletion   *Deletion // nil while nobody wants it gone
	Template   *Template // nil when the body is whole
	Raw        json.RawMessage
	*Extras               // never nil
	pod        *Pod       // what the scheduler and a node said of a pod; nil for other kinds
	last       events.Seq // of the object's spec subject

	body  atomic.Pointer[events.Object] // Raw over Template, decoded on the first look
	typed atomic.Pointer[events.Object] // body with this row's metadata
}

// Extras are what a row of a few kinds has, or of what people wrote. Most rows are
// pods that controllers made and have none of it: they share one.
type Extras struct {
	Owners  []metav1.OwnerReference // all owners, nil when Owner says it all
	Born    uint64                  // how many children it has ever had: the child counter
	Tally   Tally                   // of the pods below it; zero for kinds that control none
	Rollout *Rollout                // of a deployment, else nil
	Budget  *Budget                 // of a PodDisruptionBudget, else nil
	Ration  *Ration                 // of a ResourceQuota, else nil
	Job     *Job                    // of a Job, else nil
	Cron    *Cron                   // of a CronJob that has made Jobs, else nil
	// Revisions is how far a controller of templates has come, as it last said; nil before that.
	Revisions *events.RevisionsReported
	Scaler    *Scaler         // of a HorizontalPodAutoscaler that was measured for, else nil
	Disk      *Disk           // of a PersistentVolume of which a node said something, else nil
	Applied   json.RawMessage // as a person last applied it
	Managed   json.RawMessage // metadata.managedFields; nil while no manager is known
	Set       string          // the set of manifests that it is a member of, empty for none
	Status    json.RawMessage // status that cannot be derived, from log.status; usually nil
	Over      json.RawMessage // the derived values that Status was laid over; nil: it never lapses
}

// noExtras are those of rows that have none. Whoever would change them asks for own.
var noExtras = &Extras{}

// shared is x, or noExtras when there is nothing in it.
func (x Extras) shared() *Extras {
	if reflect.ValueOf(x).IsZero() {
		return noExtras
	}
	return &x
}

// own gives a row that nobody has seen yet extras that may be changed.
func (o *Object) own() *Extras {
	x := *o.Extras
	o.Extras = &x
	return &x
}

// Deletion says since when an object is wanted gone, and how.
type Deletion struct {
	Mark
	Grace      int64 // seconds
	Orphan     bool
	Foreground bool
	Force      bool `cbor:",omitempty" json:",omitempty"` // nobody waits for the pod's node
	Actor      events.Actor
	For        events.Ref  `cbor:",omitzero" json:",omitzero"` // the pod that it makes room for
	Disrupts   events.Code `cbor:",omitzero" json:",omitzero"` // why it goes, when its owner would have kept it
}

// Tally counts the pods below an object, kept by the fold. How many of the
// ready ones are available depends on the time: ask State.Available.
type Tally struct {
	Pods        int `json:"pods"`        // not being deleted, not at their end
	Ready       int `json:"ready"`       // of those
	Terminating int `json:"terminating"` // being deleted, not yet gone
	Failed      int `json:"failed"`      // failed as a whole or came to their end, and kept
	// Apart is how many of the pods that nobody wants gone have labels of their
	// own: all others still match the selector that made or adopted them.
	Apart int `json:"apart"`
}

// Template is a body stored by content.
type Template struct {
	Hash events.Hash
	Raw  json.RawMessage
	Idle events.Seq // since when no object has it, as far as a cut of the log has seen; 0: in use

	pod atomic.Pointer[corev1.PodTemplateSpec]
}

// Pod is the template as a pod template. It is shared: never change it.
func (t *Template) Pod() *corev1.PodTemplateSpec {
	if p := t.pod.Load(); p != nil {
		return p
	}
	p := &corev1.PodTemplateSpec{}
	if err := json.Unmarshal(t.Raw, p); err != nil {
		p = &corev1.PodTemplateSpec{} // admission wrote it; an unreadable one runs nothing
	}
	t.pod.Store(p)
	return p
}

// Typed is the object as Kubernetes knows it, metadata filled in, without
// status. It is shared: never change it; DeepCopyObject first.
func (o *Object) Typed() events.Object {
	if p := o.typed.Load(); p != nil {
		return *p
	}
	v := o.decoded()
	if o.light() {
		o.fillMeta(v) // nobody else has it
		return v
	}
	v = shallow(v)
	o.fillMeta(v)
	o.typed.Store(&v)
	return v
}

// light tells whether a row is decoded with so little work that it is done anew for each look: most of what a large
// cluster has are pods that differ from their template in a name, and what is kept of each is kept for good.
func (o *Object) light() bool { return o.Key.Resource == events.Pods && o.sharesSpec() }

// decoded is the body as a typed object; rows of the same body share it.
func (o *Object) decoded() events.Object {
	if p := o.body.Load(); p != nil {
		return *p
	}
	v, err := o.decode()
	if err != nil {
		// Admission decoded these bytes before they were stored, so this needs a
		// log that somebody else wrote. An empty object beats a fold that stops.
		v = o.unreadable(err)
	}
	if !o.light() {
		o.body.Store(&v)
	}
	return v
}

func (o *Object) unreadable(why error) events.Object {
	var v events.Object = &unstructured.Unstructured{Object: map[string]any{}}
	if kind, ok := events.KindOf(o.Key.Resource); ok {
		v = kind.New()
		v.GetObjectKind().SetGroupVersionKind(kind.GVK())
	}
	v.SetAnnotations(map[string]string{"stave.run/unreadable": why.Error()})
	return v
}

// shallow copies an object so that its metadata can be set; maps and slices stay shared.
func shallow(v events.Object) events.Object {
	if u, ok := v.(*unstructured.Unstructured); ok {
		c := maps.Clone(u.Object)
		if meta, ok := c["metadata"].(map[string]any); ok {
			c["metadata"] = maps.Clone(meta)
		}
		return &unstructured.Unstructured{Object: c}
	}
	n := reflect.New(reflect.TypeOf(v).Elem())
	n.Elem().Set(reflect.ValueOf(v).Elem())
	return n.Interface().(events.Object)
}

// As is Typed as a T: As[*appsv1.Deployment](row). It panics on another kind,
// which is a mistake of the caller's.
func As[T events.Object](o *Object) T { return o.Typed().(T) }

func (o *Object) decode() (events.Object, error) {
	kind, ours := events.KindOf(o.Key.Resource)
	if !ours { // its definition may change or go: the object says itself what it is
		v := &unstructured.Unstructured{}
		if err := json.Unmarshal(o.Raw, v); err != nil {
			return nil, fmt.Errorf("decode %s: %w", o.Key, err)
		}
		return v, nil
	}
	v := kind.New()
	if o.Template != nil {
		o.fillTemplate(v)
	}
	if err := json.Unmarshal(o.Raw, v); err != nil {
		return nil, fmt.Errorf("decode %s: %w", o.Key, err)
	}
	v.GetObjectKind().SetGroupVersionKind(kind.GVK())
	return v, nil
}

// counted are the kinds whose generation Kubernetes shows: those that somebody
// else acts on.
var counted = map[events.Resource]bool{events.Pods: true, events.Deployments: true, events.ReplicaSets: true, events.Budgets: true, events.Definitions: true,
	events.MutatingWebhooks: true, events.ValidatingWebhooks: true, events.Policies: true, events.PolicyBindings: true, events.MutatingPolicies: true, events.MutatingPolicyBindings: true, events.Jobs: true, events.CronJobs: true, events.StatefulSets: true,
	events.DaemonSets: true, events.Controllers: true, events.Ingresses: true, events.IngressClasses: true, events.NetworkPolicies: true, events.FlowSchemas: true, events.PriorityLevels: true,
	events.Autoscalers: true, events.DeviceClasses: true, events.DeviceSlices: true, events.DeviceTaints: true}

// generation is how often what is wanted has changed, as people see it: as in Kubernetes, that it shall go is one change more.
func (o *Object) generation() int64 {
	if o.Deletion != nil {
		return o.Generation + 1
	}
	return o.Generation
}

func (o *Object) fillMeta(v events.Object) {
	v.SetNamespace(o.Key.Namespace)
	v.SetName(o.Key.Name)
	v.SetUID(types.UID(o.UID))
	v.SetCreationTimestamp(metav1.NewTime(o.Created.Time.UTC().Truncate(1e9)))
	if _, ours := events.KindOf(o.Key.Resource); !ours || counted[o.Key.Resource] {
		v.SetGeneration(o.generation())
	}
	v.SetResourceVersion(o.Position.String())
	v.SetOwnerReferences(o.References())
	if d := o.Deletion; d != nil {
		at := metav1.NewTime(d.Deadline().UTC().Truncate(1e9))
		v.SetDeletionTimestamp(&at)
		grace := d.Grace
		v.SetDeletionGracePeriodSeconds(&grace)
		v.SetFinalizers(append(keepers(v.GetFinalizers()), d.Own()...))
	}
}
