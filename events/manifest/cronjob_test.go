package manifest

import (
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
)

const cronHead = `apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec:
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: OnFailure
          containers: [{name: a, image: b}]
`

func TestValidateCronJob(t *testing.T) {
	for _, c := range []struct {
		name, rest string
		want       []string
	}{
		{"a plain one", "  schedule: '*/5 * * * *'\n", nil},
		{"in a zone", "  schedule: '@daily'\n  timeZone: Europe/Berlin\n", nil},
		{"without a schedule", "", []string{"spec.schedule: FieldValueRequired"}},
		{"what cannot be read", "  schedule: x\n  timeZone: Nowhere\n  concurrencyPolicy: Some\n  startingDeadlineSeconds: -1\n  successfulJobsHistoryLimit: -1\n",
			[]string{"spec.schedule: FieldValueInvalid", "spec.timeZone: FieldValueInvalid", "spec.startingDeadlineSeconds: FieldValueInvalid",
				"spec.concurrencyPolicy: FieldValueNotSupported", "spec.successfulJobsHistoryLimit: FieldValueInvalid"}},
		{"a zone in the schedule", "  schedule: 'CRON_TZ=UTC 0 0 * * *'\n", []string{"spec.schedule: FieldValueInvalid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if have := brief(validated(t, cronHead+c.rest)); !slices.Equal(have, c.want) {
				t.Errorf("have %q\nwant %q", have, c.want)
			}
		})
	}
	bad := `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"a-name-that-is-too-long-to-have-the-minute-of-its-jobs"},"spec":{"schedule":"@hourly","jobTemplate":{
"spec":{"manualSelector":true,"selector":{"matchLabels":{"a":"b"}},"completions":-1,"template":{"spec":{"containers":[{"name":"a","image":"b"}]}}}}}}`
	if have, want := brief(validated(t, bad)), []string{"metadata.name: FieldValueInvalid", "spec.jobTemplate.spec.selector: FieldValueInvalid",
		"spec.jobTemplate.spec.manualSelector: FieldValueNotSupported", "spec.jobTemplate.spec.completions: FieldValueInvalid",
		"spec.jobTemplate.spec.template.spec.restartPolicy: FieldValueRequired"}; !slices.Equal(have, want) {
		t.Errorf("have %q\nwant %q", have, want)
	}
	d := one(t, cronHead+"  schedule: '@hourly'\n")
	Default(d.Object)
	if s := d.Object.(*batchv1.CronJob).Spec; s.ConcurrencyPolicy != batchv1.AllowConcurrent || *s.Suspend || *s.SuccessfulJobsHistoryLimit != 3 || *s.FailedJobsHistoryLimit != 1 ||
		s.JobTemplate.Spec.BackoffLimit != nil {
		t.Errorf("%+v", s)
	}
}
