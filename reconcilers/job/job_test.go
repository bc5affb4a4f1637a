package job

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/stage"
)

// bench is a world with one Job in it.
type bench struct {
	*stage.World
	t *testing.T
	k events.Key
}

// job is a Job of which a test says what is special.
func job(edit func(*batchv1.JobSpec)) *batchv1.Job {
	j := &batchv1.Job{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, ObjectMeta: metav1.ObjectMeta{Name: "pi", Namespace: "default"}}
	j.Spec.Template.Labels = map[string]string{"app": "pi"}
	j.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	edit(&j.Spec)
	manifest.Default(j)
	return j
}

func n(i int32) *int32 { return &i }

func mode(m batchv1.CompletionMode) *batchv1.CompletionMode { return &m }

func begin(t *testing.T, edit func(*batchv1.JobSpec)) *bench {
	t.Helper()
	w := stage.New()
	w.Node("n1", "64", "64Gi")
	b := &bench{w, t, stage.In(events.Jobs, "pi")}
	b.write(job(edit))
	b.settle()
	return b
}

func (b *bench) write(j *batchv1.Job) {
	b.t.Helper()
	if errs := manifest.Validate(j); len(errs) > 0 {
		b.t.Fatalf("the test's Job: %v", errs)
	}
	raw, err := manifest.Canonical(j)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Apply(b.k, string(raw))
}

// settle lets the reconciler do all that it wants now, and gives pods to the node.
func (b *bench) settle() reconcilers.Decision {
	b.t.Helper()
	d, err := b.Run(Reconciler{}, b.k)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, o := range b.Pods() {
		if b.Row(o).Node == "" {
			b.Assign(o, "n1")
			b.Ready(b.Get(o.Key))
		}
	}
	return d
}

// live are the pods that run.
func (b *bench) live() []*projections.Object {
	var out []*projections.Object
	for _, o := range b.Pods() {
		if p := b.Row(o); o.Deletion == nil && !over(o, p) {
			out = append(out, o)
		}
	}
	return out
}

// end ends a pod with a code, and lets the Job see it.
func (b *bench) end(o *projections.Object, code int) {
	b.t.Helper()
	b.See(o, events.Fact{Kind: events.FactExited, Container: "c", Run: 1, Code: code})
	b.settle()
}

// pass lets time go by.
func (b *bench) pass(d time.Duration) reconcilers.Decision {
	b.t.Helper()
	b.Now = b.Now.Add(d)
	return b.settle()
}

func (b *bench) status() batchv1.JobStatus {
	b.t.Helper()
	o, ok := b.State.Object(b.k, b.Now)
	if !ok {
		b.t.Fatal("the Job is gone")
	}
	return o.(*batchv1.Job).Status
}

// told is the status in one line.
func (b *bench) told() string {
	st := b.status()
	var has []string
	for _, c := range st.Conditions {
		if c.Status == corev1.ConditionTrue {
			has = append(has, string(c.Type)+":"+c.Reason)
		}
	}
	line := fmt.Sprintf("active %d, terminating %d, succeeded %d, failed %d", st.Active, *st.Terminating, st.Succeeded, st.Failed)
	if st.CompletedIndexes != "" {
		line += ", done " + st.CompletedIndexes
	}
	if st.FailedIndexes != nil && *st.FailedIndexes != "" {
		line += ", lost " + *st.FailedIndexes
	}
	if len(has) > 0 {
		line += ", " + strings.Join(has, " ")
	}
	return line
}

func (b *bench) want(line string) {
	b.t.Helper()
	if have := b.told(); have != line {
		b.t.Errorf("have %s\nwant %s", have, line)
	}
}

func TestRunsToCompletion(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = n(3), n(2) })
	b.want("active 2, terminating 0, succeeded 0, failed 0")
	if st := b.status(); st.StartTime == nil || *st.Ready != 2 || st.UncountedTerminatedPods == nil || len(st.UncountedTerminatedPods.Succeeded) != 0 {
		t.Errorf("%+v", st)
	}
	b.end(b.live()[0], 0)
	b.want("active 2, terminating 0, succeeded 1, failed 0")
	b.end(b.live()[0], 0)
	b.want("active 1, terminating 0, succeeded 2, failed 0") // no more than is missing
	b.pass(time.Minute)
	b.end(b.live()[0], 0)
	b.want("active 0, terminating 0, succeeded 3, failed 0, SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached")
	if st := b.status(); st.CompletionTime == nil || st.CompletionTime.Sub(st.StartTime.Time) != time.Minute {
		t.Errorf("from %v to %v", st.StartTime, st.CompletionTime)
	}
	before := b.State.Seq
	if b.pass(time.Hour); b.State.Seq != before {
		t.Error("a Job that is over does something")
	}
}

