package projections_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

func pod(t *testing.T, l *foldtest.Log, k events.Key) *corev1.Pod {
	t.Helper()
	o, ok := l.State.Object(k, l.Now)
	if !ok {
		t.Fatalf("%s is not there", k)
	}
	return o.(*corev1.Pod)
}

func deployment(t *testing.T, l *foldtest.Log) *appsv1.Deployment {
	t.Helper()
	o, ok := l.State.Object(foldtest.Deployment, l.Now)
	if !ok {
		t.Fatal("no deployment")
	}
	return o.(*appsv1.Deployment)
}

func conditions(v *appsv1.Deployment) string {
	var out []string
	for _, c := range v.Status.Conditions {
		out = append(out, fmt.Sprintf("%s=%s %s %q %s/%s", c.Type, c.Status, c.Reason, c.Message,
			c.LastTransitionTime.Sub(foldtest.Start), c.LastUpdateTime.Sub(foldtest.Start)))
	}
	return strings.Join(out, "\n")
}

func TestDeploymentAsReturned(t *testing.T) {
	l := foldtest.Nginx(1)
	l.Pass(time.Hour)
	v := deployment(t, l)
	want := `Available=True MinimumReplicasAvailable "Deployment has minimum availability." 1m5s/1m5s
Progressing=True NewReplicaSetAvailable "ReplicaSet \"nginx-76769d88f7\" has successfully progressed." 1m0s/1m5s`
	if got := conditions(v); got != want {
		t.Errorf("conditions\n%s\nwant\n%s", got, want)
	}
	v.Status.Conditions = nil
	wantStatus := appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
	if fmt.Sprint(v.Status) != fmt.Sprint(wantStatus) {
		t.Errorf("status %+v, want %+v", v.Status, wantStatus)
	}
}

func TestDeploymentOnItsWay(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	asked := l.Create(foldtest.Deployment, foldtest.DeploymentJSON(2, `,"minReadySeconds":30`))
	check := func(step, want string, updated, ready, available, unavailable int32) {
		t.Helper()
		v := deployment(t, l)
		var reasons []string
		for _, c := range v.Status.Conditions {
			reasons = append(reasons, string(c.Status)+" "+c.Reason)
		}
		st := v.Status
		if got := strings.Join(reasons, ", "); got != want || st.UpdatedReplicas != updated || st.ReadyReplicas != ready ||
			st.AvailableReplicas != available || st.UnavailableReplicas != unavailable {
			t.Errorf("%s: %s, updated %d ready %d available %d unavailable %d", step, got, st.UpdatedReplicas, st.ReadyReplicas, st.AvailableReplicas, st.UnavailableReplicas)
		}
	}
	check("asked", "False MinimumReplicasUnavailable", 0, 0, 0, 2)
	rs := l.Pass(time.Second).CreateChild(foldtest.ReplicaSet, foldtest.Deployment, asked, foldtest.ReplicaSetJSON(2, `,"minReadySeconds":30`))
	check("replica set", "False MinimumReplicasUnavailable, True NewReplicaSetCreated", 0, 0, 0, 2)
	for i := range 2 {
		l.Pass(time.Second).CreateChild(foldtest.Pod(i), foldtest.ReplicaSet, rs, foldtest.Template(""))
	}
	check("pods", "False MinimumReplicasUnavailable, True ReplicaSetUpdated", 2, 0, 0, 2)
	l.Change(foldtest.Deployment, foldtest.Person, foldtest.DeploymentJSON(2, `,"minReadySeconds":30,"paused":true`))
	l.Pass(601 * time.Second)
	check("paused", "False MinimumReplicasUnavailable, Unknown DeploymentPaused", 2, 0, 0, 2)
	l.Change(foldtest.Deployment, foldtest.Person, foldtest.DeploymentJSON(2, `,"minReadySeconds":30`))
	check("resumed", "False MinimumReplicasUnavailable, True ReplicaSetUpdated", 2, 0, 0, 2) // the deadline counts from here
	l.Assign("n1", foldtest.Pod(0), foldtest.Pod(1))
	l.Saw(foldtest.Pod(0), foldtest.Up("nginx", "10.244.0.5", l.Now)...)
	l.Pass(601 * time.Second)
	check("stuck", "False MinimumReplicasUnavailable, False ProgressDeadlineExceeded", 2, 1, 1, 1)
	l.Saw(foldtest.Pod(1), foldtest.Up("nginx", "10.244.0.6", l.Now)...)
	check("ready, too young", "False MinimumReplicasUnavailable, True ReplicaSetUpdated", 2, 2, 1, 1)
	row, _ := l.State.Get(foldtest.Deployment)
	if n, next := l.State.Available(row, l.Now); n != 1 || !next.Equal(l.Now.Add(30*time.Second)) {
		t.Errorf("available %d, next at %s", n, next)
	}
	l.Pass(30 * time.Second)
	check("available", "True MinimumReplicasAvailable, True NewReplicaSetAvailable", 2, 2, 2, 0)
	l.Saw(foldtest.Pod(1), events.Fact{Kind: events.FactUnready, Container: "nginx", Run: 1})
	l.Pass(time.Hour)
	check("one fell ill long after", "False MinimumReplicasUnavailable, True NewReplicaSetAvailable", 2, 1, 1, 1)
	l.Change(foldtest.Deployment, foldtest.Person, strings.ReplaceAll(foldtest.DeploymentJSON(2, ""), "nginx:stable", "nginx:alpine"))
	check("a new template", "False MinimumReplicasUnavailable", 0, 1, 1, 1)
}

