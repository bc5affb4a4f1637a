package job

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers/birth"
)

func exits(action batchv1.PodFailurePolicyAction, codes ...int32) batchv1.PodFailurePolicyRule {
	return batchv1.PodFailurePolicyRule{Action: action, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: codes}}
}

func policy(rules ...batchv1.PodFailurePolicyRule) *batchv1.PodFailurePolicy {
	return &batchv1.PodFailurePolicy{Rules: rules}
}

func TestFailurePolicyFailsTheJob(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) {
		s.Completions, s.Parallelism = n(3), n(2)
		s.PodFailurePolicy = policy(exits(batchv1.PodFailurePolicyActionCount, 2), exits(batchv1.PodFailurePolicyActionFailJob, 42))
	})
	o := b.live()[0]
	b.end(o, 42)
	b.want("active 0, terminating 1, succeeded 0, failed 1, FailureTarget:PodFailurePolicy")
	if c := b.status().Conditions[0]; c.Message != "Container c for pod default/"+o.Key.Name+" failed with exit code 42 matching FailJob rule at index 1" {
		t.Error(c.Message)
	}
	for _, o := range b.Pods() {
		b.Stopped(o)
	}
	b.settle()
	b.want("active 0, terminating 0, succeeded 0, failed 2, FailureTarget:PodFailurePolicy Failed:PodFailurePolicy")
}

func TestFailurePolicyIgnores(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) {
		s.BackoffLimit = n(0)
		s.PodFailurePolicy = policy(exits(batchv1.PodFailurePolicyActionIgnore, 7), batchv1.PodFailurePolicyRule{Action: batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: "Special"}}})
	})
	for range 3 {
		b.end(b.live()[0], 7)
		b.want("active 1, terminating 0, succeeded 0, failed 0") // and again at once
	}
	o := b.live()[0]
	b.Do(statusOf(o, `{"conditions":[{"type":"Special","status":"True"}]}`))
	b.end(b.Get(o.Key), 1)
	b.want("active 1, terminating 0, succeeded 0, failed 0")
	b.end(b.live()[0], 1)
	b.want("active 0, terminating 0, succeeded 0, failed 1, FailureTarget:BackoffLimitExceeded Failed:BackoffLimitExceeded")
}

func TestFailurePolicyFailsAnIndex(t *testing.T) {
	b := begin(t, indexed(func(s *batchv1.JobSpec) {
		s.BackoffLimitPerIndex = n(5)
		s.PodFailurePolicy = policy(exits(batchv1.PodFailurePolicyActionFailIndex, 3))
	}))
	b.end(b.at(2), 3)
	b.pass(time.Hour)
	b.want("active 3, terminating 0, succeeded 0, failed 1, lost 2")
}

func TestSuccessPolicy(t *testing.T) {
	some, two := "1-2", int32(1)
	for name, c := range map[string]struct {
		rule batchv1.SuccessPolicyRule
		ends []int
	}{
		"these indexes":     {batchv1.SuccessPolicyRule{SucceededIndexes: &some}, []int{0, 2, 1}},
		"one of these":      {batchv1.SuccessPolicyRule{SucceededIndexes: &some, SucceededCount: &two}, []int{3, 2}},
		"so many of all":    {batchv1.SuccessPolicyRule{SucceededCount: &two}, []int{3}},
		"by the second one": {batchv1.SuccessPolicyRule{SucceededCount: n(4)}, []int{3, 2, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			b := begin(t, indexed(func(s *batchv1.JobSpec) {
				s.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{c.rule}}
			}))
			if name == "by the second one" {
				j := job(indexed(func(s *batchv1.JobSpec) {
					s.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{c.rule, {SucceededCount: n(3)}}}
				}))
				b.write(j)
			}
			for _, i := range c.ends {
				if b.status().Conditions != nil {
					t.Fatal("too soon: " + b.told())
				}
				b.end(b.at(i), 0)
			}
			if !strings.Contains(b.told(), "SuccessCriteriaMet:SuccessPolicy") || len(b.live()) != 0 || strings.Contains(b.told(), "Complete") {
				t.Error(b.told())
			}
			for _, o := range b.Pods() {
				b.Stopped(o)
			}
			if b.settle(); !strings.Contains(b.told(), "Complete:SuccessPolicy") {
				t.Error(b.told())
			}
		})
	}
}

