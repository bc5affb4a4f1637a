package manifest

import (
	"maps"
	"math"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// tries is how often the pods of a Job may fail where nobody says so.
const tries = 6

func defaultJob(j *batchv1.Job) {
	defaultJobSpec(&j.Spec)
	if len(j.Labels) == 0 && len(j.Spec.Template.Labels) > 0 {
		j.Labels = maps.Clone(j.Spec.Template.Labels)
	}
}

func defaultJobSpec(s *batchv1.JobSpec) {
	if s.Completions == nil && s.Parallelism == nil {
		pointTo(&s.Completions, 1)
	}
	pointTo(&s.Parallelism, 1)
	limit, replace := int32(tries), batchv1.TerminatingOrFailed
	if s.BackoffLimitPerIndex != nil {
		limit = math.MaxInt32
	}
	if s.PodFailurePolicy != nil {
		replace = batchv1.Failed
		for i := range s.PodFailurePolicy.Rules {
			for k := range s.PodFailurePolicy.Rules[i].OnPodConditions {
				setTo(&s.PodFailurePolicy.Rules[i].OnPodConditions[k].Status, corev1.ConditionTrue)
			}
		}
	}
	pointTo(&s.BackoffLimit, limit)
	pointTo(&s.CompletionMode, batchv1.NonIndexedCompletion)
	pointTo(&s.Suspend, false)
	pointTo(&s.PodReplacementPolicy, replace)
	pointTo(&s.ManualSelector, false)
	defaultPod(&s.Template.Spec)
}
