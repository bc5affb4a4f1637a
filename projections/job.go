package projections

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// JobController is who decides for Jobs that name nobody else.
const JobController = "job"

// Job is what a Job's row remembers of pods that may be gone, and what was
// decided about it. It is immutable.
type Job struct {
	Started    Mark `cbor:",omitzero"` // it runs since; zero while it is suspended
	Succeeded  int  `cbor:",omitzero"` // pods that came to their end, those that are gone too
	Failed     int  `cbor:",omitzero"` // likewise; without those that its failure policy ignores
	Streak     int  `cbor:",omitzero"` // failures since the last success
	LastFail   Mark `cbor:",omitzero"`
	Completed  events.Indexes
	Lost       events.Indexes // that failed for good
	Tries      map[int]Tries  `cbor:",omitempty"` // of indexes that failed and are neither
	Fatal      string         `cbor:",omitempty"` // what its failure policy says of a pod that fails all of it
	Conditions []JobCondition
}

// Tries is what became of one index so far.
type Tries struct {
	Failed  int  `cbor:",omitzero"`
	Ignored int  `cbor:",omitzero"` // by the failure policy
	Last    Mark `cbor:",omitzero"`
}

// JobCondition is a condition with the moment when it came.
type JobCondition struct {
	events.JobCondition
	Mark
}

// Condition finds a condition that holds.
func (j *Job) Condition(t batchv1.JobConditionType) (JobCondition, bool) {
	for _, c := range j.Conditions {
		if c.Type == string(t) && !c.False {
			return c, true
		}
	}
	return JobCondition{}, false
}

// Finished is the condition that says that a Job is over; false while it is not.
func (j *Job) Finished() (JobCondition, bool) {
	if c, ok := j.Condition(batchv1.JobComplete); ok {
		return c, true
	}
	return j.Condition(batchv1.JobFailed)
}

// Target is the condition that says how a Job will end once its pods have stopped.
func (j *Job) Target() (JobCondition, bool) {
	if c, ok := j.Condition(batchv1.JobSuccessCriteriaMet); ok {
		return c, true
	}
	return j.Condition(batchv1.JobFailureTarget)
}

// ManagedElsewhere tells whether a Job names another controller than ours.
func ManagedElsewhere(j *batchv1.Job) bool {
	return j.Spec.ManagedBy != nil && *j.Spec.ManagedBy != batchv1.JobControllerName
}

// Indexed tells whether each pod of a Job has an index.
func Indexed(j *batchv1.Job) bool {
	return j.Spec.CompletionMode != nil && *j.Spec.CompletionMode == batchv1.IndexedCompletion
}

// Suspended tells whether a Job shall not run now.
func Suspended(j *batchv1.Job) bool { return j.Spec.Suspend != nil && *j.Spec.Suspend }

// IndexOf is the completion index of a pod, false when it has none.
func IndexOf(pod *Object) (int, bool) {
	n, err := strconv.Atoi(pod.PodAnnotations()[batchv1.JobCompletionIndexAnnotation])
	return n, err == nil && n >= 0
}

// generatedLabels are what the pods of a Job have by which it finds them.
func generatedLabels(name string, uid events.UID) map[string]string {
	return map[string]string{batchv1.ControllerUidLabel: string(uid), "controller-uid": string(uid), batchv1.JobNameLabel: name, "job-name": name}
}

// FillJob gives a Job the selector and the labels that are made of its name and
// uid, unless a person chose the selector. The log has it without: so a Job that is
// brought back finds its own pods. The Job has to be the caller's own.
func FillJob(j *batchv1.Job, uid events.UID) {
	if j.Spec.ManualSelector != nil && *j.Spec.ManualSelector {
		return
	}
	labels := maps.Clone(j.Spec.Template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, generatedLabels(j.Name, uid))
	j.Spec.Template.Labels = labels
	j.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{batchv1.ControllerUidLabel: string(uid)}}
}

