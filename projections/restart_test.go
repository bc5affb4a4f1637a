package projections_test

import (
	"fmt"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

const (
	in    = corev1.ContainerRestartRuleOnExitCodesOpIn
	notIn = corev1.ContainerRestartRuleOnExitCodesOpNotIn
)

func rule(op corev1.ContainerRestartRuleOnExitCodesOperator, codes ...int32) corev1.ContainerRestartRule {
	return corev1.ContainerRestartRule{Action: corev1.ContainerRestartRuleActionRestart, ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: op, Values: codes}}
}

// What follows an end: a container's rules, then its policy, then its pod's.
func TestSequels(t *testing.T) {
	const stays, restarts = projections.Stays, projections.Restarts
	all := func(r corev1.ContainerRestartRule) corev1.ContainerRestartRule {
		r.Action = corev1.ContainerRestartRuleActionRestartAllContainers
		return r
	}
	for _, c := range []struct {
		name     string
		pod, own string
		rules    []corev1.ContainerRestartRule
		code     int
		killed   bool
		want     projections.Sequel
	}{
		{"no word of the pod", "", "", nil, 0, false, restarts},
		{"the pod's Always", "Always", "", nil, 0, false, restarts},
		{"the pod's OnFailure, well", "OnFailure", "", nil, 0, false, stays},
		{"the pod's OnFailure, ended by a probe", "OnFailure", "", nil, 0, true, restarts},
		{"the pod's OnFailure, failed", "OnFailure", "", nil, 3, false, restarts},
		{"the pod's Never", "Never", "", nil, 3, false, stays},
		{"the pod's Never, ended by a probe", "Never", "", nil, 137, true, stays},
		{"Always in a pod of Never", "Never", "Always", nil, 0, false, restarts},
		{"Never in a pod of Always", "Always", "Never", nil, 1, false, stays},
		{"OnFailure in a pod of Always, well", "Always", "OnFailure", nil, 0, false, stays},
		{"OnFailure in a pod of Never, failed", "Never", "OnFailure", nil, 1, false, restarts},
		{"OnFailure in a pod of Never, ended by a probe", "Never", "OnFailure", nil, 0, true, restarts},
		{"a rule that knows the code", "Always", "Never", []corev1.ContainerRestartRule{rule(in, 7, 42)}, 42, false, restarts},
		{"a rule of success", "Always", "Never", []corev1.ContainerRestartRule{rule(in, 0)}, 0, false, restarts},
		{"one that does not know it", "Always", "Never", []corev1.ContainerRestartRule{rule(in, 7, 42)}, 1, false, stays},
		{"then the policy has the word", "Never", "OnFailure", []corev1.ContainerRestartRule{rule(in, 42)}, 1, false, restarts},
		{"a rule of all other codes", "Never", "Never", []corev1.ContainerRestartRule{rule(notIn, 0, 1)}, 2, false, restarts},
		{"and of none of these", "Never", "Never", []corev1.ContainerRestartRule{rule(notIn, 0, 1)}, 1, false, stays},
		{"not in nothing is all", "Never", "Never", []corev1.ContainerRestartRule{rule(notIn)}, 1, false, restarts},
		{"in nothing is none", "Never", "Never", []corev1.ContainerRestartRule{rule(in)}, 1, false, stays},
		{"the second rule", "Never", "Never", []corev1.ContainerRestartRule{rule(in, 1), rule(in, 2)}, 2, false, restarts},
		{"a rule for all of the pod", "Never", "Never", []corev1.ContainerRestartRule{all(rule(in, 1))}, 1, false, projections.RestartsAll},
		{"a sidecar's rule for all of the pod", "Never", "Always", []corev1.ContainerRestartRule{all(rule(notIn, 0))}, 1, false, projections.RestartsAll},
		{"the first rule that speaks of it", "Never", "Never", []corev1.ContainerRestartRule{rule(in, 1), all(rule(notIn))}, 1, false, restarts},
		{"a rule of what a probe's kill ends with", "Never", "Never", []corev1.ContainerRestartRule{rule(in, 137)}, 137, true, restarts},
		{"rules without a policy say nothing", "Never", "", []corev1.ContainerRestartRule{rule(in, 42)}, 42, false, stays},
		{"a rule of no codes", "Never", "Never", []corev1.ContainerRestartRule{{Action: corev1.ContainerRestartRuleActionRestart}}, 42, false, stays},
	} {
		spec := &corev1.PodSpec{RestartPolicy: corev1.RestartPolicy(c.pod)}
		box := &corev1.Container{RestartPolicyRules: c.rules}
		if own := corev1.ContainerRestartPolicy(c.own); own != "" {
			box.RestartPolicy = &own
		}
		if got := projections.SequelOf(spec, box, c.code, c.killed); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// The phase of a pod, and whether it has come to its end, go by what follows for each of its containers.
func TestPhasesOfOwnPolicies(t *testing.T) {
	started := func(c string, run int) events.Fact {
		return events.Fact{Kind: events.FactStarted, Container: c, Run: run}
	}
	ended := func(c string, run, code int) events.Fact {
		return events.Fact{Kind: events.FactExited, Container: c, Run: run, Code: code}
	}
	waits := events.Fact{Kind: events.FactBackoff, Container: "b", Run: 2, Reason: "CrashLoopBackOff"}
	const own = `,"restartPolicy":`
	const rules = `"Never","restartPolicyRules":[{"action":"Restart","exitCodes":{"operator":"In","values":[42]}}]`
	for _, c := range []struct {
		name, policy, a, b, init string // what the containers say of themselves
		facts                    []events.Fact
		phase                    corev1.PodPhase
		over                     bool
	}{
		{"one goes on for ever, well", "Never", "", own + `"Always"`, "", []events.Fact{ended("a", 1, 0), ended("b", 1, 0)}, "Running", false},
		{"and failed", "Never", "", own + `"Always"`, "", []events.Fact{ended("a", 1, 1), ended("b", 1, 1)}, "Running", false},
		{"and waits", "Never", "", own + `"Always"`, "", []events.Fact{ended("a", 1, 1), ended("b", 1, 1), waits}, "Running", false},
		{"a rule says again", "Never", "", own + rules, "", []events.Fact{ended("a", 1, 0), ended("b", 1, 42)}, "Running", false},
		{"a rule says again, and it waits", "Never", "", own + rules, "", []events.Fact{ended("a", 1, 0), ended("b", 1, 42), waits}, "Running", false},
		{"and then no more, failed", "Never", "", own + rules, "", []events.Fact{ended("a", 1, 0), ended("b", 1, 42), started("b", 2), ended("b", 2, 1)}, "Failed", true},
		{"and then no more, well", "Never", "", own + rules, "", []events.Fact{ended("a", 1, 0), ended("b", 1, 42), started("b", 2), ended("b", 2, 0)}, "Succeeded", true},
		{"all end in a pod of Always", "Always", own + `"Never"`, own + `"OnFailure"`, "", []events.Fact{ended("a", 1, 1), ended("b", 1, 0)}, "Failed", true},
		{"all end well in a pod of Always", "Always", own + `"Never"`, own + `"OnFailure"`, "", []events.Fact{ended("a", 1, 0), ended("b", 1, 0)}, "Succeeded", true},
		{"one is tried again in a pod of Always", "Always", own + `"Never"`, own + `"OnFailure"`, "", []events.Fact{ended("a", 1, 1), ended("b", 1, 1)}, "Running", false},
		{"one is tried again in a pod of Never", "Never", "", own + `"OnFailure"`, "", []events.Fact{ended("a", 1, 1), ended("b", 1, 1)}, "Running", false},
		{"one of two ended", "Always", own + `"Never"`, "", "", []events.Fact{ended("a", 1, 1), started("b", 1)}, "Running", false},
		{"an init container that is tried once", "Always", "", "", own + `"Never"`, []events.Fact{ended("i", 1, 1)}, "Failed", true},
		{"one that is tried again", "Never", "", "", own + `"OnFailure"`, []events.Fact{ended("i", 1, 1)}, "Pending", false},
		{"one that a rule tries again", "Never", "", "", own + rules, []events.Fact{ended("i", 1, 42)}, "Pending", false},
		{"and no more", "Always", "", "", own + rules, []events.Fact{ended("i", 1, 42), started("i", 2), ended("i", 2, 41)}, "Failed", true},
	} {
		l := foldtest.New()
		l.Lease("a")
		l.Node("n1", foldtest.Facts)
		k := foldtest.Key(events.Pods, "p")
		inits := ""
		if c.init != "" {
			inits = `"initContainers":[{"name":"i","image":"i"` + c.init + `}],`
		}
		l.Create(k, `{"spec":{"restartPolicy":"`+c.policy+`",`+inits+`"containers":[{"name":"a","image":"i"`+c.a+`},{"name":"b","image":"i"`+c.b+`}]}}`)
		l.Assign("n1", k)
		l.Saw(k, c.facts...)
		row, _ := l.State.PodOf(k)
		o, _ := l.State.Get(k)
		if v := pod(t, l, k); v.Status.Phase != c.phase || row.Finished(o) != c.over {
			t.Errorf("%s: %s, over %v", c.name, v.Status.Phase, row.Finished(o))
		}
	}
}

// All containers of a pod begin anew: what ran was ended for that and waits, the pod is at no end, and a condition says so until
// the first of them began. The fact says nothing more when it is told again.
func TestAllBeginAnew(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	k := foldtest.Key(events.Pods, "p")
	l.Create(k, `{"spec":{"restartPolicy":"Never","initContainers":[{"name":"i","image":"i"}],"containers":[{"name":"a","image":"i","restartPolicy":"Never",
		"restartPolicyRules":[{"action":"RestartAllContainers","exitCodes":{"operator":"In","values":[42]}}]},{"name":"b","image":"i"},{"name":"c","image":"i"}]}}`)
	l.Assign("n1", k)
	started := func(c string, run int) events.Fact {
		return events.Fact{Kind: events.FactStarted, Container: c, Run: run}
	}
	ended := func(c string, run, code int, reason string) events.Fact {
		return events.Fact{Kind: events.FactExited, Container: c, Run: run, Code: code, Reason: reason}
	}
	anew := events.Fact{Kind: events.FactAnew, Container: "a", Run: 1}
	saw := func(want string, facts ...events.Fact) {
		t.Helper()
		l.Saw(k, facts...)
		v := pod(t, l, k)
		got := string(v.Status.Phase)
		for _, c := range v.Status.Conditions {
			if c.Type == corev1.AllContainersRestarting {
				got += " " + string(c.Status) + c.Reason
			}
		}
		for _, c := range append(v.Status.InitContainerStatuses, v.Status.ContainerStatuses...) {
			switch s := c.State; {
			case s.Running != nil:
				got += " running"
			case s.Terminated != nil:
				got += " " + s.Terminated.Reason
			default:
				got += " " + s.Waiting.Reason
			}
			if x := c.LastTerminationState.Terminated; x != nil {
				got += fmt.Sprintf("(%d)", x.ExitCode)
			}
		}
		row, _ := l.State.PodOf(k)
		o, _ := l.State.Get(k)
		if got != want || row.Finished(o) {
			t.Errorf("got %s (over: %v)\nwant %s", got, row.Finished(o), want)
		}
	}
	const all = events.RestartingAll
	saw("Running False Completed running running running", ended("i", 1, 0, "Completed"), started("a", 1), started("b", 1), started("c", 1))
	saw("Running False Completed Error running Error", ended("c", 1, 1, "Error"), ended("a", 1, 42, "Error"))
	during := "Running TrueRestartAllContainersStarted " + all + "(0) " + all + "(42) "
	saw(during+"running "+all+"(1)", anew)
	saw(during+all+"(137) "+all+"(1)", ended("b", 1, 137, all))
	before, _ := l.State.PodOf(k)
	l.Saw(k, anew)
	if again, _ := l.State.PodOf(k); !reflect.DeepEqual(before, again) {
		t.Errorf("told again, it is other: %+v", again.Anew)
	}
	saw("Running False running(0) "+all+"(42) "+all+"(137) "+all+"(1)", started("i", 2))
	after := "Running False Completed(0) running(42) running(137) running(1)"
	saw(after, ended("i", 2, 0, "Completed"), started("a", 2), started("b", 2), started("c", 2))
	saw(after, anew)
	l.Saw(k, ended("a", 2, 1, "Error"), ended("b", 2, 0, "Completed"), ended("c", 2, 0, "Completed"))
	if v := pod(t, l, k); v.Status.Phase != corev1.PodFailed || v.Status.Conditions[len(v.Status.Conditions)-1].Reason != "PodFailed" {
		t.Errorf("after another code it comes to its end: %s, %+v", v.Status.Phase, v.Status.Conditions)
	}
	if v := pod(t, l, k); v.Status.Conditions[len(v.Status.Conditions)-1].Status != corev1.ConditionFalse {
		t.Errorf("%+v", v.Status.Conditions)
	}
	if v := pod(t, l, k); v.Status.InitContainerStatuses[0].RestartCount != 1 {
		t.Errorf("what prepared it ran again: %+v", v.Status.InitContainerStatuses[0])
	}
}

// A run that could not begin, and one that ended before anybody heard of its beginning, are those after: a pod that began anew
// comes to its end with them.
func TestAfterAllBeginAnew(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	k := foldtest.Key(events.Pods, "p")
	l.Create(k, `{"spec":{"restartPolicy":"Never","containers":[{"name":"a","image":"i"},{"name":"b","image":"i"}],"ephemeralContainers":[{"name":"e","image":"i"}]}}`)
	l.Assign("n1", k)
	for _, c := range []string{"a", "b", "e"} {
		l.Saw(k, events.Fact{Kind: events.FactStarted, Container: c, Run: 1}, events.Fact{Kind: events.FactExited, Container: c, Run: 1, Code: 42})
	}
	l.Saw(k, events.Fact{Kind: events.FactAnew, Container: "a", Run: 1})
	if v := pod(t, l, k); v.Status.Phase != corev1.PodRunning || v.Status.EphemeralContainerStatuses[0].State.Terminated == nil {
		t.Fatalf("it begins anew, but for who looks in: %s, %+v", v.Status.Phase, v.Status.EphemeralContainerStatuses)
	}
	l.Saw(k, events.Fact{Kind: events.FactNotStarted, Container: "a", Run: 2, Code: 128, Reason: "StartError"}, events.Fact{Kind: events.FactExited, Container: "b", Run: 2, Reason: "Completed"})
	v := pod(t, l, k)
	row, _ := l.State.PodOf(k)
	o, _ := l.State.Get(k)
	if b := v.Status.ContainerStatuses[1].State.Terminated; v.Status.Phase != corev1.PodFailed || !row.Finished(o) || b == nil || b.Reason != "Completed" {
		t.Errorf("%s, over %v, %+v", v.Status.Phase, row.Finished(o), v.Status.ContainerStatuses)
	}
}
