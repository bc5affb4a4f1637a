package projections

import (
	"bytes"
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
)

// Rollout is what a deployment's conditions need to remember: moments that a
// look at the present pods cannot give back. It is immutable.
type Rollout struct {
	Began    Mark // the present template came into force
	Moved    Mark // the last step forward: a pod more, one ready, an old one gone
	Complete Mark // every pod was of the present template and ready; zero before that
	Enough   bool // as many pods are ready as the strategy asks for
	Turned   Mark // Enough last changed
}

// judge brings the rollouts of the deployments that the event touched up to date.
func (f *folding) judge() {
	for i := range f.changes {
		c := &f.changes[i]
		if c.Key.Resource == events.Budgets && c.After != nil {
			f.judgeBudget(c)
		}
		if c.After != nil {
			f.begin(c.After) // as below: nobody has seen the row
		}
		if c.Key.Resource != events.Deployments || c.After == nil {
			continue
		}
		var before Rollout
		if c.Before != nil && c.Before.UID == c.After.UID {
			before = *c.Before.Rollout
		}
		after := f.rollout(before, c.Before, c.After)
		c.After.own().Rollout = &after // the row was made by this event: nobody has seen it
	}
}

func (f *folding) rollout(r Rollout, before, o *Object) Rollout {
	d := o.decoded().(*appsv1.Deployment) // its metadata would be filled in for nobody
	if r.Began.IsZero() || before.Changed != o.Changed && !sameTemplate(before, o) {
		r.Began, r.Complete = f.mark(), Mark{}
	}
	if before != nil && (o.Tally.Pods != before.Tally.Pods || o.Tally.Ready > before.Tally.Ready || resumed(before, o)) {
		r.Moved = f.mark()
	}
	if enough := o.Tally.Ready >= MinAvailable(d); r.Turned.IsZero() || enough != r.Enough {
		r.Enough, r.Turned = enough, f.mark()
	}
	want := int(replicasOf(d.Spec.Replicas))
	if r.Complete.IsZero() && o.Tally.Pods == want && o.Tally.Ready == want {
		if rs, ok := f.s.NewReplicaSet(o); ok && rs.Tally.Ready == want {
			r.Complete = f.mark()
		}
	}
	return r
}

// resumed tells whether a deployment goes on that was paused: what it is given to move counts from there.
func resumed(before, o *Object) bool {
	return before.Changed != o.Changed && before.decoded().(*appsv1.Deployment).Spec.Paused && !o.decoded().(*appsv1.Deployment).Spec.Paused
}

func sameTemplate(a, b *Object) bool {
	return equalTemplate(&a.decoded().(*appsv1.Deployment).Spec.Template, &b.decoded().(*appsv1.Deployment).Spec.Template)
}

// NewReplicaSet finds the replica set of a deployment's present template: the
// oldest one whose template is the same apart from the hash label.
func (s State) NewReplicaSet(deployment *Object) (*Object, bool) {
	want := &deployment.decoded().(*appsv1.Deployment).Spec.Template
	var found *Object
	for o := range s.Children(deployment.UID) {
		if o.Key.Resource != events.ReplicaSets || !equalTemplate(want, &o.decoded().(*appsv1.ReplicaSet).Spec.Template) {
			continue
		}
		if found == nil || o.Created.Seq < found.Created.Seq {
			found = o
		}
	}
	return found, found != nil
}

// equalTemplate compares as Kubernetes does: the hash label is the replica set's own.
func equalTemplate(want, have *corev1.PodTemplateSpec) bool {
	return sameMap(want.Annotations, have.Annotations) && sameMap(withoutHash(want.Labels), withoutHash(have.Labels)) &&
		sameSpec(&want.Spec, &have.Spec)
}

// sameSpec compares what is meant: quantities remember how they were last
// printed, and nil is as good as empty, so unequal structs may still say the same.
func sameSpec(a, b *corev1.PodSpec) bool {
	return reflect.DeepEqual(a, b) || bytes.Equal(events.MustBody(a), events.MustBody(b))
}

func withoutHash(labels map[string]string) map[string]string {
	out := make(map[string]string, len(labels))
	for k, v := range labels {
		if k != appsv1.DefaultDeploymentUniqueLabelKey {
			out[k] = v
		}
	}
	return out
}

func sameMap(a, b map[string]string) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

func replicasOf(n *int32) int32 {
	if n == nil {
		return 1 // Kubernetes' default; admission writes it
	}
	return *n
}

// MinAvailable is how many pods of a deployment have to be available for it to
// count as available: replicas less what the strategy lets go missing.
func MinAvailable(d *appsv1.Deployment) int {
	want := int(replicasOf(d.Spec.Replicas))
	ru := d.Spec.Strategy.RollingUpdate
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType || ru == nil {
		return want
	}
	surge := scaled(ru.MaxSurge, want, true)
	away := scaled(ru.MaxUnavailable, want, false)
	if surge == 0 && away == 0 {
		away = 1 // as Kubernetes: a rollout that may neither add nor remove could not move
	}
	return want - min(away, want)
}

func scaled(v *intstr.IntOrString, of int, up bool) int {
	if v == nil {
		return 0
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(v, of, up)
	if err != nil {
		return 0 // admission refuses what cannot be read
	}
	return n
}
