package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// own gives a container a restart policy of its own, and rules that start it again after some codes.
func own(c *corev1.Container, policy corev1.ContainerRestartPolicy, codes ...int32) {
	c.RestartPolicy = &policy
	if len(codes) > 0 {
		c.RestartPolicyRules = []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestart,
			ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: corev1.ContainerRestartRuleOnExitCodesOpIn, Values: codes}}}
	}
}

// ownRow is a pod of one container with a policy of its own.
func ownRow(pod corev1.RestartPolicy, policy corev1.ContainerRestartPolicy, codes ...int32) *projections.DesiredPod {
	row := rowOf(pod, "a")
	own(&row.Pod.Spec.Containers[0], policy, codes...)
	return row
}

// What a container says of its restarts goes before what its pod says: also for an end that nobody saw, and after its agent
// was killed, when only what was written down is left.
func TestOwnPolicies(t *testing.T) {
	const again, waits = "ensure image nginx:1.14 (IfNotPresent) for a run 2\n", "report a backoff run 4 (CrashLoopBackOff)\nwake at 2026-03-01T12:00:19Z\n"
	ended := func(code int) Observed { return told(ready("a").Put(exited("a", 1, code, time.Second))) }
	crashed := exited("a", 3, 42, time.Second)
	crashed.Crashes = 2
	remembered := func(code int) Observed { return ended(code).Drop("a", 1) }
	killed := toldOf(ownRow("Always", "Never"), ready("a").Put(sick("a")))
	condemned := killed.Put(exited("a", 1, 137, 0))
	condemned = toldOf(ownRow("Always", "Never"), condemned)
	gone := Observed{}.Tell([]events.Fact{{Kind: events.FactStarted, Container: "a", Run: 1}})
	for _, tt := range []struct {
		name string
		row  *projections.DesiredPod
		o    Observed
		want string
	}{
		{"Always in a pod of Never", ownRow("Never", "Always"), ended(0), again},
		{"Never in a pod of Always", ownRow("Always", "Never"), ended(1), ""},
		{"OnFailure in a pod of Never", ownRow("Never", "OnFailure"), ended(1), again},
		{"OnFailure in a pod of Always, well", ownRow("Always", "OnFailure"), ended(0), ""},
		{"a rule", ownRow("Never", "Never", 42), ended(42), again},
		{"a rule of other codes", ownRow("Never", "Never", 42), ended(1), ""},
		{"the pause grows as for others", ownRow("Never", "Never", 42), told(ready("a").Put(crashed)), waits},
		{"a rule, of an end that was written down", ownRow("Never", "Never", 42), remembered(42), again},
		{"no rule, of an end that was written down", ownRow("Never", "Never", 42), remembered(1), ""},
		{"Never, ended by its probe", ownRow("Always", "Never"), condemned, ""},
		{"a rule of what its kill ends with", ownRow("Always", "Never", 137), condemned, again},
		{"a machine that began anew, Never", ownRow("Always", "Never"), gone, "report a exited run 1 (ContainerStatusUnknown)\n"},
		{"a machine that began anew, Always", ownRow("Never", "Always"), gone, "report a exited run 1 (ContainerStatusUnknown)\nmake sandbox\n"},
		{"a machine that began anew, and a rule of it", ownRow("Never", "Never", 137), gone, "report a exited run 1 (ContainerStatusUnknown)\nmake sandbox\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Decide(tt.row, tt.o, Node{}, t0).String(); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// sick is a run whose liveness probe failed.
func sick(name string) Container {
	c := running(name, 1)
	c.Health.Kill = &Kill{Reason: events.LivenessFailed, Message: "Liveness probe failed: no"}
	return c
}

// A pod is over when none of its containers begins again: its sidecars are ended then, and not before. What prepares it is
// tried again as it says itself.
func TestOwnPoliciesAndTheEndOfAPod(t *testing.T) {
	prepared := func(edit func(*corev1.PodSpec)) *projections.DesiredPod {
		row := withInits("Always")
		edit(&row.Pod.Spec)
		return row
	}
	after := func(row *projections.DesiredPod, code int) Observed {
		return toldOf(row, initialized("Always").Put(running("s", 1)).Put(exited("a", 1, code, time.Second)).Remember("a", func(k *Known) { k.Image = 1 }))
	}
	never := prepared(func(s *corev1.PodSpec) { own(&s.Containers[0], "Never", 42) })
	if got := Decide(never, after(never, 1), Node{}, t0).String(); got != "stop s run 1 within 30s\n" {
		t.Errorf("nothing of it begins again: %s", got)
	}
	if got := Decide(never, after(never, 42), Node{}, t0).String(); got != "ensure image nginx:1.14 (IfNotPresent) for a run 2\n" {
		t.Errorf("a rule begins it again: %s", got)
	}
	failed := ready().Put(exited("i", 1, 1, time.Second)).Remember("i", func(k *Known) { k.Image = 1 })
	once := prepared(func(s *corev1.PodSpec) { own(&s.InitContainers[0], "Never", 42) })
	if got := Decide(once, toldOf(once, failed), Node{}, t0).String(); got != "" {
		t.Errorf("what prepares the pod is tried once: %s", got)
	}
	more := rowOf("Never", "a")
	more.Pod.Spec.InitContainers = withInits("Never").Pod.Spec.InitContainers
	own(&more.Pod.Spec.InitContainers[0], "OnFailure")
	if got := Decide(more, toldOf(more, failed), Node{}, t0).String(); got != "ensure image x:1 (IfNotPresent) for i run 2\n" {
		t.Errorf("what prepares the pod is tried again: %s", got)
	}
}
