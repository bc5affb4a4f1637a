package projections

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// jobStatus is what a Job's pods, and those that are gone, come to. Of one that
// somebody else decides for nothing is derived: its controller writes its status.
func (s State) jobStatus(o *Object, v *batchv1.Job) batchv1.JobStatus {
	j := o.Job
	if j == nil || ManagedElsewhere(v) {
		return batchv1.JobStatus{}
	}
	ready, terminating := int32(o.Tally.Ready), int32(o.Tally.Terminating)
	st := batchv1.JobStatus{StartTime: stampOf(j.Started.Time), Active: int32(o.Tally.Pods), Ready: &ready, Terminating: &terminating,
		Succeeded: int32(j.Succeeded), Failed: int32(j.Failed),
		// No end is ever uncounted: the fold that sees it counts it.
		UncountedTerminatedPods: &batchv1.UncountedTerminatedPods{}}
	if Indexed(v) {
		done := j.Completed.Below(int(completions(v)))
		st.Succeeded, st.CompletedIndexes = int32(done.Len()), done.String()
	}
	if v.Spec.BackoffLimitPerIndex != nil {
		lost := j.Lost.Below(int(completions(v))).String()
		st.FailedIndexes = &lost
	}
	for _, c := range j.Conditions {
		at := stamp(c.Time)
		held := corev1.ConditionTrue
		if c.False {
			held = corev1.ConditionFalse
		}
		st.Conditions = append(st.Conditions, batchv1.JobCondition{Type: batchv1.JobConditionType(c.Type), Status: held,
			LastProbeTime: at, LastTransitionTime: at, Reason: c.Reason, Message: c.Message})
		if c.Type == string(batchv1.JobComplete) {
			st.CompletionTime = &at
		}
	}
	return st
}
