package table_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/table"
	"github.com/stave-run/stave/projections/why"
)

var lifeKey = foldtest.Key(events.Pods, "life")

// life is a pod that is prepared by i and then by the sidecar s, whose probes nobody makes here: only facts are told.
func life(policy string) *foldtest.Log {
	l := foldtest.New()
	l.Lease("test")
	l.Node("n1", foldtest.Facts)
	l.Create(lifeKey, fmt.Sprintf(`{"spec":{"restartPolicy":%q,"initContainers":[{"name":"i","image":"x"},{"name":"s","image":"x","restartPolicy":"Always"}],
		"containers":[{"name":"a","image":"x","readinessProbe":{"httpGet":{"path":"/ok?a=b","port":80,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3},
		"startupProbe":{"exec":{"command":["true"]}},"lifecycle":{"preStop":{"sleep":{"seconds":3}}}}]}}`, policy))
	l.Assign("n1", lifeKey)
	l.Pass(time.Second)
	return l
}

func fact(kind events.FactKind, container string, words ...string) events.Fact {
	f := events.Fact{Kind: kind, Container: container, Run: 1}
	if len(words) > 0 {
		f.Reason, f.Message = words[0], words[1]
	}
	return f
}

func lifeOf(t *testing.T, l *foldtest.Log) *corev1.Pod {
	t.Helper()
	o, ok := l.State.Object(lifeKey, l.Now)
	if !ok {
		t.Fatal("no pod")
	}
	return o.(*corev1.Pod)
}

// Each step tells facts and shows the pod as people see it: ready containers, its word, its phase, and whether it is
// initialized and ready.
func TestALifeInWords(t *testing.T) {
	ended := func(name string, code int) events.Fact {
		f := fact(events.FactExited, name, "Error", "")
		f.Code = code
		return f
	}
	for _, tt := range []struct {
		policy string
		steps  [][]events.Fact
		want   string
	}{
		{"Always", [][]events.Fact{
			{}, {fact(events.FactStarted, "i")}, {ended("i", 0)}, {fact(events.FactStarted, "s"), fact(events.FactUp, "s")}, {fact(events.FactReady, "s")},
			{fact(events.FactStarted, "a")}, {fact(events.FactUp, "a")}, {fact(events.FactReady, "a")},
			{fact(events.FactUnready, "a", "Unhealthy", "Readiness probe failed: no")}, {ended("s", 1)},
		}, `0/2 Init:0/2 Pending initialized=False ready=False started=false
0/2 Init:0/2 Pending initialized=False ready=False started=false
0/2 Init:1/2 Pending initialized=False ready=False started=false
0/2 PodInitializing Pending initialized=True ready=False started=false
1/2 PodInitializing Pending initialized=True ready=False started=false
1/2 Running Running initialized=True ready=False started=false
1/2 Running Running initialized=True ready=False started=true
2/2 Running Running initialized=True ready=True started=true
1/2 Running Running initialized=True ready=False started=true
0/2 Running Running initialized=True ready=False started=true
`},
		{"Never", [][]events.Fact{{fact(events.FactStarted, "i")}, {ended("i", 3)}}, `0/2 Init:0/2 Pending initialized=False ready=False started=false
0/2 Init:Error Failed initialized=False ready=False started=false
`},
		{"OnFailure", [][]events.Fact{
			{fact(events.FactStarted, "i"), ended("i", 0), fact(events.FactStarted, "s"), fact(events.FactUp, "s"), fact(events.FactReady, "s"), fact(events.FactStarted, "a")},
			{fact(events.FactKilling, "a", events.LivenessFailed, "Liveness probe failed: no")}, {ended("a", 0)}, {ended("s", 0)},
		}, `1/2 Running Running initialized=True ready=False started=false
1/2 Running Running initialized=True ready=False started=false
1/2 Error Running initialized=True ready=False started=false
0/2 Error Running initialized=True ready=False started=false
`},
	} {
		l := life(tt.policy)
		var b strings.Builder
		for _, facts := range tt.steps {
			l.Saw(lifeKey, facts...)
			p := lifeOf(t, l)
			of := map[corev1.PodConditionType]corev1.ConditionStatus{}
			for _, c := range p.Status.Conditions {
				of[c.Type] = c.Status
			}
			row := table.Of(events.Pods, []events.Object{p}, l.Now).Rows[0].Cells
			fmt.Fprintf(&b, "%s %s %s initialized=%s ready=%s started=%v\n", row[1], row[2], p.Status.Phase, of[corev1.PodInitialized], of[corev1.PodReady], *p.Status.ContainerStatuses[0].Started)
		}
		if b.String() != tt.want {
			t.Errorf("%s: got\n%swant\n%s", tt.policy, b.String(), tt.want)
		}
	}
}

// Whoever asks why is told which probe fails and in what words, and who was ended for it.
func TestProbesAreNamed(t *testing.T) {
	l := life("Always")
	l.Saw(lifeKey, fact(events.FactStarted, "i"), fact(events.FactExited, "i", "Completed", ""), fact(events.FactStarted, "s"), fact(events.FactUp, "s"), fact(events.FactReady, "s"),
		fact(events.FactStarted, "a"), fact(events.FactUnhealthy, "a", events.Unhealthy, "Startup probe failed: not yet"))
	expect := func(what string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(what, w) {
				t.Errorf("no %q in\n%s", w, what)
			}
		}
	}
	ask := func() string {
		return why.Why(why.Question{State: l.State, Key: lifeKey, Now: l.Now, Log: l.Events, At: l.At}).String()
	}
	expect(ask(), "is not ready", "a, run 1: Startup probe failed: not yet", "stave logs life -c a")
	l.Saw(lifeKey, fact(events.FactKilling, "a", events.StartupFailed, "Startup probe failed: still not"))
	x := fact(events.FactExited, "a", "Error", "")
	x.Code = 137
	l.Saw(lifeKey, x)
	expect(ask(), "its node ended it: Startup probe failed: still not", "--previous")
	page, _ := table.Describe(l.State, lifeKey, l.Now, why.EventsOf(l.Events, lifeKey))
	expect(page, "Init Containers:", "Readiness:", "http-get http://:80/ok?a=b delay=0s timeout=1s period=10s #success=1 #failure=3", "exec [true]", "Pre Stop:", "sleep 3s",
		"Unhealthy", "Startup probe failed: not yet", "Killing", "Container a failed startup probe, will be restarted")
}