// ForgetJob takes out of a Job that was read, and comes back, what FillJob gave it.
// What a person put in their place stays, and is refused as wrong.
func ForgetJob(j *batchv1.Job, uid events.UID) {
	if j.Spec.ManualSelector != nil && *j.Spec.ManualSelector {
		return
	}
	if s := j.Spec.Selector; s != nil && len(s.MatchExpressions) == 0 && len(s.MatchLabels) == 1 && s.MatchLabels[batchv1.ControllerUidLabel] == string(uid) {
		j.Spec.Selector = nil
	}
	//stave:sorted each key is looked at by itself
	for k, v := range generatedLabels(j.Name, uid) {
		if j.Spec.Template.Labels[k] == v {
			delete(j.Spec.Template.Labels, k)
		}
		if j.Labels[k] == v { // a Job without labels has its template's
			delete(j.Labels, k)
		}
	}
}

// outcome is what a pod's end means to its Job.
type outcome int

const (
	running   outcome = iota
	succeeded         // all its containers ended well
	failed
	withdrawn // its Job took it away before its end: it counts for nothing
)

// outcomeOf says how far a pod of a Job is. Once it is not running it stays so:
// what it ended as first is what counts.
func outcomeOf(job *batchv1.Job, decided bool, o *Object, p *Pod) outcome {
	over := p.Failed != nil || p.Finished(o) || !p.Stopped.IsZero()
	d := o.Deletion
	switch {
	case over && p.Failed == nil && phaseOf(p, &corev1.Pod{Spec: *o.PodSpec()}) == corev1.PodSucceeded:
		return succeeded
	case d != nil && d.Actor == events.Controller(JobController) && !decided:
		return withdrawn
	case over, d != nil && replacesAtOnce(job):
		return failed
	}
	return running
}

// replacesAtOnce tells whether a pod that is on its way out counts as failed already.
func replacesAtOnce(j *batchv1.Job) bool {
	return j.Spec.PodReplacementPolicy == nil || *j.Spec.PodReplacementPolicy != batchv1.Failed
}

// ends counts a pod of a Job that came to its end, once. No event is needed for
// that, and nothing is lost with a pod that is removed: the end is in the log.
func (f *folding) ends(c Change) {
	if c.Key.Resource != events.Pods || c.Before == nil || c.PodBefore == nil || c.Before.Owner == nil || c.Before.Owner.Resource != events.Jobs {
		return
	}
	row, ok := f.s.Get(c.Before.OwnerKey())
	if !ok || row.UID != c.Before.Owner.UID || row.Job == nil || c.After != nil && !sameOwner(c.Before, c.After) {
		return
	}
	job := row.decoded().(*batchv1.Job)
	_, decided := row.Job.Target()
	if outcomeOf(job, decided, c.Before, c.PodBefore) != running {
		return
	}
	was, now := c.Before, failed // removed before anything was heard of its end
	if c.After != nil && c.PodAfter != nil {
		if was, now = c.After, outcomeOf(job, decided, c.After, c.PodAfter); now == running {
			return
		}
	}
	next := f.counted(job, row.Job, was, now, decided)
	f.touchOnce(row.Key, func(o *Object) { o.Job = &next })
}

// counted is a Job's memory with one more end in it. An index whose pod was taken
// away because the Job ends has not failed for good.
func (f *folding) counted(job *batchv1.Job, before *Job, pod *Object, how outcome, decided bool) Job {
	j := *before
	index, has := IndexOf(pod)
	if Indexed(job) && (!has || index >= int(completions(job))) || how == withdrawn {
		return j // of no index that is wanted
	}
	if how == succeeded {
		j.Succeeded++
		j.Streak = 0
		if Indexed(job) {
			j.Completed, j.Tries = j.Completed.With(index), forgetting(j.Tries, index)
		}
		return j
	}
	v := f.judged(job, pod)
	if v.fatal != "" && j.Fatal == "" {
		j.Fatal = v.fatal
	}
	if !v.ignored {
		j.Failed++
		j.Streak++
		j.LastFail = f.mark()
	}
	if limit := job.Spec.BackoffLimitPerIndex; Indexed(job) && limit != nil && !decided && !j.Completed.Has(index) {
		j.failIndex(index, int(*limit), v, f.mark())
	}
	return j
}

func (j *Job) failIndex(index, limit int, v failure, at Mark) {
	t := j.Tries[index]
	if t.Last = at; v.ignored {
		t.Ignored++
	} else {
		t.Failed++
	}
	j.Tries = forgetting(j.Tries, index)
	if v.index || t.Failed > limit {
		j.Lost = j.Lost.With(index)
		return
	}
	if j.Tries == nil {
		j.Tries = map[int]Tries{}
	}
	j.Tries[index] = t
}

