package manifest

import (
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
)

const jobHead = `apiVersion: batch/v1
kind: Job
metadata: {name: j}
spec:
  template:
    metadata: {labels: {app: x}}
    spec:
      restartPolicy: Never
      containers: [{name: a, image: b}]
`

func TestValidateJob(t *testing.T) {
	for _, c := range []struct {
		name, rest string
		want       []string
	}{
		{"a plain one", "", nil},
		{"negative numbers", "  parallelism: -1\n  completions: -1\n  backoffLimit: -1\n  ttlSecondsAfterFinished: -1\n  activeDeadlineSeconds: -1\n",
			[]string{"spec.parallelism: FieldValueInvalid", "spec.completions: FieldValueInvalid", "spec.backoffLimit: FieldValueInvalid",
				"spec.ttlSecondsAfterFinished: FieldValueInvalid", "spec.activeDeadlineSeconds: FieldValueInvalid"}},
		{"indexed without completions", "  completionMode: Indexed\n  parallelism: 2\n", []string{"spec.completions: FieldValueRequired"}},
		{"an unknown mode", "  completionMode: Some\n", []string{"spec.completionMode: FieldValueNotSupported"}},
		{"per index, and not indexed", "  backoffLimitPerIndex: 1\n  maxFailedIndexes: 1\n",
			[]string{"spec.backoffLimitPerIndex: FieldValueInvalid", "spec.maxFailedIndexes: FieldValueInvalid"}},
		{"more failed ones than there are", "  completionMode: Indexed\n  completions: 2\n  backoffLimitPerIndex: 1\n  maxFailedIndexes: 3\n",
			[]string{"spec.maxFailedIndexes: FieldValueInvalid"}},
		{"failed ones without a limit each", "  completionMode: Indexed\n  completions: 2\n  maxFailedIndexes: 1\n", []string{"spec.backoffLimitPerIndex: FieldValueRequired"}},
		{"many of them", "  completionMode: Indexed\n  completions: 200000\n  parallelism: 20000\n  backoffLimitPerIndex: 1\n",
			[]string{"spec.maxFailedIndexes: FieldValueRequired", "spec.parallelism: FieldValueInvalid"}},
		{"a selector of its own", "  selector: {matchLabels: {app: x}}\n", []string{"spec.selector: FieldValueInvalid"}},
		{"a chosen selector", "  manualSelector: true\n  selector: {matchLabels: {app: x}}\n", nil},
		{"a chosen selector that finds nothing", "  manualSelector: true\n  selector: {matchLabels: {app: y}}\n", []string{"spec.template.metadata.labels: FieldValueInvalid"}},
		{"a chosen selector that is not there", "  manualSelector: true\n", []string{"spec.selector: FieldValueRequired"}},
		{"rules of failures", "  podFailurePolicy:\n    rules:\n    - {action: Ignore, onPodConditions: [{type: DisruptionTarget}]}\n    - {action: Count, onExitCodes: {operator: NotIn, values: [0, 3]}}\n", nil},
		{"wrong rules of failures", "  podFailurePolicy:\n    rules:\n    - {action: Explode}\n    - {action: FailIndex, onExitCodes: {operator: In, containerName: z, values: [0, 3, 2, 2]}}\n",
			[]string{"spec.podFailurePolicy.rules[0].action: FieldValueNotSupported", "spec.podFailurePolicy.rules[0]: FieldValueInvalid",
				"spec.podFailurePolicy.rules[1].action: FieldValueInvalid", "spec.podFailurePolicy.rules[1].onExitCodes.containerName: FieldValueInvalid",
				"spec.podFailurePolicy.rules[1].onExitCodes.values[0]: FieldValueInvalid", "spec.podFailurePolicy.rules[1].onExitCodes.values[3]: FieldValueDuplicate",
				"spec.podFailurePolicy.rules[1].onExitCodes.values: FieldValueInvalid"}},
		{"replaced too early for its rules", "  podReplacementPolicy: TerminatingOrFailed\n  podFailurePolicy:\n    rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]\n",
			[]string{"spec.podReplacementPolicy: FieldValueNotSupported"}},
		{"rules of success", "  completionMode: Indexed\n  completions: 5\n  successPolicy: {rules: [{succeededIndexes: '0,2-4', succeededCount: 2}]}\n", nil},
		{"wrong rules of success", "  completionMode: Indexed\n  completions: 5\n  successPolicy: {rules: [{succeededIndexes: '4-9'}, {succeededIndexes: '3,1'}, {succeededIndexes: '1', succeededCount: 2}, {}, {succeededCount: 6}]}\n",
			[]string{"spec.successPolicy.rules[0].succeededIndexes: FieldValueInvalid", "spec.successPolicy.rules[1].succeededIndexes: FieldValueInvalid",
				"spec.successPolicy.rules[2].succeededCount: FieldValueInvalid", "spec.successPolicy.rules[3]: FieldValueRequired", "spec.successPolicy.rules[4].succeededCount: FieldValueInvalid"}},
		{"rules of success without indexes", "  successPolicy: {rules: [{succeededCount: 1}]}\n", []string{"spec.successPolicy: FieldValueInvalid"}},
		{"managed by nobody", "  managedBy: me\n", []string{"spec.managedBy: FieldValueInvalid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if have := brief(validated(t, jobHead+c.rest)); !slices.Equal(have, c.want) {
				t.Errorf("have %q\nwant %q", have, c.want)
			}
		})
	}
	always := `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"a-name-that-is-as-long-as-a-name-may-be-and-has-no-room-for-more"},"spec":{"completions":11,"completionMode":"Indexed",
"template":{"metadata":{"labels":{"job-name":"x"}},"spec":{"containers":[{"name":"a","image":"b"}]}}}}`
	if have, want := brief(validated(t, always)), []string{"spec.template.spec.restartPolicy: FieldValueRequired", "metadata.name: FieldValueInvalid",
		"spec.template.metadata.labels[job-name]: FieldValueInvalid"}; !slices.Equal(have, want) {
		t.Errorf("have %q\nwant %q", have, want)
	}
}