func TestSuspend(t *testing.T) {
	yes := true
	b := begin(t, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism, s.Suspend = n(4), n(2), &yes })
	b.want("active 0, terminating 0, succeeded 0, failed 0, Suspended:JobSuspended")
	if b.status().StartTime != nil {
		t.Error("it has begun")
	}
	b.pass(time.Minute)
	b.write(job(func(s *batchv1.JobSpec) {
		s.Completions, s.Parallelism, s.ActiveDeadlineSeconds = n(4), n(2), new(int64(100))
	}))
	b.settle()
	b.want("active 2, terminating 0, succeeded 0, failed 0")
	if st := b.status(); !st.StartTime.Time.Equal(b.Now) || st.Conditions[0].Status != corev1.ConditionFalse || st.Conditions[0].Reason != "JobResumed" {
		t.Errorf("%+v", st)
	}
	b.pass(90 * time.Second)
	b.write(job(func(s *batchv1.JobSpec) { s.Completions, s.Parallelism, s.Suspend = n(4), n(2), &yes }))
	b.settle()
	b.want("active 0, terminating 2, succeeded 0, failed 0, Suspended:JobSuspended") // what it took away itself has not failed
	b.pass(time.Hour)
	b.write(job(func(s *batchv1.JobSpec) {
		s.Completions, s.Parallelism, s.ActiveDeadlineSeconds = n(4), n(2), new(int64(100))
	}))
	b.settle()
	b.want("active 2, terminating 2, succeeded 0, failed 0")
	b.pass(100 * time.Second)
	b.want("active 0, terminating 4, succeeded 0, failed 2, FailureTarget:DeadlineExceeded")
}

func TestTimeAfterTheEnd(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.TTLSecondsAfterFinished = n(60) })
	b.end(b.live()[0], 0)
	if d := b.pass(59 * time.Second); b.Get(b.k).Deletion != nil || !d.WakeAt.Equal(b.Now.Add(time.Second)) {
		t.Errorf("asked to go too soon, or wakes at %v", d.WakeAt)
	}
	if b.pass(time.Second); b.Get(b.k).Deletion == nil || !b.Get(b.k).Deletion.Foreground {
		t.Error("it stays")
	}
}

// Pods that people take away count as failed: at once, or when they are at their end.
func TestPodsTakenAway(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) {})
	b.Delete(b.live()[0].Key)
	b.settle()
	b.want("active 0, terminating 1, succeeded 0, failed 1")
	b.pass(failBase)
	b.want("active 1, terminating 1, succeeded 0, failed 1")

	waits := batchv1.Failed
	b = begin(t, func(s *batchv1.JobSpec) { s.PodReplacementPolicy = &waits })
	o := b.live()[0]
	b.Delete(o.Key)
	b.pass(time.Minute)
	b.want("active 0, terminating 1, succeeded 0, failed 0")
	b.Stopped(b.Get(o.Key))
	b.pass(failBase)
	b.want("active 1, terminating 0, succeeded 0, failed 1")
}

// A pod that is removed before anybody heard of its end has failed; one whose end
// is known counts as that, and goes on doing so when it is gone.
func TestEndsAreNotLost(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = n(3), n(2) })
	first, second := b.live()[0], b.live()[1]
	b.See(first, events.Fact{Kind: events.FactExited, Container: "c", Run: 1})
	b.remove(first)
	b.remove(second)
	b.pass(failBase)
	b.want("active 2, terminating 0, succeeded 1, failed 1")
}

// A container that cannot begin has failed, as its pod's phase says.
func TestCannotBegin(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.Suspend = new(true) })
	b.write(job(func(s *batchv1.JobSpec) {}))
	if _, err := b.Run(Reconciler{}, b.k); err != nil {
		t.Fatal(err)
	}
	o := b.Pods()[0]
	b.Assign(o, "n1")
	b.See(o, events.Fact{Kind: events.FactNotStarted, Container: "c", Run: 1, Code: 128, Reason: "StartError", Message: "no such command"})
	b.settle()
	b.want("active 0, terminating 0, succeeded 0, failed 1")
}

// Restarts in their place count too.
func TestRestarts(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) {
		s.Template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
		s.BackoffLimit = n(2)
	})
	o := b.live()[0]
	for run := 1; run <= 2; run++ {
		b.See(o, events.Fact{Kind: events.FactExited, Container: "c", Run: run, Code: 1}, events.Fact{Kind: events.FactStarted, Container: "c", Run: run + 1})
		b.settle()
	}
	b.want("active 0, terminating 1, succeeded 0, failed 1, FailureTarget:BackoffLimitExceeded")
}

