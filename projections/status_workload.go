package projections

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// Available counts the pods below a replica set or deployment that have been
// ready for minReadySeconds at now. next is when the count may grow by time
// alone; zero when it will not.
func (s State) Available(o *Object, now time.Time) (n int, next time.Time) {
	wait := minReady(o)
	if wait == 0 {
		return o.Tally.Ready, time.Time{}
	}
	for child := range s.Children(o.UID) {
		if child.Key.Resource != events.Pods {
			more, at := s.Available(child, now)
			n, next = n+more, earlier(next, at)
			continue
		}
		p, ok := s.PodOf(child.Key)
		if !ok || countPod(child, p).Ready == 0 {
			continue
		}
		if at := s.ReadyAt(p).Time.Add(wait); at.After(now) {
			next = earlier(next, at)
			continue
		}
		n++
	}
	return n, next
}

func minReady(o *Object) time.Duration {
	switch v := o.Typed().(type) {
	case *appsv1.Deployment:
		return time.Duration(v.Spec.MinReadySeconds) * time.Second
	case *appsv1.ReplicaSet:
		return time.Duration(v.Spec.MinReadySeconds) * time.Second
	case *appsv1.StatefulSet:
		return time.Duration(v.Spec.MinReadySeconds) * time.Second
	case *appsv1.DaemonSet:
		return time.Duration(v.Spec.MinReadySeconds) * time.Second
	case *corev1.ReplicationController:
		return time.Duration(v.Spec.MinReadySeconds) * time.Second
	}
	return 0
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// ReadyAt is since when a pod counts as ready: since it is, or since its node
// is heard of again. Zero while it does not.
func (s State) ReadyAt(p *Pod) Mark {
	if p.ReadySince.IsZero() || p.Lost {
		return Mark{}
	}
	if n, ok := s.Node(p.Node); ok && n.Since.Seq > p.ReadySince.Seq {
		return n.Since
	}
	return p.ReadySince
}

func (s State) replicaSetStatus(o *Object, v *appsv1.ReplicaSet, now time.Time) appsv1.ReplicaSetStatus {
	n, _ := s.Available(o, now)
	st := appsv1.ReplicaSetStatus{
		Replicas:             int32(o.Tally.Pods),
		FullyLabeledReplicas: int32(s.fullyLabeled(o, v.Spec.Template.Labels)),
		ReadyReplicas:        int32(o.Tally.Ready),
		AvailableReplicas:    int32(n),
		ObservedGeneration:   o.generation(),
	}
	if at, said, fails := s.FailsToCreate(o); fails {
		st.Conditions = []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, LastTransitionTime: at,
			Reason: string(events.FailedCreate), Message: said}}
	}
	return st
}

func (s State) controllerStatus(o *Object, v *corev1.ReplicationController, now time.Time) corev1.ReplicationControllerStatus {
	n, _ := s.Available(o, now)
	var labels map[string]string
	if v.Spec.Template != nil {
		labels = v.Spec.Template.Labels
	}
	st := corev1.ReplicationControllerStatus{
		Replicas:             int32(o.Tally.Pods),
		FullyLabeledReplicas: int32(s.fullyLabeled(o, labels)),
		ReadyReplicas:        int32(o.Tally.Ready),
		AvailableReplicas:    int32(n),
		ObservedGeneration:   o.generation(),
	}
	if at, said, fails := s.FailsToCreate(o); fails {
		st.Conditions = []corev1.ReplicationControllerCondition{{Type: corev1.ReplicationControllerReplicaFailure, Status: corev1.ConditionTrue, LastTransitionTime: at,
			Reason: string(events.FailedCreate), Message: said}}
	}
	return st
}

// FailsToCreate says that what an object is there to make, mostly pods, could not be made, since when and why.
func (s State) FailsToCreate(o *Object) (since metav1.Time, said string, fails bool) {
	v, ok := s.Verdict(o.Key)
	if !ok || v.UID != o.UID || len(v.Reasons) == 0 || v.Reasons[0].Code != events.FailedCreate {
		return metav1.Time{}, "", false
	}
	return stamp(v.Mark.Time), v.Reasons[0].Said, true
}

// fullyLabeled counts the pods that carry all labels of the template; adopted
// ones may not.
func (s State) fullyLabeled(o *Object, labels map[string]string) int {
	if o.Owner != nil && o.Tally.Apart == 0 {
		return o.Tally.Pods // a deployment never changes a set's template: what was made of it has its labels
	}
	n := 0
	for child := range s.Children(o.UID) {
		if p, ok := s.PodOf(child.Key); !ok || child.Key.Resource != events.Pods || countPod(child, p).Pods == 0 {
			continue
		}
		if len(labels) == 0 || selects(labels, child) {
			n++
		}
	}
	return n
}

