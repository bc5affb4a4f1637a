package cronjob

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

var key = stage.In(events.CronJobs, "tidy")

func cronJob(edit func(*batchv1.CronJobSpec)) string {
	c := &batchv1.CronJob{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"}, ObjectMeta: metav1.ObjectMeta{Name: "tidy", Namespace: "default"}}
	c.Spec.Schedule = "*/10 * * * *"
	c.Spec.JobTemplate.Labels, c.Spec.JobTemplate.Annotations = map[string]string{"a": "b"}, map[string]string{"c": "d"}
	c.Spec.JobTemplate.Spec.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	edit(&c.Spec)
	manifest.Default(c)
	if errs := manifest.Validate(c); len(errs) > 0 {
		panic(errs.ToAggregate())
	}
	raw, err := manifest.Canonical(c)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func begin(edit func(*batchv1.CronJobSpec)) *stage.World {
	w := stage.New() // at 03:04:05
	w.Apply(key, cronJob(edit))
	return w
}

func run(t interface{ Fatal(...any) }, w *stage.World, after time.Duration) reconcilers.Decision {
	w.Now = w.Now.Add(after)
	d, err := w.Run(Reconciler{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// jobs are the names of those that there are and that nobody asked to go.
func jobs(w *stage.World) []string {
	var out []string
	for o := range w.State.List(events.Jobs, "") {
		if o.Deletion == nil {
			out = append(out, o.Key.Name)
		}
	}
	return out
}

// end says how a Job ended.
func end(w *stage.World, name string, how batchv1.JobConditionType) {
	o := w.Get(stage.In(events.Jobs, name))
	w.Do(reconcilers.Report(o.Key, events.JobReported{UID: o.UID, Conditions: []events.JobCondition{{Type: string(how)}}}))
}

func status(w *stage.World) batchv1.CronJobStatus {
	o, _ := w.State.Object(key, w.Now)
	return o.(*batchv1.CronJob).Status
}

func TestMakesAJobWhenItIsDue(t *testing.T) {
	w := begin(func(*batchv1.CronJobSpec) {})
	if d := run(t, w, 0); len(jobs(w)) != 0 || d.WakeAt.Format("15:04:05") != "03:10:00" {
		t.Fatalf("%v, wakes at %s", jobs(w), d.WakeAt)
	}
	run(t, w, 6*time.Minute)
	run(t, w, time.Minute)
	if have := jobs(w); len(have) != 1 || !strings.HasPrefix(have[0], "tidy-") {
		t.Fatalf("%v", have)
	}
	o, _ := w.State.Object(stage.In(events.Jobs, jobs(w)[0]), w.Now)
	j := o.(*batchv1.Job)
	if j.Labels["a"] != "b" || j.Annotations["c"] != "d" || j.Annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"] != "2026-01-02T03:10:00Z" ||
		j.OwnerReferences[0].Kind != "CronJob" || *j.Spec.BackoffLimit != 6 {
		t.Errorf("%+v", j)
	}
	if st := status(w); len(st.Active) != 1 || st.Active[0].Name != j.Name || st.LastScheduleTime.UTC().Format("15:04") != "03:10" || st.LastSuccessfulTime != nil {
		t.Errorf("%+v", st)
	}
	end(w, j.Name, batchv1.JobComplete)
	if st := status(w); len(st.Active) != 0 || st.LastSuccessfulTime == nil {
		t.Errorf("%+v", st)
	}
}

// Of the times that were missed only the newest is made up for, and none that is too long ago.
func TestMissedTimes(t *testing.T) {
	w := begin(func(*batchv1.CronJobSpec) {})
	run(t, w, 30*24*time.Hour)
	if len(jobs(w)) != 1 || status(w).LastScheduleTime.UTC().Format("01-02 15:04") != "02-01 03:00" {
		t.Errorf("%v, %v", jobs(w), status(w).LastScheduleTime)
	}
	w = begin(func(s *batchv1.CronJobSpec) { s.StartingDeadlineSeconds = new(int64(60)) })
	if run(t, w, 10*time.Minute); len(jobs(w)) != 0 {
		t.Error("made 4 minutes late")
	}
	if run(t, w, 6*time.Minute); len(jobs(w)) != 1 {
		t.Error("not made 5 seconds late")
	}
	w = begin(func(s *batchv1.CronJobSpec) { s.StartingDeadlineSeconds = new(int64(9_999_999_999)) })
	if run(t, w, 10*time.Minute); len(jobs(w)) != 1 {
		t.Error("not made 4 minutes late, where 317 years would do")
	}
}

// The times of a duration lie apart by it: that somebody looked in between moves none of them.
func TestEveryHourIsEveryHour(t *testing.T) {
	w := begin(func(s *batchv1.CronJobSpec) { s.Schedule = "@every 1h" }) // at 03:04:05
	if d := run(t, w, 20*time.Minute); d.WakeAt.UTC().Format("15:04:05") != "04:04:05" {
		t.Errorf("first asked after 20 minutes, it wakes at %s", d.WakeAt)
	}
	run(t, w, 40*time.Minute)
	have := jobs(w)
	if len(have) != 1 {
		t.Fatalf("after an hour %v", have)
	}
	end(w, have[0], batchv1.JobComplete)
	if d := run(t, w, 20*time.Minute); d.WakeAt.UTC().Format("15:04:05") != "05:04:05" {
		t.Errorf("20 minutes after the first one it wakes at %s", d.WakeAt)
	}
}

// How late a time may begin says nothing of when it is due: a duration that is longer has its times too.
func TestEveryHourWithinADeadline(t *testing.T) {
	w := begin(func(s *batchv1.CronJobSpec) {
		s.Schedule, s.StartingDeadlineSeconds = "@every 1h", new(int64(200))
	})
	if run(t, w, time.Hour); len(jobs(w)) != 1 {
		t.Errorf("after an hour %v", jobs(w))
	}
	if run(t, w, time.Hour+4*time.Minute); len(jobs(w)) != 1 {
		t.Errorf("made 4 minutes late: %v", jobs(w))
	}
	if run(t, w, 57*time.Minute); len(jobs(w)) != 2 {
		t.Errorf("not made a minute late: %v", jobs(w))
	}
}

// A history that is to be shorter by more than a decision may hold goes in several, and Jobs are made beside that.
func TestLongHistoriesGoInPasses(t *testing.T) {
	w := begin(func(s *batchv1.CronJobSpec) { s.SuccessfulJobsHistoryLimit = new(int32(1000)) })
	for range 130 {
		run(t, w, 10*time.Minute)
		have := jobs(w)
		end(w, have[len(have)-1], batchv1.JobComplete)
	}
	w.Apply(key, cronJob(func(s *batchv1.CronJobSpec) { s.SuccessfulJobsHistoryLimit = new(int32(1)) }))
	if run(t, w, 10*time.Minute); len(jobs(w)) != 2 {
		t.Errorf("kept %d", len(jobs(w)))
	}
}

// All that one Job shall replace are asked to go before it comes, however many they are.
func TestManyAreReplaced(t *testing.T) {
	w := begin(func(*batchv1.CronJobSpec) {})
	for range 130 {
		run(t, w, 10*time.Minute)
	}
	w.Apply(key, cronJob(func(s *batchv1.CronJobSpec) { s.ConcurrencyPolicy = batchv1.ReplaceConcurrent }))
	if run(t, w, 10*time.Minute); len(jobs(w)) != 1 {
		t.Errorf("beside the new one %d", len(jobs(w))-1)
	}
}

func TestConcurrency(t *testing.T) {
	for policy, want := range map[batchv1.ConcurrencyPolicy]int{batchv1.AllowConcurrent: 2, batchv1.ForbidConcurrent: 1, batchv1.ReplaceConcurrent: 1} {
		w := begin(func(s *batchv1.CronJobSpec) { s.ConcurrencyPolicy = policy })
		run(t, w, 6*time.Minute)
		first := jobs(w)[0]
		run(t, w, 10*time.Minute)
		if have := jobs(w); len(have) != want || policy == batchv1.ReplaceConcurrent && have[0] == first || policy == batchv1.ForbidConcurrent && have[0] != first {
			t.Errorf("%s: %v", policy, have)
		}
		if policy == batchv1.ForbidConcurrent { // the time that waited has its turn
			end(w, first, batchv1.JobComplete)
			if run(t, w, time.Minute); len(jobs(w)) != 2 {
				t.Errorf("after the first ended: %v", jobs(w))
			}
		}
	}
}

func TestHistory(t *testing.T) {
	w := begin(func(s *batchv1.CronJobSpec) {
		s.SuccessfulJobsHistoryLimit, s.FailedJobsHistoryLimit = new(int32(2)), new(int32(1))
	})
	for i := range 8 {
		run(t, w, 10*time.Minute)
		have := jobs(w)
		end(w, have[len(have)-1], []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed}[i%2])
	}
	if run(t, w, time.Second); len(jobs(w)) != 3 {
		t.Errorf("kept %v", jobs(w))
	}
}

func TestSuspendedAndInZones(t *testing.T) {
	w := begin(func(s *batchv1.CronJobSpec) { s.Suspend = new(true) })
	if d := run(t, w, time.Hour); len(jobs(w)) != 0 || !d.WakeAt.IsZero() || d.Because[0].Code != "Suspended" {
		t.Errorf("%v, %+v", jobs(w), d)
	}
	zone := "Asia/Kolkata" // half an hour off
	w = begin(func(s *batchv1.CronJobSpec) { s.Schedule, s.TimeZone = "0 9 * * *", &zone })
	if d := run(t, w, 0); d.WakeAt.UTC().Format("15:04") != "03:30" {
		t.Errorf("wakes at %s", d.WakeAt)
	}
}

// TestOnce: whatever happens to its Jobs, and however late it is asked, no time has two of them.
func TestOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := begin(func(s *batchv1.CronJobSpec) {
			s.Schedule = rapid.SampledFrom([]string{"* * * * *", "*/7 * * * *", "@every 11m", "30 * * * *"}).Draw(t, "schedule")
			s.ConcurrencyPolicy = rapid.SampledFrom([]batchv1.ConcurrencyPolicy{"Allow", "Forbid", "Replace"}).Draw(t, "policy")
			s.SuccessfulJobsHistoryLimit = new(int32(rapid.IntRange(0, 2).Draw(t, "kept")))
		})
		made := map[string]bool{}
		w.OnFold = func(e events.Envelope, _ []projections.Change) {
			if e.Type != events.TypeOf(events.Jobs, events.VerbCreated) {
				return
			}
			k, _ := e.Subject.Key()
			at := w.Get(k).Typed().GetAnnotations()[projections.ScheduledAt]
			if made[at] {
				t.Fatalf("%s is made twice", at)
			}
			made[at] = true
			if due, err := time.Parse(time.RFC3339, at); err != nil || due.After(w.Now) {
				t.Fatalf("%s is made at %s: %v", at, w.Now, err)
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			run(t, w, time.Duration(rapid.IntRange(0, 3000).Draw(t, "seconds"))*time.Second)
			for o := range w.State.List(events.Jobs, "") {
				switch rapid.IntRange(0, 3).Draw(t, "fate") {
				case 0:
					end(w, o.Key.Name, batchv1.JobComplete)
				case 1:
					w.Do(reconcilers.Remove(o))
				}
			}
		}
	})
}

// A quota that counts Jobs holds a time up: its Job comes when there is room, unless another time is due by then.
func TestQuotasHoldTimesUp(t *testing.T) {
	w := begin(func(*batchv1.CronJobSpec) {})
	quota := stage.In(events.Quotas, "few")
	limit := func(n string) {
		w.Apply(quota, `{"metadata":{"name":"few"},"spec":{"hard":{"count/jobs.batch":"`+n+`"}}}`)
	}
	limit("0")
	d := run(t, w, 6*time.Minute) // 03:10:05
	if len(jobs(w)) != 0 || d.WakeAt.After(w.Now.Add(10*time.Second)) {
		t.Fatalf("past the quota: %v, wakes at %v", jobs(w), d.WakeAt)
	}
	if v, ok := w.State.Verdict(key); !ok || !strings.HasSuffix(v.Reasons[0].Said, "is forbidden: exceeded quota: few, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0") {
		t.Errorf("it says %+v", v)
	}
	before := len(w.Log)
	if run(t, w, 0); len(w.Log) != before {
		t.Errorf("said again: %s", w.Log[before].Type)
	}
	w.Apply(key, cronJob(func(s *batchv1.CronJobSpec) { s.Suspend = new(true) }))
	run(t, w, 0)
	if v, ok := w.State.Verdict(key); ok && len(v.Reasons) > 0 {
		t.Errorf("suspended, it still says %+v", v)
	}
	w.Apply(key, cronJob(func(*batchv1.CronJobSpec) {}))
	run(t, w, 0)
	was := w.Get(quota)
	limit("1")
	if keys := (Reconciler{}).Keys(w.State, projections.Change{Key: quota, Before: was, After: w.Get(quota)}); len(keys) != 1 || keys[0] != key {
		t.Errorf("a quota that lets it wakes %v", keys)
	}
	run(t, w, 0)
	if v, ok := w.State.Verdict(key); len(jobs(w)) != 1 || ok && len(v.Reasons) > 0 {
		t.Errorf("with room %v, %+v", jobs(w), v)
	}
}
