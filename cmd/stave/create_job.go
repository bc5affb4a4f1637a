package main

import (
	"encoding/json"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// job is the Job of `create job`: one pod that runs a command to its end.
func (c *createCmd) job(meta metav1.ObjectMeta) (*batchv1.Job, error) {
	if len(c.Image) != 1 {
		return nil, errors.New("a job needs exactly one --image")
	}
	j := &batchv1.Job{ObjectMeta: meta}
	j.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever,
		Containers: []corev1.Container{{Name: meta.Name, Image: c.Image[0], Command: afterDashes(c.What[2:])}}}
	return j, nil
}

// jobEnded tells whether a Job has done its work; one that has failed never will.
func jobEnded(raw json.RawMessage) (bool, error) {
	var j batchv1.Job
	if err := json.Unmarshal(raw, &j); err != nil {
		return false, fmt.Errorf("decode job: %w", err)
	}
	for _, c := range j.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete || c.Type == batchv1.JobSuspended:
			return true, nil
		case c.Type == batchv1.JobFailed:
			return false, fmt.Errorf("job %s has failed: %s", j.Name, c.Message)
		}
	}
	return false, nil
}
