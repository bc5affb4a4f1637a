package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
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

// cronJob is the CronJob of `create cronjob`: the same at each time of a schedule.
func (c *createCmd) cronJob(meta metav1.ObjectMeta) (*batchv1.CronJob, error) {
	if len(c.Image) != 1 || c.Schedule == "" {
		return nil, errors.New("a cronjob needs exactly one --image, and a --schedule")
	}
	j := &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: c.Schedule}}
	j.Spec.JobTemplate.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyOnFailure,
		Containers: []corev1.Container{{Name: meta.Name, Image: c.Image[0], Command: afterDashes(c.What[2:])}}}
	return j, nil
}

// jobFrom is a Job that a CronJob makes, now.
func (c *createCmd) jobFrom(ctx context.Context, s *session) (*batchv1.Job, error) {
	if len(c.What) != 2 || c.What[0] != "job" {
		return nil, errors.New("--from makes a job\nhelp: stave create job NAME --from=cronjob/NAME")
	}
	kind, name, err := oneTarget(c.From, "cronjob")
	if err != nil || kind.Resource != events.CronJobs {
		return nil, errors.Join(err, fmt.Errorf("--from=%s: want cronjob/NAME", c.From))
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	from, err := readOne[*batchv1.CronJob](ctx, s, s.key(kind, name))
	if err != nil {
		return nil, err
	}
	t, yes := from.Spec.JobTemplate, true
	notes := map[string]string{"cronjob.kubernetes.io/instantiate": "manual"}
	maps.Copy(notes, t.Annotations)
	return &batchv1.Job{Spec: t.Spec, ObjectMeta: metav1.ObjectMeta{Name: c.What[1], Namespace: from.Namespace, Annotations: notes, Labels: t.Labels,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: from.Name, UID: from.UID, Controller: &yes}}}}, nil
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
