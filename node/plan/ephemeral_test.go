package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// An ephemeral container begins beside what runs, once, when there are the processes that it is to see, and nobody waits for it.
func TestEphemeralContainersRunOnce(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{TargetContainerName: "a",
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "look", Image: "busybox:1"}}}
	begun := ready("a").Put(running("a", 1))
	asks := ready("a", "look").Put(running("a", 1))
	asks = toldOf(row, asks)
	over := exited("look", 1, 3, time.Hour)
	for _, tt := range []struct {
		name string
		o    Observed
		want string
	}{
		{"its image", toldOf(row, begun), "ensure image busybox:1 (IfNotPresent) for look run 1\n"},
		{"beside what runs", asks, "start look run 1\n"},
		{"it runs: no word of readiness", asks.Put(running("look", 1)), "report look started run 1\n"},
		{"it ended", asks.Put(over), "report look started run 1, look exited run 1 (Error)\n"},
		{"and does not begin again", toldOf(row, asks.Put(over)), ""},
		{"nor when nothing is left of it", toldOf(row, asks.Put(over)).Drop("look", 1), ""},
		{"what it is to see does not run", toldOf(row, ready("a", "look").Put(exited("a", 1, 1, time.Second))),
			"ensure image nginx:1.14 (IfNotPresent) for a run 2\n"},
	} {
		if got := Decide(row, tt.o, Node{}, t0).String(); got != tt.want {
			t.Errorf("%s:\n%swant\n%s", tt.name, got, tt.want)
		}
	}
	waits := toldOf(row, ready("a", "look").Put(exited("a", 1, 1, time.Second))).Known["look"].Waiting
	if waits != "CreateContainerConfigError: target container a does not run" {
		t.Errorf("it waits for %q", waits)
	}
	lost := *row
	lost.Runs = map[string]int{"look": 1}
	if got := Decide(&lost, toldOf(row, begun), Node{}, t0).String(); got != "report look exited run 1 (ContainerStatusUnknown)\n" {
		t.Errorf("the log knows of a run that the node forgot:\n%s", got)
	}
	never := rowOf(corev1.RestartPolicyNever, "a")
	never.Pod.Spec.EphemeralContainers = row.Pod.Spec.EphemeralContainers
	done := toldOf(never, ready("a", "look").Put(exited("a", 1, 0, time.Second)).Put(running("look", 1)))
	if got := Decide(never, done, Node{}, t0).String(); got != "stop look run 1 within 30s\n" {
		t.Errorf("of a pod that is over:\n%s", got)
	}
}