// The labels by which a Job finds its pods are its own, and on the pods.
func TestPodsOfAJob(t *testing.T) {
	b := begin(t, func(*batchv1.JobSpec) {})
	uid := string(b.Get(b.k).UID)
	o, _ := b.State.Object(b.live()[0].Key, b.Now)
	for k, want := range map[string]string{"batch.kubernetes.io/controller-uid": uid, "controller-uid": uid, "batch.kubernetes.io/job-name": "pi", "job-name": "pi", "app": "pi"} {
		if have := o.GetLabels()[k]; have != want {
			t.Errorf("label %s is %q, want %q", k, have, want)
		}
	}
	if !strings.HasPrefix(o.GetName(), "pi-") || o.GetOwnerReferences()[0].Kind != "Job" || !*o.GetOwnerReferences()[0].Controller {
		t.Errorf("%s of %+v", o.GetName(), o.GetOwnerReferences())
	}
	shown, _ := b.State.Object(b.k, b.Now)
	if s := shown.(*batchv1.Job).Spec.Selector; s == nil || s.MatchLabels["batch.kubernetes.io/controller-uid"] != uid {
		t.Errorf("selector %+v", s)
	}
	if strings.Contains(string(b.Get(b.k).Raw), uid) {
		t.Error("the log holds what is made of the uid")
	}
}

func TestRetriesWait(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.BackoffLimit = n(3) })
	for i, wait := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second} {
		b.end(b.live()[0], 1)
		if d := b.pass(wait - time.Second); len(b.live()) != 0 || !d.WakeAt.Equal(b.Now.Add(time.Second)) || d.Because[0].Code != "BackOff" {
			t.Fatalf("after failure %d: %d pods a second early, wakes at %v because %v", i+1, len(b.live()), d.WakeAt, d.Because)
		}
		if b.pass(time.Second); len(b.live()) != 1 {
			t.Fatalf("after failure %d: no new pod after %s", i+1, wait)
		}
	}
	b.end(b.live()[0], 1)
	b.want("active 0, terminating 0, succeeded 0, failed 4, FailureTarget:BackoffLimitExceeded Failed:BackoffLimitExceeded")
	if b.status().CompletionTime != nil {
		t.Error("a Job that failed has a completion time")
	}
}

// A success ends the row of failures, and the longest pause is six minutes.
func TestPausesEnd(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.BackoffLimit, s.Completions, s.Parallelism = n(20), n(9), n(1) })
	for range 8 {
		b.end(b.live()[0], 1)
		b.pass(failMax)
		if len(b.live()) != 1 {
			t.Fatal("waits longer than six minutes")
		}
	}
	b.end(b.live()[0], 0)
	if len(b.live()) != 1 {
		t.Error("waits after a success")
	}
	b.end(b.live()[0], 1)
	b.pass(failBase)
	if len(b.live()) != 1 {
		t.Error("the first failure after a success waits longer than the first")
	}
}

func TestIndexes(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) {
		s.Completions, s.Parallelism, s.CompletionMode = n(4), n(3), mode(batchv1.IndexedCompletion)
	})
	seen := map[string]*projections.Object{}
	for _, o := range b.live() {
		v, _ := b.State.Object(o.Key, b.Now)
		pod := v.(*corev1.Pod)
		i := pod.Annotations["batch.kubernetes.io/job-completion-index"]
		seen[i] = o
		env := pod.Spec.Containers[0].Env
		if pod.Spec.Hostname != "pi-"+i || pod.Labels["batch.kubernetes.io/job-completion-index"] != i || !strings.HasPrefix(pod.Name, "pi-"+i+"-") ||
			len(env) != 1 || env[0].Name != "JOB_COMPLETION_INDEX" || env[0].ValueFrom.FieldRef.FieldPath != "metadata.labels['batch.kubernetes.io/job-completion-index']" {
			t.Errorf("index %s: %+v", i, pod)
		}
	}
	if len(seen) != 3 || seen["0"] == nil || seen["1"] == nil || seen["2"] == nil {
		t.Fatalf("indexes %v", seen)
	}
	b.end(seen["1"], 0)
	b.want("active 3, terminating 0, succeeded 1, failed 0, done 1")
	b.end(seen["2"], 1)
	b.want("active 2, terminating 0, succeeded 1, failed 1, done 1")
	b.pass(failBase)
	b.want("active 3, terminating 0, succeeded 1, failed 1, done 1") // index 2 once more
	for len(b.live()) > 0 {
		b.end(b.live()[0], 0)
	}
	b.want("active 0, terminating 0, succeeded 4, failed 1, done 0-3, SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached")
}