func TestPodPhases(t *testing.T) {
	start, exit := events.Fact{Kind: events.FactStarted, Container: "c", Run: 1, ContainerID: "x"}, func(code int) events.Fact {
		return events.Fact{Kind: events.FactExited, Container: "c", Run: 1, Code: code, StartedAt: foldtest.Start}
	}
	for _, c := range []struct {
		name, policy string
		facts        []events.Fact
		phase        corev1.PodPhase
		state        string
		restarts     int32
	}{
		{"nothing seen", "Always", nil, "Pending", "ContainerCreating", 0},
		{"pull fails", "Always", []events.Fact{{Kind: events.FactPullFailed, Container: "c", Reason: "ErrImagePull"}}, "Pending", "ErrImagePull", 0},
		{"runs", "Always", []events.Fact{start}, "Running", "running", 0},
		{"crashed", "Always", []events.Fact{start, exit(1)}, "Running", "Error 1", 0},
		{"backs off", "Always", []events.Fact{start, exit(1), {Kind: events.FactBackoff, Container: "c", Run: 2, Reason: "CrashLoopBackOff"}}, "Running", "CrashLoopBackOff", 0},
		{"again", "Always", []events.Fact{start, exit(1), {Kind: events.FactStarted, Container: "c", Run: 2}}, "Running", "running", 1},
		{"never began", "Always", []events.Fact{{Kind: events.FactNotStarted, Container: "c", Run: 1, Reason: "RunContainerError", Code: 128}}, "Running", "RunContainerError", 0},
		{"succeeded", "Never", []events.Fact{start, exit(0)}, "Succeeded", "Completed 0", 0},
		{"failed", "Never", []events.Fact{start, exit(2)}, "Failed", "Error 2", 0},
		{"tries again", "OnFailure", []events.Fact{start, exit(2)}, "Running", "Error 2", 0},
		{"on failure, well", "OnFailure", []events.Fact{start, exit(0)}, "Succeeded", "Completed 0", 0},
		{"out of memory", "Never", []events.Fact{start, {Kind: events.FactExited, Container: "c", Run: 1, Code: 137, Signal: 9, OOM: true}}, "Failed", "OOMKilled 137", 0},
		{"as a whole", "Always", []events.Fact{{Kind: events.FactFailed, Reason: "Evicted"}}, "Failed", "nothing", 0},
		{"as a whole, in the middle", "Always", []events.Fact{start, {Kind: events.FactFailed, Reason: "Evicted"}}, "Failed", "running", 0},
	} {
		l := foldtest.New()
		l.Lease("a")
		l.Node("n1", foldtest.Facts)
		k := foldtest.Key(events.Pods, "p")
		l.Create(k, `{"spec":{"restartPolicy":"`+c.policy+`","containers":[{"name":"c","image":"i"}]}}`)
		l.Assign("n1", k)
		l.Saw(k, c.facts...)
		v := pod(t, l, k)
		st, state := corev1.ContainerStatus{}, "running"
		if len(v.Status.ContainerStatuses) > 0 {
			st = v.Status.ContainerStatuses[0]
		}
		switch {
		case len(v.Status.ContainerStatuses) == 0:
			state = "nothing"
		case st.State.Waiting != nil:
			state = st.State.Waiting.Reason
		case st.State.Terminated != nil:
			state = fmt.Sprintf("%s %d", st.State.Terminated.Reason, st.State.Terminated.ExitCode)
		}
		if v.Status.Phase != c.phase || state != c.state || st.RestartCount != c.restarts {
			t.Errorf("%s: %s, %s, %d restarts; want %s, %s, %d", c.name, v.Status.Phase, state, st.RestartCount, c.phase, c.state, c.restarts)
		}
	}
}