func (s State) deploymentStatus(o *Object, v *appsv1.Deployment, now time.Time) appsv1.DeploymentStatus {
	want := replicasOf(v.Spec.Replicas)
	available, _ := s.Available(o, now)
	st := appsv1.DeploymentStatus{
		ObservedGeneration: o.generation(),
		Replicas:           int32(o.Tally.Pods),
		ReadyReplicas:      int32(o.Tally.Ready),
		AvailableReplicas:  int32(available),
	}
	rs, ok := s.NewReplicaSet(o)
	if ok {
		st.UpdatedReplicas = int32(rs.Tally.Pods)
	}
	// Kubernetes counts what is missing of the larger of the two numbers.
	st.UnavailableReplicas = max(want, st.Replicas) - st.AvailableReplicas
	st.UnavailableReplicas = max(0, st.UnavailableReplicas)
	st.Conditions = []appsv1.DeploymentCondition{availableCondition(o, v, available, now)}
	if c, ok := s.progressing(o, v, rs, now); ok {
		st.Conditions = append(st.Conditions, c)
	}
	return st
}

func availableCondition(o *Object, v *appsv1.Deployment, available int, now time.Time) appsv1.DeploymentCondition {
	c := appsv1.DeploymentCondition{Type: appsv1.DeploymentAvailable}
	at := o.Rollout.Turned.Time
	if o.Rollout.Enough && v.Spec.MinReadySeconds > 0 {
		// The log knows when enough were ready; available they are that much later.
		if ripe := at.Add(minReady(o)); !ripe.After(now) {
			at = ripe
		}
	}
	c.LastTransitionTime, c.LastUpdateTime = stamp(at), stamp(at)
	if available >= MinAvailable(v) {
		c.Status, c.Reason, c.Message = corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability."
	} else {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
	}
	return c
}

// progressing is the condition that says how the present rollout goes.
func (s State) progressing(o *Object, v *appsv1.Deployment, rs *Object, now time.Time) (appsv1.DeploymentCondition, bool) {
	c := appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue}
	r := o.Rollout
	begun := r.Began.Time
	if v.Spec.Paused {
		c.Status, c.Reason, c.Message = corev1.ConditionUnknown, "DeploymentPaused", "Deployment is paused"
		c.LastTransitionTime, c.LastUpdateTime = stamp(o.Changed.Time), stamp(o.Changed.Time)
		return c, true
	}
	if rs == nil { // nobody has begun
		at, said, fails := s.FailsToCreate(o)
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "ReplicaSetCreateError", said
		c.LastTransitionTime, c.LastUpdateTime = at, at
		return c, fails && v.Spec.ProgressDeadlineSeconds != nil
	}
	last := latest(begun, rs.Created.Time)
	c.LastTransitionTime = stamp(o.Created.Time) // a new template does not flip it
	done := r.Complete.Time.Add(minReady(o))
	moved := r.Moved.Seq > rs.Created.Seq
	if moved {
		last = latest(last, r.Moved.Time)
	}
	deadline, timed := ProgressDeadline(o)
	switch {
	case !r.Complete.IsZero() && !done.After(now):
		last = done
		c.Reason, c.Message = "NewReplicaSetAvailable", fmt.Sprintf("ReplicaSet %q has successfully progressed.", rs.Key.Name)
	case timed && !deadline.After(now):
		last = deadline
		c.LastTransitionTime = stamp(deadline)
		c.Status, c.Reason = corev1.ConditionFalse, "ProgressDeadlineExceeded"
		c.Message = fmt.Sprintf("ReplicaSet %q has timed out progressing.", rs.Key.Name)
	case moved:
		c.Reason, c.Message = "ReplicaSetUpdated", fmt.Sprintf("ReplicaSet %q is progressing.", rs.Key.Name)
	default:
		c.Reason, c.Message = "NewReplicaSetCreated", fmt.Sprintf("Created new replica set %q", rs.Key.Name)
	}
	c.LastUpdateTime = stamp(last)
	return c, true
}

// ProgressDeadline is when a deployment's rollout counts as stuck unless it
// moves before; false when it is complete or has no deadline.
func ProgressDeadline(o *Object) (time.Time, bool) {
	v := As[*appsv1.Deployment](o)
	if o.Rollout == nil || !o.Rollout.Complete.IsZero() || v.Spec.ProgressDeadlineSeconds == nil || v.Spec.Paused {
		return time.Time{}, false
	}
	last := latest(o.Rollout.Began.Time, o.Rollout.Moved.Time)
	return last.Add(time.Duration(*v.Spec.ProgressDeadlineSeconds) * time.Second), true
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