// indexed is a Job of four indexes at once.
func indexed(edit func(*batchv1.JobSpec)) func(*batchv1.JobSpec) {
	return func(s *batchv1.JobSpec) {
		s.Completions, s.Parallelism, s.CompletionMode = n(4), n(4), mode(batchv1.IndexedCompletion)
		edit(s)
	}
}

// at is the live pod of an index.
func (b *bench) at(index int) *projections.Object {
	b.t.Helper()
	for _, o := range b.live() {
		if i, _ := projections.IndexOf(o); i == index {
			return o
		}
	}
	b.t.Fatalf("no pod of index %d", index)
	return nil
}

func TestFailuresPerIndex(t *testing.T) {
	b := begin(t, indexed(func(s *batchv1.JobSpec) { s.BackoffLimitPerIndex, s.MaxFailedIndexes = n(1), n(2) }))
	b.end(b.at(0), 1)
	b.end(b.at(1), 0)
	b.want("active 2, terminating 0, succeeded 1, failed 1, done 1")
	b.pass(failBase)
	if have := b.at(0).PodAnnotations()["batch.kubernetes.io/job-index-failure-count"]; have != "1" {
		t.Errorf("the second try is told of %q failures", have)
	}
	b.end(b.at(0), 1)
	b.want("active 2, terminating 0, succeeded 1, failed 2, done 1, lost 0")
	b.end(b.at(2), 0)
	b.end(b.at(3), 0)
	b.want("active 0, terminating 0, succeeded 3, failed 2, done 1-3, lost 0, FailureTarget:FailedIndexes Failed:FailedIndexes")
}

func TestTooManyFailedIndexes(t *testing.T) {
	b := begin(t, indexed(func(s *batchv1.JobSpec) { s.BackoffLimitPerIndex, s.MaxFailedIndexes = n(0), n(1) }))
	b.end(b.at(0), 1)
	b.end(b.at(2), 1)
	b.want("active 0, terminating 2, succeeded 0, failed 4, lost 0,2, FailureTarget:MaxFailedIndexesExceeded")
	for _, o := range b.Pods() {
		b.Stopped(o)
	}
	b.settle()
	b.want("active 0, terminating 0, succeeded 0, failed 4, lost 0,2, FailureTarget:MaxFailedIndexesExceeded Failed:MaxFailedIndexesExceeded")
}

// statusOf is a pod's status as a client writes it.
func statusOf(o *projections.Object, status string) reconcilers.Draft {
	return reconcilers.WriteStatus(o, events.StatusWritten{Status: []byte(status)})
}

// remove says that a pod is gone, whatever it did.
func (b *bench) remove(o *projections.Object) { b.Do(reconcilers.Remove(b.Get(o.Key))) }

func ownerless(o *projections.Object) reconcilers.Draft {
	return reconcilers.Disown(o, func(metav1.OwnerReference) bool { return true })
}

// relabelled is a pod that no selector knows.
func relabelled(o *projections.Object) reconcilers.Draft {
	b := reconcilers.Same(o)
	b.Object = reconcilers.Edit(o.Raw, func(object map[string]any) {
		labels := reconcilers.Field(reconcilers.Field(object, "metadata"), "labels")
		labels["batch.kubernetes.io/controller-uid"] = "nobody"
	})
	return reconcilers.Change(o, b)
}

func guarding(said string) birth.Guards {
	return func(reconcilers.View, events.Resource) birth.Guard {
		return birth.Guard{Bars: func(events.Object) string { return said }}
	}
}

// However many pods somebody asks for, a decision makes as many as it may hold, and costs no more.
func TestHugeJobsAreMadeInSteps(t *testing.T) {
	w := stage.New()
	b := &bench{w, t, stage.In(events.Jobs, "pi")}
	b.write(job(func(s *batchv1.JobSpec) { s.Parallelism, s.Completions = n(50_000_000), n(50_000_000) }))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d := Reconciler{}.Decide(b.State, b.k, b.Now)
	runtime.ReadMemStats(&after)
	if len(d.Events) != reconcilers.MaxSteps || !d.More {
		t.Errorf("%d events, more %v", len(d.Events), d.More)
	}
	if cost := after.TotalAlloc - before.TotalAlloc; cost > 10<<20 {
		t.Errorf("it takes %d bytes", cost)
	}
}

// A deadline of more seconds than time can say is none that is over.
func TestVeryLongDeadlines(t *testing.T) {
	long := int64(9_999_999_999)
	b := begin(t, func(s *batchv1.JobSpec) { s.ActiveDeadlineSeconds = &long })
	if b.pass(time.Hour); len(b.live()) != 1 {
		t.Errorf("after an hour: %s", b.told())
	}
}