func TestAdoptsAndReleases(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = n(2), n(2) })
	o := b.live()[0]
	b.Do(ownerless(o))
	if b.Get(o.Key).Owner != nil {
		t.Fatal("the test does not take the owner away")
	}
	if b.settle(); b.Get(o.Key).Owner == nil || b.Get(o.Key).Owner.UID != b.Get(b.k).UID || len(b.Pods()) != 2 {
		t.Errorf("not adopted: %+v, %d pods", b.Get(o.Key).Owner, len(b.Pods()))
	}
	b.Do(relabelled(b.Get(o.Key)))
	if b.settle(); b.Get(o.Key).Owner != nil || len(b.Pods()) != 3 {
		t.Errorf("not released: %+v, %d pods", b.Get(o.Key).Owner, len(b.Pods()))
	}
}

func TestManualSelector(t *testing.T) {
	yes := true
	b := begin(t, func(s *batchv1.JobSpec) {
		s.ManualSelector, s.Selector = &yes, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "pi"}}
	})
	if has := b.live()[0].PodLabels(); len(has) != 1 || has["app"] != "pi" {
		t.Errorf("labels %v", has)
	}
}

func TestManagedElsewhere(t *testing.T) {
	other := "example.com/queue"
	b := begin(t, func(s *batchv1.JobSpec) { s.ManagedBy = &other })
	if d := b.settle(); len(b.Pods()) != 0 || d.Because[0].Code != "ManagedBy" || b.status().StartTime != nil {
		t.Errorf("%d pods, %+v", len(b.Pods()), d)
	}
}

// A queue of unknown length: the first pod that succeeds says that it is empty.
func TestQueue(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.Parallelism = n(3) })
	b.end(b.live()[0], 1)
	b.pass(failBase)
	b.want("active 3, terminating 0, succeeded 0, failed 1")
	b.end(b.live()[0], 0)
	b.want("active 2, terminating 0, succeeded 1, failed 1")
	b.end(b.live()[0], 1)
	b.end(b.live()[0], 0)
	b.want("active 0, terminating 0, succeeded 2, failed 2, SuccessCriteriaMet:CompletionsReached Complete:CompletionsReached")
}

func TestFewerAtATime(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = n(5), n(4) })
	b.write(job(func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = n(5), n(1) }))
	b.settle()
	b.want("active 1, terminating 3, succeeded 0, failed 0")
}

// What stands before pods is asked about each, and what it says is told once.
func TestGuarded(t *testing.T) {
	b := begin(t, func(s *batchv1.JobSpec) { s.Suspend = new(true) })
	b.write(job(func(s *batchv1.JobSpec) {}))
	r := Reconciler{Guards: guarding("no")}
	d, err := b.Run(r, b.k)
	if err != nil || len(b.Pods()) != 0 || !d.WakeAt.Equal(b.Now.Add(birth.Again)) {
		t.Fatalf("%d pods, wakes at %v: %v", len(b.Pods()), d.WakeAt, err)
	}
	if v, ok := b.State.Verdict(b.k); !ok || v.Reasons[0].Code != events.FailedCreate || v.Reasons[0].Said != "no" {
		t.Errorf("%+v", v)
	}
	if _, err := b.Run(Reconciler{Guards: guarding("")}, b.k); err != nil || len(b.Pods()) != 1 {
		t.Errorf("%d pods: %v", len(b.Pods()), err)
	}
	if v, ok := b.State.Verdict(b.k); ok && len(v.Reasons) > 0 {
		t.Errorf("%+v", v)
	}
}

// A pod that is adopted by a Job that wants none is written once a decision: adopted, and then asked to go.
func TestAdoptsWhatHasToGo(t *testing.T) {
	spec := func(s *batchv1.JobSpec) { s.Completions, s.Parallelism = n(2), n(2) }
	b := begin(t, spec)
	o := b.live()[0]
	b.Do(ownerless(o))
	yes := true
	b.write(job(func(s *batchv1.JobSpec) { spec(s); s.Suspend = &yes }))
	if b.settle(); b.Get(o.Key).Owner == nil || len(b.live()) != 0 {
		t.Errorf("owner %v, %d live", b.Get(o.Key).Owner, len(b.live()))
	}
}