// forgetting is a copy of a map that lacks an index.
func forgetting(m map[int]Tries, index int) map[int]Tries {
	m = maps.Clone(m)
	delete(m, index)
	if len(m) == 0 {
		return nil
	}
	return m
}

func completions(j *batchv1.Job) int32 {
	if j.Spec.Completions == nil {
		return 0
	}
	return *j.Spec.Completions
}

// failure is what a Job's failure policy makes of one.
type failure struct {
	ignored, index bool
	fatal          string
}

// judged asks the failure policy, whose first rule that matches decides.
func (f *folding) judged(job *batchv1.Job, o *Object) failure {
	if job.Spec.PodFailurePolicy == nil {
		return failure{}
	}
	pod, ok := f.s.ObjectOf(o, f.s.Time).(*corev1.Pod)
	if !ok {
		return failure{}
	}
	for i, r := range job.Spec.PodFailurePolicy.Rules {
		what := matched(&r, pod)
		if what == "" {
			continue
		}
		return failure{ignored: r.Action == batchv1.PodFailurePolicyActionIgnore, index: r.Action == batchv1.PodFailurePolicyActionFailIndex,
			fatal: fatal(r.Action, fmt.Sprintf("%s matching %s rule at index %d", what, r.Action, i))}
	}
	return failure{}
}

func fatal(action batchv1.PodFailurePolicyAction, words string) string {
	if action != batchv1.PodFailurePolicyActionFailJob {
		return ""
	}
	return words
}

// matched is what of a pod a rule means, in Kubernetes' words; empty for nothing.
func matched(r *batchv1.PodFailurePolicyRule, pod *corev1.Pod) string {
	name := pod.Namespace + "/" + pod.Name
	if r.OnExitCodes != nil {
		for _, c := range slices.Concat(pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses) {
			t := c.State.Terminated
			if t == nil || t.ExitCode == 0 || r.OnExitCodes.ContainerName != nil && *r.OnExitCodes.ContainerName != c.Name {
				continue
			}
			if slices.Contains(r.OnExitCodes.Values, t.ExitCode) == (r.OnExitCodes.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn) {
				return fmt.Sprintf("Container %s for pod %s failed with exit code %d", c.Name, name, t.ExitCode)
			}
		}
		return ""
	}
	for _, c := range pod.Status.Conditions {
		for _, p := range r.OnPodConditions {
			if c.Type == p.Type && c.Status == p.Status {
				return fmt.Sprintf("Pod %s has condition %s", name, c.Type)
			}
		}
	}
	return ""
}

// begin gives a Job that was just made its memory.
func (f *folding) begin(o *Object) {
	if o.Key.Resource != events.Jobs || o.Job != nil {
		return
	}
	o.own().Job = &Job{}
	if job := o.decoded().(*batchv1.Job); !Suspended(job) && !ManagedElsewhere(job) {
		o.Job.Started = f.mark()
	}
}

// jobReported folds what a Job's controller decided.
func (f *folding) jobReported(k events.Key) {
	b, ok := body[events.JobReported](f)
	if !ok {
		return
	}
	o, ok := f.life(k, b.UID)
	if !ok {
		return
	}
	j := *o.Job
	j.Conditions = make([]JobCondition, 0, len(b.Conditions))
	for _, c := range b.Conditions {
		j.Conditions = append(j.Conditions, f.since(o.Job, c))
		if c.Type != string(batchv1.JobSuspended) {
			continue
		}
		if last := j.Conditions[len(j.Conditions)-1]; last.Seq == f.e.Seq && c.False {
			j.Started = f.mark() // it begins anew, and so does its deadline
		}
		if !c.False {
			j.Started = Mark{}
		}
	}
	f.touch(k, func(o *Object) { o.Job = &j })
	if c, ok := j.Condition(batchv1.JobComplete); ok && c.Seq == f.e.Seq {
		f.remember(o, func(m *Cron) { m.Succeeded = c.Time })
	} else if o.Owner != nil {
		f.remember(o, func(*Cron) {}) // its status tells of the Jobs that go on
	}
}

// since is a condition with the moment from which it is as it is.
func (f *folding) since(before *Job, c events.JobCondition) JobCondition {
	for _, was := range before.Conditions {
		if was.Type == c.Type && was.False == c.False {
			return JobCondition{c, was.Mark}
		}
	}
	return JobCondition{c, f.mark()}
}