// A pod's observedGeneration is what its node says, never what was asked of it.
func TestPodObservedGeneration(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	k := foldtest.Key(events.Pods, "p")
	l.Create(k, `{"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	expect := func(when string, generation, observed int64) {
		t.Helper()
		if v := pod(t, l, k); v.Generation != generation || v.Status.ObservedGeneration != observed {
			t.Errorf("%s: generation %d, observed %d; want %d and %d", when, v.Generation, v.Status.ObservedGeneration, generation, observed)
		}
		for _, c := range pod(t, l, k).Status.Conditions {
			if c.ObservedGeneration != observed {
				t.Errorf("%s: %s observed %d, want %d", when, c.Type, c.ObservedGeneration, observed)
			}
		}
	}
	expect("new", 1, 0)
	l.Conclude(k, events.Reason{Code: corev1.PodReasonUnschedulable, About: k, Said: "0/1 nodes are available"})
	if c := pod(t, l, k).Status.Conditions; len(c) != 1 || c[0].ObservedGeneration != 1 {
		t.Errorf("refused: %+v", c)
	}
	l.Assign("n1", k)
	expect("assigned", 1, 0)
	l.Saw(k, events.Fact{Kind: events.FactStarted, Container: "c", Run: 1})
	expect("started", 1, 1)
	l.Change(k, "user:ann", `{"spec":{"containers":[{"name":"c","image":"j"}]}}`)
	expect("changed", 2, 1)
	if row, _ := projections.DesiredRow(l.State, k); row.Pod.Generation != 2 {
		t.Errorf("the node is told of generation %d", row.Pod.Generation)
	}
	l.Saw(k, events.Fact{Kind: events.FactObserved, Count: 2})
	expect("taken up", 2, 2)
	l.Saw(k, events.Fact{Kind: events.FactObserved, Count: 1})
	expect("told late", 2, 2)
	l.Delete(k, "user:ann", 30)
	expect("to go", 3, 2)
	l.Saw(k, events.Fact{Kind: events.FactStopping})
	expect("going", 3, 3)
}

func TestSilentNode(t *testing.T) {
	l := foldtest.Nginx(2)
	l.Pass(time.Minute).Heard("n1", false)
	v := pod(t, l, foldtest.Pod(0))
	ready := v.Status.Conditions[2]
	if v.Status.Phase != corev1.PodRunning || ready.Type != corev1.PodReady || ready.Status != corev1.ConditionFalse || !ready.LastTransitionTime.Time.Equal(l.Now) {
		t.Errorf("pod of a silent node: %s, %+v", v.Status.Phase, ready)
	}
	if d := deployment(t, l); d.Status.ReadyReplicas != 0 || d.Status.Replicas != 2 {
		t.Errorf("deployment: %+v", d.Status)
	}
	if row, _ := projections.NetRow(l.State, foldtest.Service); len(row.Ports[0].Endpoints) != 0 {
		t.Errorf("connections go to a silent node: %+v", row)
	}
	back := l.Pass(time.Minute).Now
	l.Heard("n1", true)
	p, _ := l.State.PodOf(foldtest.Pod(0))
	if !l.State.ReadyAt(p).Time.Equal(back) {
		t.Errorf("ready again at %s", l.State.ReadyAt(p).Time)
	}
	if row, _ := projections.NetRow(l.State, foldtest.Service); fmt.Sprint(row.Ports[0].Endpoints) != "[10.244.0.5:80 10.244.0.6:80]" {
		t.Errorf("after the node came back: %+v", row)
	}
}

func TestReportedStatusIsLaidOver(t *testing.T) {
	l := foldtest.Nginx(1)
	k := foldtest.Pod(0)
	l.Add(events.Envelope{Subject: events.StatusSubject(k), Type: events.TypeOf(events.Pods, events.VerbStatus), Body: events.MustBody(events.StatusReported{
		UID: foldtest.UID(k, 1), Status: []byte(`{"message":"said","conditions":[{"type":"Ready","status":"False"},{"type":"mine","status":"True"}]}`)})})
	st := pod(t, l, k).Status
	if st.Message != "said" || len(st.Conditions) != 6 || st.Conditions[2].Status != corev1.ConditionFalse || st.Conditions[5].Type != "mine" || st.Phase != corev1.PodRunning {
		t.Errorf("status %+v", st)
	}
}
