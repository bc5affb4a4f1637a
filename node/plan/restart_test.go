package plan

import (
	"slices"
	"strings"
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

// anewRow is a pod with all that a pod can have, whose containers a or s begin all of it anew after 42.
func anewRow(source string) *projections.DesiredPod {
	row := withInits("Never")
	row.Pod.Spec.Containers = append(row.Pod.Spec.Containers, corev1.Container{Name: "b", Image: "nginx:1.14"})
	row.Pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e", Image: "x:1"}}}
	c := Spec(&row.Pod.Spec, source)
	policy := corev1.ContainerRestartPolicyNever
	if c.RestartPolicy != nil {
		policy = *c.RestartPolicy
	}
	own(c, policy, 42)
	c.RestartPolicyRules[0].Action = corev1.ContainerRestartRuleActionRestartAllContainers
	return row
}

// whole is that pod when all of it runs.
func whole(row *projections.DesiredPod) Observed {
	o := initialized("Never").Put(running("a", 1)).Put(running("b", 1)).Put(running("e", 1))
	for _, name := range []string{"i", "s", "j", "a", "b", "e"} {
		o = o.Remember(name, func(k *Known) { k.Image = 9 })
	}
	return toldOf(row, o)
}

// lived does what is decided, one after another, until nothing is left to do at once, and lists it. What prepares the pod ends
// well as soon as it runs. A killed agent has forgotten all but what was written down.
func lived(row *projections.DesiredPod, o Observed, killed bool) (did []string, after Observed) {
	for range 40 {
		d := Decide(row, o, Node{}, t0)
		if len(d.Ops) == 0 {
			break
		}
		did = append(did, d.Ops[0].String())
		switch op := d.Ops[0].(type) {
		case Report:
			o = o.Tell(op.Facts)
		case Stop:
			for _, c := range op.Runs {
				c.Phase, c.Exit = Exited, Exit{Code: 137, Signal: 9, At: t0}
				o = o.Put(c)
			}
		case Remove:
			o = o.Drop(op.Container, op.Run)
		case Start:
			c := Container{Name: op.Container, Run: op.Run, ID: op.String(), Phase: Running, StartedAt: t0, Crashes: op.Crashes}
			if op.Container == "i" || op.Container == "j" {
				c.Phase, c.Exit = Exited, Exit{At: t0}
			}
			o = o.Put(c)
		case Pull:
			o = o.Remember(op.Container, func(k *Known) { k.Image = op.Run })
		}
		if killed {
			for _, c := range o.Containers {
				c.Health = Health{}
				o = o.Adopt(c)
			}
		}
	}
	return did, o
}

// TestAllBeginAnew: a rule of one container ends all others at once, but those that look into the pod, and all of it begins as
// in the beginning, also when the agent is killed at any moment.
func TestAllBeginAnew(t *testing.T) {
	for _, source := range []string{"a", "s"} {
		for _, killed := range []bool{false, true} {
			row := anewRow(source)
			ended := exited(source, 1, 42, time.Second)
			did, after := lived(row, whole(row).Put(ended), killed)
			others := "s run 1, a run 1, b run 1"
			others = strings.Join(slices.DeleteFunc(strings.Split(others, ", "), func(s string) bool { return strings.HasPrefix(s, source) }), ", ")
			all := strings.Join(did, "\n")
			for _, want := range []string{
				"report " + source + " exited run 1 (Error)\nreport " + source + " anew run 1\n",
				"stop " + others + " within 0s\n",
				"b killing run 1 (RestartingAllContainers)", "b exited run 1 (RestartingAllContainers)",
				"start i run 2\nreport i started run 2, i exited run 2 (Completed)\n",
				"start s run 2\n", "start j run 2\n", "start a run 2\n", "start b run 2\n",
			} {
				if strings.Count(all, want) == 0 {
					t.Errorf("%s, agent killed %v: not %q in\n%s", source, killed, want, all)
				}
			}
			order := []string{"stop ", "start i", "start s", "start j", "start a", "start b"}
			last := -1
			for _, word := range order {
				at := slices.IndexFunc(did, func(s string) bool { return strings.HasPrefix(s, word) })
				if at < last || strings.Count(all, "\n"+word) != 1 {
					t.Errorf("%s: %q is done at another time, or twice:\n%s", source, word, all)
				}
				last = at
			}
			if e, _ := after.Newest("e"); e.Run != 1 || e.Phase != Running {
				t.Errorf("who looks in was ended: %+v", e)
			}
			if strings.Contains(all, "backoff") {
				t.Errorf("somebody waits after a first end:\n%s", all)
			}
		}
	}
}

// Only who begins all of it anew waits, longer and longer: the others have done nothing.
func TestWhoBeginsAllAnewWaits(t *testing.T) {
	row := anewRow("a")
	o := whole(row)
	for run, until := range []time.Time{{}, t0.Add(FirstBackoff), t0.Add(2 * FirstBackoff)} {
		c, _ := o.Newest("a")
		c.Phase, c.Exit, c.StartedAt = Exited, Exit{Code: 42, At: t0}, t0
		o = o.Put(c)
		var did []string
		did, o = lived(row, o, false)
		d := Decide(row, o, Node{}, t0)
		if !d.WakeAt.Equal(until) {
			t.Fatalf("end %d: waits until %s, not %s", run+1, d.WakeAt, until)
		}
		if n := strings.Count(strings.Join(did, "\n"), "backoff"); n > 1 || (n == 0) != until.IsZero() {
			t.Fatalf("end %d: who else waits?\n%s", run+1, strings.Join(did, "\n"))
		}
		if b, _ := o.Newest("b"); b.Run != run+2 || b.Phase != Running {
			t.Fatalf("end %d: %+v", run+1, b)
		}
		if a, _ := o.Newest("a"); !until.IsZero() { // and then it runs
			o = o.Put(Container{Name: "a", Run: a.Run + 1, ID: "x", Phase: Running, StartedAt: t0, Crashes: a.Crashes + 1})
			o = toldOf(row, o)
		}
	}
}

// Who is about to begin for the first time does so before all begin anew, as with a kubelet; who waits for an image holds up
// nobody. Meanwhile the one that asked for it is not started by itself.
func TestWhoIsAboutToBeginComesFirst(t *testing.T) {
	row := anewRow("a")
	began := initialized("Never").Put(running("a", 1)).Remember("b", func(k *Known) { k.Image = 1 })
	o := toldOf(row, toldOf(row, began).Put(exited("a", 1, 42, 0)))
	o = o.Put(exited("e", 1, 0, 0))
	o = toldOf(row, o)
	if got := Decide(row, o, Node{}, t0).String(); got != "start b run 1\n" {
		t.Errorf("b begins first: %s", got)
	}
	side := anewRow("s")
	alone := toldOf(side, toldOf(side, began.Put(running("e", 1))).Put(exited("s", 1, 42, 0)))
	if got := Decide(side, alone, Node{}, t0).String(); got != "start b run 1\n" {
		t.Errorf("b begins first, and the sidecar not by itself: %s", got)
	}
	waits := o.Remember("b", func(k *Known) { k.Waiting = "ImagePullBackOff: no" })
	if got := Decide(row, waits, Node{}, t0).Ops[0].String(); got != "report a anew run 1" {
		t.Errorf("b waits: %s", got)
	}
	if got := Decide(row, toldOf(row, o.Put(running("b", 1))), Node{}, t0).String(); got != "stop s run 1, b run 1 within 0s\n" {
		t.Errorf("b has begun: %s", got)
	}
}

// A pod that is over does not begin anew when the sidecar that it ends has such a rule.
func TestNothingBeginsAnewAtTheEnd(t *testing.T) {
	row := anewRow("s")
	o := toldOf(row, whole(row).Put(exited("a", 1, 0, time.Second)).Put(exited("b", 1, 0, time.Second)).Put(exited("e", 1, 0, time.Second)))
	if got := Decide(row, o, Node{}, t0).String(); got != "stop s run 1 within 30s\n" {
		t.Fatalf("it is over: %s", got)
	}
	o = toldOf(row, o.Put(exited("s", 1, 42, 0)))
	if got := Decide(row, o, Node{}, t0).String(); got != "" {
		t.Errorf("and stays so: %s", got)
	}
}

// A run that counts no more prepares nothing, however it ends, or comes up at last.
func TestWhatCountsNoMorePreparesNothing(t *testing.T) {
	began := []events.Fact{{Kind: events.FactStarted, Container: "i", Run: 1}, {Kind: events.FactAnew, Container: "s", Run: 1}}
	for _, after := range []events.Fact{{Kind: events.FactExited, Container: "i", Run: 1}, {Kind: events.FactUp, Container: "i", Run: 1}} {
		o := Observed{}.Tell(append(slices.Clone(began), after))
		if k := o.Known["i"]; k.Done || k.Rose || !k.Void {
			t.Errorf("%s: %+v", after.Kind, k)
		}
		again := after
		again.Run = 2
		for _, facts := range [][]events.Fact{{{Kind: events.FactStarted, Container: "i", Run: 2}, again}, {again}} {
			if k := o.Tell(facts).Known["i"]; again.Kind == events.FactExited && (!k.Done || k.Void) || len(facts) == 2 && !k.Done {
				t.Errorf("%s of the next run: %+v", again.Kind, k)
			}
		}
	}
}
