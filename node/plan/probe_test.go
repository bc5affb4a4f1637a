package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

func probed(r Role, p corev1.Probe) *corev1.Container {
	c := &corev1.Container{Name: "a", Image: "nginx:1.14"}
	switch r {
	case Startup:
		c.StartupProbe = &p
	case Readiness:
		c.ReadinessProbe = &p
	default:
		c.LivenessProbe = &p
	}
	return c
}

// played is what a track does with outcomes, one a line: when it probes after the start, and what follows. In outcomes + is
// a success, ! one that is odd, - a failure, ? a probe that could not be made; each takes no time.
func played(r Role, p corev1.Probe, passed bool, outcomes string) string {
	t := NewTrack(probed(r, p), r, t0, passed, t0)
	var b strings.Builder
	for i, o := range outcomes {
		began, before := t.Due, t
		out := Outcome{OK: o == '+' || o == '!', Errored: o == '?'}
		if o != '+' {
			out.Words = fmt.Sprint("w", i)
		}
		t = t.Note(out, began)
		fmt.Fprintf(&b, "%s %c", began.Sub(t0), o)
		if t.Passed != before.Passed {
			fmt.Fprintf(&b, " passed=%v", t.Passed)
		}
		if t.Failed != before.Failed {
			fmt.Fprintf(&b, " failed=%v", t.Failed)
		}
		if t.Words != before.Words {
			fmt.Fprintf(&b, " %q", t.Words)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestTrack(t *testing.T) {
	probe := func(delay, period, success, failure int32) corev1.Probe {
		return corev1.Probe{InitialDelaySeconds: delay, PeriodSeconds: period, SuccessThreshold: success, FailureThreshold: failure}
	}
	for _, tt := range []struct {
		name     string
		role     Role
		probe    corev1.Probe
		passed   bool
		outcomes string
		want     string
	}{
		{"readiness is found early", Readiness, probe(0, 10, 1, 3), false, "---+-", "0s -\n100ms -\n300ms -\n700ms + passed=true\n10.7s -\n"},
		{"who does not answer soon is told of", Readiness, probe(0, 10, 1, 3), false, "------", "0s -\n100ms -\n300ms -\n700ms -\n1.5s - \"Readiness probe failed: w4\"\n3.1s -\n"},
		{"early failures count for nothing", Startup, probe(0, 1, 1, 2), false, "-----", "0s -\n100ms -\n300ms -\n700ms -\n1s - \"Startup probe failed: w4\"\n"},
		{"a startup probe gives up at its threshold", Startup, probe(0, 1, 1, 2), false, "------", "0s -\n100ms -\n300ms -\n700ms -\n1s - \"Startup probe failed: w4\"\n" +
			"2s - failed=true \"Startup probe failed: w5\"\n"},
		{"the delay holds early ones back", Readiness, probe(5, 10, 1, 1), false, "-+", "5s - failed=true \"Readiness probe failed: w0\"\n5.1s + passed=true failed=false \"\"\n"},
		{"ready needs failures in a row to be lost", Readiness, probe(0, 10, 1, 2), true, "-+--+", "10s -\n20s +\n30s -\n40s - passed=false failed=true \"Readiness probe failed: w3\"\n" +
			"50s + passed=true failed=false \"\"\n"},
		{"and successes to be won", Readiness, probe(0, 1, 2, 1), true, "-+-++", "1s - passed=false failed=true \"Readiness probe failed: w0\"\n2s +\n" +
			"3s - \"Readiness probe failed: w2\"\n4s +\n5s + passed=true failed=false \"\"\n"},
		{"words come again ever more rarely", Readiness, probe(1, 1, 1, 3), true, "--------", "1s -\n2s -\n3s - passed=false failed=true \"Readiness probe failed: w2\"\n" +
			"4s - \"Readiness probe failed: w3\"\n5s -\n6s -\n7s -\n8s - \"Readiness probe failed: w7\"\n"},
		{"liveness begins a period after the start", Liveness, probe(0, 10, 1, 2), false, "-+--", "10s -\n20s +\n30s -\n40s - passed=false failed=true \"Liveness probe failed: w3\"\n"},
		{"or after its delay", Liveness, probe(3, 10, 1, 1), false, "-", "3s - passed=false failed=true \"Liveness probe failed: w0\"\n"},
		{"what could not be asked changes nothing", Liveness, probe(1, 1, 1, 1), false, "?+", "1s ? \"Liveness probe errored: w0\"\n2s + \"\"\n"},
		{"the words of a warning stand", Liveness, probe(1, 1, 1, 3), false, "!!+!-", "1s ! \"Liveness probe warning: w0\"\n2s !\n3s + \"\"\n4s ! \"Liveness probe warning: w3\"\n5s -\n"},
		{"a ready container stays ready", Readiness, probe(1, 1, 1, 1), true, "+?", "1s +\n2s ?\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := played(tt.role, tt.probe, tt.passed, tt.outcomes); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// Whatever the outcomes: nothing is decided before its threshold, and no early failure decides anything.
func TestTrackKeepsItsThresholds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int32 { return int32(rapid.IntRange(0, 4).Draw(t, name)) }
		p := corev1.Probe{InitialDelaySeconds: n("delay"), PeriodSeconds: n("period"), SuccessThreshold: n("success"), FailureThreshold: n("failure")}
		role := rapid.SampledFrom([]Role{Startup, Readiness, Liveness}).Draw(t, "role")
		tr := NewTrack(probed(role, p), role, t0, rapid.Bool().Draw(t, "passed"), t0)
		row, last, first := 0, true, t0.Add(tr.period())
		for range 30 {
			ok, began := rapid.Bool().Draw(t, "ok"), tr.Due
			before := tr
			tr = tr.Note(Outcome{OK: ok, Words: "w"}, began)
			if !tr.Due.After(began) || tr.Due.Sub(began) > tr.period() {
				t.Fatalf("from %s to %s with a period of %s", began, tr.Due, tr.period())
			}
			if row++; ok != last {
				row, last = 1, ok
			}
			if tr.Passed && !before.Passed && (!ok || row < int(p.SuccessThreshold)) {
				t.Fatal("passed too soon")
			}
			if tr.Failed && !before.Failed && (ok || row < int(p.FailureThreshold) || p.InitialDelaySeconds == 0 && began.Before(first)) {
				t.Fatal("failed too soon")
			}
		}
	})
}

func TestHealthIsToldOnce(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Pod.Spec.Containers[0] = *probed(Readiness, corev1.Probe{})
	row.Pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{}
	o := ready("a").Put(running("a", 1))
	say := func(want string) {
		t.Helper()
		d := Decide(row, o, Node{}, t0)
		if got := d.String(); got != want {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
		for _, op := range d.Ops {
			if r, ok := op.(Report); ok {
				o = o.Tell(r.Facts)
			}
		}
	}
	say("report a started run 1\n")
	say("")
	o = o.Heed("c", Track{Role: Readiness, Words: "Readiness probe failed: no"})
	say("report a unhealthy run 1 (Unhealthy)\n")
	o = o.Heed("c", Track{Role: Readiness, Passed: true})
	say("report a ready run 1\n")
	say("")
	o = o.Heed("c", Track{Role: Liveness, Passed: true, Words: "Liveness probe warning: odd"})
	say("report a unhealthy run 1 (ProbeWarning)\n")
	say("")
	ending, late := stopping(row, time.Minute), o
	late.Told.Stopping = true
	if got := Decide(ending, late, Node{}, t0).String(); got != "stop a run 1 within 1m0s\n" {
		t.Errorf("it ends, and is as ready as before: %s", got)
	}
	late = late.Heed("c", Track{Role: Readiness, Failed: true, Words: "Readiness probe failed: closed"})
	if got := Decide(ending, late, Node{}, t0).String(); got != "report a unready run 1 (Unhealthy)\nstop a run 1 within 1m0s\n" {
		t.Errorf("it ends, and takes no more work: %s", got)
	}
	again := ready().Adopt(Container{}) // what an agent finds that starts again
	again.Known = o.Known
	if c := again.Adopt(running("a", 1)).Containers[1]; !c.Health.Ready {
		t.Error("a ready container is not ready after a restart of its agent")
	}
	o = o.Heed("c", Track{Role: Readiness, Failed: true, Words: "Readiness probe failed: gone"})
	say("report a unready run 1 (Unhealthy)\n")
	o = o.Heed("c", Track{Role: Readiness, Passed: true})
	say("report a ready run 1\n")
	grace := int64(7)
	o = o.Heed("c", Track{Role: Liveness, Failed: true, Words: "Liveness probe failed: dead", Probe: corev1.Probe{TerminationGracePeriodSeconds: &grace}})
	say("report a unready run 1, a killing run 1 (LivenessProbe)\nstop a run 1 within 7s\n")
	say("stop a run 1 within 7s\n")
	killed := ready().Adopt(Container{})
	killed.Known = o.Known
	if k := killed.Adopt(running("a", 1)).Containers[1].Health.Kill; k == nil || k.Reason != events.LivenessFailed || *k.Grace != 7 {
		t.Errorf("an agent that starts again has forgotten whom it was about to end: %+v", k)
	}
	o = o.Put(exited("a", 1, 0, time.Second))
	say("report a exited run 1 (Completed)\nensure image nginx:1.14 (IfNotPresent) for a run 2\n")
	row.Pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	if got := Decide(row, o, Node{}, t0).String(); !strings.Contains(got, "run 2") {
		t.Errorf("who was ended has not succeeded, whatever its code: %s", got)
	}
	row.Pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	if got := Decide(row, o, Node{}, t0).String(); got != "" {
		t.Errorf("who is never started again: %s", got)
	}
}

// withInits is a pod of a, prepared by i and j, with the sidecar s between them.
func withInits(policy corev1.RestartPolicy) *projections.DesiredPod {
	row := rowOf(policy, "a")
	always := corev1.ContainerRestartPolicyAlways
	row.Pod.Spec.InitContainers = []corev1.Container{{Name: "i", Image: "x:1"}, {Name: "s", Image: "x:1", RestartPolicy: &always}, {Name: "j", Image: "x:1"}}
	return row
}

func TestInitContainers(t *testing.T) {
	always, never := corev1.RestartPolicyAlways, corev1.RestartPolicyNever
	images := ready("i", "s", "j", "a")
	for _, tt := range []struct {
		name string
		row  *projections.DesiredPod
		o    Observed
		want string
	}{
		{"the first alone", withInits(always), images, "start i run 1\n"},
		{"while it runs, nothing", withInits(always), toldOf(withInits(always), images.Put(running("i", 1))), ""},
		{"done, the sidecar", withInits(always), toldOf(withInits(always), images.Put(exited("i", 1, 0, time.Second))), "start s run 1\n"},
		{"failed, it is tried again", withInits(always), toldOf(withInits(always), images.Put(exited("i", 1, 3, time.Second))), "ensure image x:1 (IfNotPresent) for i run 2\n"},
		{"failed, and never tried again", withInits(never), toldOf(withInits(never), images.Put(exited("i", 1, 3, time.Second))), ""},
		{"the sidecar is up, the next", withInits(always), toldOf(withInits(always), images.Put(exited("i", 1, 0, time.Second)).Put(running("s", 1))), "start j run 1\n"},
		{"all are done", withInits(always), initialized(always), "start a run 1\n"},
		{"a sidecar ends, it and the pod go on", withInits(always), toldOf(withInits(always), initialized(always).Put(running("a", 1)).Put(exited("s", 1, 0, time.Second))),
			"ensure image x:1 (IfNotPresent) for s run 2\n"},
		{"all has ended, the sidecar too", withInits(never), toldOf(withInits(never), initialized(never).Put(exited("a", 1, 0, time.Second))), "stop s run 1 within 30s\n"},
		{"a new room is prepared anew", withInits(always), ready("i", "s", "j", "a").Afresh().tellAll(initialized(always)), "report s exited run 1 (ContainerStatusUnknown)\nwrite volumes\n"},
		{"a stop ends the sidecar last", stopping(withInits(always), time.Minute), withTold(toldOf(withInits(always), initialized(always).Put(running("a", 1)))),
			"stop a run 1 within 1m0s\n"},
		{"when the others are gone", stopping(withInits(always), time.Minute), withTold(toldOf(withInits(always), initialized(always).Put(exited("a", 1, 0, 0)))),
			"stop s run 1 within 1m0s\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Decide(tt.row, tt.o, Node{}, t0).String(); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// TestSidecarThatEndsTooEarly: the next one waits until it was up, whatever its code. Then it need not be so again.
func TestSidecarThatEndsTooEarly(t *testing.T) {
	row := withInits(corev1.RestartPolicyAlways)
	row.Pod.Spec.InitContainers[1].StartupProbe = &corev1.Probe{}
	o := toldOf(row, ready("i", "s", "j", "a").Put(exited("i", 1, 0, time.Second)).Put(running("s", 1)))
	if got := Decide(row, toldOf(row, o.Put(exited("s", 1, 0, time.Second))), Node{}, t0).String(); got != "ensure image x:1 (IfNotPresent) for s run 2\n" {
		t.Errorf("it ended before it was up:\n%s", got)
	}
	up := running("s", 1)
	up.Health.Up = true
	o = toldOf(row, toldOf(row, o.Put(up)).Put(exited("s", 1, 0, time.Second)))
	if got := Decide(row, o, Node{}, t0).String(); got != "ensure image x:1 (IfNotPresent) for s run 2\nstart j run 1\n" {
		t.Errorf("it was up before it ended:\n%s", got)
	}
	if got := Decide(row, o.Afresh(), Node{}, t0).String(); strings.Contains(got, " j ") {
		t.Errorf("in another room:\n%s", got)
	}
}

// A sidecar is told to end when the others have, which may take all of the pod's time: it gets a moment all the same.
func TestSidecarsEndInPeace(t *testing.T) {
	o := withTold(toldOf(withInits(corev1.RestartPolicyAlways), initialized(corev1.RestartPolicyAlways).Put(exited("a", 1, 137, 0))))
	for grace, want := range map[time.Duration]string{-time.Second: "stop s run 1 within 2s\n", time.Minute: "stop s run 1 within 1m0s\n"} {
		if got := Decide(stopping(withInits(corev1.RestartPolicyAlways), grace), o, Node{}, t0).String(); got != want {
			t.Errorf("%s left: %s, want %s", grace, got, want)
		}
	}
}

// initialized is a pod of withInits whose preparation is done.
func initialized(policy corev1.RestartPolicy) Observed {
	row := withInits(policy)
	o := toldOf(row, ready("i", "s", "j", "a").Put(exited("i", 1, 0, time.Second)).Put(running("s", 1)))
	return toldOf(row, o.Put(exited("j", 1, 0, time.Second)))
}

func toldOf(row *projections.DesiredPod, o Observed) Observed {
	for range 3 {
		for _, op := range Decide(row, o, Node{}, t0).Ops {
			if r, ok := op.(Report); ok {
				o = o.Tell(r.Facts)
			}
		}
	}
	return o
}

func (o Observed) tellAll(from Observed) Observed {
	o.Known = from.Known
	return o.Afresh()
}
