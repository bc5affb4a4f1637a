package projections

import (
	"encoding/json"
	"iter"
	"reflect"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
)

// Object is the whole typed object as people see it: metadata, spec and status
// as of now. The caller owns it. What follows from a service comes before what
// somebody wrote under its name; a service's slices are found by its name too. It
// is a function of (s, k, now) alone: times in a status come from the log; now
// decides what only waited for time to pass.
func (s State) Object(k events.Key, now time.Time) (events.Object, bool) {
	follows := events.FollowsServices(k.Resource)
	if follows {
		if v, ok := s.derived(k); ok {
			return v, true
		}
	}
	if o, ok := s.Get(k); ok {
		return s.ObjectOf(o, now), true
	}
	if follows {
		return s.firstSlice(k)
	}
	return nil, false
}

// ObjectOf is Object for a row of s.
func (s State) ObjectOf(o *Object, now time.Time) events.Object {
	v := s.derive(o, own(o), now)
	lay(o, v)
	if n, ok := v.(*corev1.Node); ok {
		allotExtended(&n.Status)
	}
	return v
}

// Peek is ObjectOf for one who only reads: below its metadata the object shares with
// others. Its metadata and its status may be set, nothing in them be changed.
func (s State) Peek(o *Object, now time.Time) events.Object {
	if len(o.Status) > 0 {
		return s.ObjectOf(o, now) // what is laid over may be part of the spec
	}
	return s.derive(o, borrowed(o), now)
}

// own is a row's object that its holder may change.
func own(o *Object) events.Object { return o.Typed().DeepCopyObject().(events.Object) }

// borrowed is a row's object that derive may fill in: it changes nothing that is shared.
func borrowed(o *Object) events.Object {
	v := o.Typed()
	if u, ok := v.(*unstructured.Unstructured); ok {
		return u.DeepCopy() // it is held to its definition where it is
	}
	if o.light() {
		return v
	}
	return shallow(v)
}

// DerivedStatus is the status of a row as JSON, as far as it is derived: without
// what log.status says. Empty for kinds that have none.
func (s State) DerivedStatus(o *Object, now time.Time) json.RawMessage {
	status := reflect.ValueOf(s.derive(o, borrowed(o), now)).Elem().FieldByName("Status")
	if !status.IsValid() {
		return nil
	}
	return events.MustBody(status.Interface())
}

// derive fills in what follows from the state: v is the row's object, its own or borrowed.
func (s State) derive(o *Object, v events.Object, now time.Time) events.Object {
	switch v := v.(type) {
	case *corev1.Pod:
		v.Spec.ImagePullSecrets = slices.Clone(s.withPullSecrets(o, &v.Spec).ImagePullSecrets)
		FillAccess(v, o.UID, s.MountsAccess(o))
		s.podStatus(o, v)
	case *appsv1.ReplicaSet:
		v.Status = s.replicaSetStatus(o, v, now)
	case *corev1.ReplicationController:
		v.Status = s.controllerStatus(o, v, now)
	case *appsv1.DaemonSet:
		v.Status = s.daemonStatus(o, v, now)
	case *appsv1.Deployment:
		v.Status = s.deploymentStatus(o, v, now)
	case *appsv1.StatefulSet:
		v.Status = s.statefulSetStatus(o, v, now)
	case *batchv1.CronJob:
		v.Status = s.cronStatus(o)
	case *batchv1.Job:
		FillJob(v, o.UID)
		v.Status = s.jobStatus(o, v)
	case *corev1.Node:
		s.nodeStatus(o, v)
	case *rbacv1.ClusterRole:
		if v.AggregationRule != nil {
			v.Rules = slices.Clone(s.ClusterRules(o))
		}
	case *apiextensionsv1.CustomResourceDefinition:
		v.Status = s.definitionStatus(o, v)
	case *unstructured.Unstructured:
		s.customObject(o, v)
	case *corev1.Namespace:
		v.Status = s.namespaceStatus(o)
	case *policyv1.PodDisruptionBudget:
		v.Status = s.BudgetStatus(o)
	case *admissionv1.ValidatingAdmissionPolicy:
		v.Status.ObservedGeneration = o.generation() // its expressions were compiled before it was written
	case *corev1.PersistentVolumeClaim:
		v.Status = s.claimStatus(o, v)
	case *corev1.PersistentVolume:
		v.Status = s.volumeStatus(o, v)
	case *networkingv1.ServiceCIDR:
		v.Status = s.rangeStatus(o, v)
	case *corev1.ResourceQuota:
		v.Status = quotaStatus(o, &v.Spec)
	case *apiregistrationv1.APIService:
		if servedHere(&v.Spec) {
			v.Status = LocalAPI(o.Created.Time)
		}
	}
	return v
}