func TestUpdateJob(t *testing.T) {
	read := func(rest string) *batchv1.Job {
		d := one(t, jobHead+rest)
		Default(d.Object)
		return d.Object.(*batchv1.Job)
	}
	const indexed = "  completionMode: Indexed\n  completions: 3\n  parallelism: 3\n"
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"what may change", "", "  completions: 1\n  parallelism: 5\n  backoffLimit: 1\n  suspend: true\n  ttlSecondsAfterFinished: 1\n  activeDeadlineSeconds: 4\n", nil},
		{"completions", "  completions: 2\n", "  completions: 3\n", []string{"spec.completions: FieldValueInvalid"}},
		{"completions with parallelism", indexed, "  completionMode: Indexed\n  completions: 5\n  parallelism: 5\n", nil},
		{"completions alone", indexed, "  completionMode: Indexed\n  completions: 5\n  parallelism: 3\n", []string{"spec.completions: FieldValueInvalid"}},
		{"the mode", "  completions: 3\n  parallelism: 3\n", indexed, []string{"spec.completionMode: FieldValueInvalid"}},
		{"who decides", "", "  managedBy: example.com/me\n", []string{"spec.managedBy: FieldValueInvalid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if have := brief(ValidateUpdate(read(c.before), read(c.after))); !slices.Equal(have, c.want) {
				t.Errorf("have %q\nwant %q", have, c.want)
			}
		})
	}
	running, asleep := read(""), read("  suspend: true\n")
	moved := running.DeepCopy()
	moved.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "fast"}
	if have := brief(ValidateUpdate(running, moved)); !slices.Equal(have, []string{"spec.template: FieldValueInvalid"}) {
		t.Errorf("where the pods of one that runs go: %q", have)
	}
	if have := ValidateUpdate(asleep, moved); len(have) > 0 {
		t.Errorf("where the pods of one that sleeps go: %v", have)
	}
	moved.Spec.Template.Spec.Containers[0].Image = "other"
	if have := brief(ValidateUpdate(asleep, moved)); !slices.Equal(have, []string{"spec.template: FieldValueInvalid"}) {
		t.Errorf("another image: %q", have)
	}
}

func TestDefaultJob(t *testing.T) {
	d := one(t, jobHead)
	Default(d.Object)
	j := d.Object.(*batchv1.Job)
	if s := j.Spec; *s.Completions != 1 || *s.Parallelism != 1 || *s.BackoffLimit != 6 || *s.CompletionMode != batchv1.NonIndexedCompletion || *s.Suspend ||
		*s.PodReplacementPolicy != batchv1.TerminatingOrFailed || *s.ManualSelector || j.Labels["app"] != "x" {
		t.Errorf("%+v", j)
	}
	d = one(t, jobHead+"  parallelism: 3\n  completionMode: Indexed\n  backoffLimitPerIndex: 1\n")
	Default(d.Object)
	if s := d.Object.(*batchv1.Job).Spec; s.Completions != nil || *s.BackoffLimit != 1<<31-1 {
		t.Errorf("%+v", s)
	}
}