// Objects walks the objects of a resource, those too that follow from services, in
// the order of namespace and name; an empty namespace means all of them. They are as
// Peek gives them: to be read only.
func (s State) Objects(r events.Resource, namespace string, now time.Time) iter.Seq[events.Object] {
	return s.ObjectsAfter(events.Key{Resource: r}, namespace, now)
}

// ObjectsAfter is Objects without those up to a key, which is the last one of a page
// before or, without a name, lies before all.
func (s State) ObjectsAfter(k events.Key, namespace string, now time.Time) iter.Seq[events.Object] {
	if events.FollowsServices(k.Resource) {
		return s.behindServicesAfter(k, namespace, now)
	}
	return func(yield func(events.Object) bool) {
		for o := range s.ListAfter(k, namespace) {
			if !yield(s.Peek(o, now)) {
				return
			}
		}
	}
}

// CountAfter is how many ObjectsAfter gives.
func (s State) CountAfter(k events.Key, namespace string) int {
	n := 0
	if events.FollowsServices(k.Resource) {
		for range s.behindServicesAfter(k, namespace, s.Time) {
			n++
		}
		return n
	}
	for range s.ListAfter(k, namespace) {
		n++
	}
	return n
}

// PositionOf is the position of the row that an object is derived from: a
// service's for what follows from it, its own for everything else; 0 when there is none.
func (s State) PositionOf(k events.Key) events.Position {
	find := s.Get
	if s.Follows(k) {
		find = s.serviceOf
	}
	if o, ok := find(k); ok {
		return o.Position
	}
	return 0
}

// mergeStatus lays an overlay over a status: objects field by field, conditions by
// type, everything else whole.
func mergeStatus(base, over map[string]any) map[string]any {
	if base == nil {
		base = map[string]any{}
	}
	//stave:sorted each key is written once and on its own
	for k, v := range over {
		switch v := v.(type) {
		case map[string]any:
			b, _ := base[k].(map[string]any)
			base[k] = mergeStatus(b, v)
		case []any:
			base[k] = mergeConditions(k, base[k], v)
		case nil:
			base[k] = zeroOf(base[k])
		default:
			base[k] = v
		}
	}
	return base
}

// zeroOf is what a number or truth is that somebody wrote as Go writes a zero, by
// leaving it out: null would leave a field of Go as it is.
func zeroOf(v any) any {
	switch v.(type) {
	case float64:
		return 0
	case bool:
		return false
	}
	return nil
}

// mergeConditions replaces the conditions whose type the overlay names and
// appends the new ones; any other list is the overlay's.
func mergeConditions(field string, base any, over []any) []any {
	out, ok := base.([]any)
	if field != conditions || !ok {
		return over
	}
	for _, c := range over {
		if i := conditionIndex(out, c); i >= 0 {
			out[i] = c
			continue
		}
		out = append(out, c)
	}
	return out
}

func conditionIndex(list []any, like any) int {
	want, _ := like.(map[string]any)
	for i, c := range list {
		if m, ok := c.(map[string]any); ok && m["type"] == want["type"] {
			return i
		}
	}
	return -1
}

// stamp is a moment as statuses print it: whole seconds, UTC.
func stamp(t time.Time) metav1.Time { return metav1.NewTime(t.UTC().Truncate(time.Second)) }

func stampOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	s := stamp(t)
	return &s
}
