package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func rowOf(policy corev1.RestartPolicy, names ...string) *projections.DesiredPod {
	row := &projections.DesiredPod{UID: "u1", Assigned: 7, Pod: corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "u1"}}}
	row.Pod.Spec.RestartPolicy = policy
	for _, n := range names {
		row.Pod.Spec.Containers = append(row.Pod.Spec.Containers, corev1.Container{Name: n, Image: "nginx:1.14"})
	}
	return row
}

func stopping(row *projections.DesiredPod, grace time.Duration) *projections.DesiredPod {
	n := *row
	n.Stop, n.Deadline, n.Why = true, t0.Add(grace), "deleted by alice"
	return &n
}

// ready is a pod with a room and the image of its first runs.
func ready(names ...string) Observed {
	o := Observed{Sandbox: true, Remains: true, IP: "10.0.0.2", Volumes: noVolumes}
	for _, n := range names {
		o = o.Remember(n, func(k *Known) { k.Image = 1 })
	}
	return o
}

func running(name string, run int) Container {
	return Container{Name: name, Run: run, ID: "c", Phase: Running, StartedAt: t0.Add(-time.Minute)}
}

func exited(name string, run, code int, ago time.Duration) Container {
	return Container{Name: name, Run: run, ID: "c", Phase: Exited, StartedAt: t0.Add(-ago - time.Second), Exit: Exit{Code: code, At: t0.Add(-ago)}}
}

func told(o Observed) Observed {
	for _, op := range Decide(rowOf(corev1.RestartPolicyNever), o, Node{}, t0).Ops {
		if r, ok := op.(Report); ok {
			o = o.Tell(r.Facts)
		}
	}
	return o
}

func TestDecide(t *testing.T) {
	always, onFailure, never := corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever
	crashed := exited("a", 3, 1, time.Second)
	crashed.Crashes = 2
	lasting := exited("a", 3, 1, time.Second)
	lasting.Crashes, lasting.StartedAt = 5, t0.Add(-11*time.Minute)
	created := Container{Name: "a", Run: 1, ID: "c", Phase: Created}
	for _, tt := range []struct {
		name string
		row  *projections.DesiredPod
		o    Observed
		want string
	}{
		{"new pod", rowOf(always, "a"), Observed{}, "make sandbox\n"},
		{"sandbox is there", rowOf(always, "a"), Observed{Sandbox: true, Remains: true}, "write volumes\n"},
		{"image first", rowOf(always, "a"), ready(), "ensure image nginx:1.14 (IfNotPresent) for a run 1\n"},
		{"image is there", rowOf(always, "a"), ready("a"), "start a run 1\n"},
		{"created by an agent that was killed", rowOf(always, "a"), ready("a").Put(created), "start a run 1\n"},
		{"every container", rowOf(always, "a", "b"), ready("a"), "start a run 1\nensure image nginx:1.14 (IfNotPresent) for b run 1\n"},
		{"readopted", rowOf(always, "a"), told(ready("a").Put(running("a", 1))), ""},
		{"started while the agent was killed", rowOf(always, "a"), ready("a").Put(running("a", 1)), "report a started run 1, a ready run 1\n"},
		{"first end is forgiven", rowOf(always, "a"), told(ready("a").Put(exited("a", 1, 1, time.Second))), "ensure image nginx:1.14 (IfNotPresent) for a run 2\n"},
		{"exit is told first", rowOf(never, "a"), ready("a").Put(exited("a", 1, 1, time.Second)), "report a started run 1, a exited run 1 (Error)\n"},
		{"third end waits", rowOf(always, "a"), told(ready("a").Put(crashed)),
			"report a backoff run 4 (CrashLoopBackOff)\nwake at 2026-03-01T12:00:19Z\n"},
		{"a long run is forgiven", rowOf(always, "a"), told(ready("a").Put(lasting)), "ensure image nginx:1.14 (IfNotPresent) for a run 4\n"},
		{"on failure, completed", rowOf(onFailure, "a"), told(ready("a").Put(exited("a", 1, 0, time.Second))), ""},
		{"on failure, failed", rowOf(onFailure, "a"), told(ready("a").Put(exited("a", 1, 1, time.Second))), "ensure image nginx:1.14 (IfNotPresent) for a run 2\n"},
		{"never, failed", rowOf(never, "a"), told(ready("a").Put(exited("a", 1, 1, time.Second))), ""},
		{"stop", stopping(rowOf(always, "a"), 30*time.Second), told(ready("a").Put(running("a", 1))),
			"report stopping\nstop a run 1 within 30s\n"},
		{"stop after the deadline", stopping(rowOf(always, "a"), -time.Second), told(ready("a").Put(running("a", 1))),
			"report stopping\nstop a run 1 within 0s\n"},
		{"stop before it began", stopping(rowOf(always, "a"), time.Minute), Observed{Told: Told{Stopping: true}}, "report stopped\n"},
		{"stopped containers are cleaned", stopping(rowOf(always, "a"), time.Minute), withTold(told(ready("a").Put(exited("a", 1, 0, 0)))),
			"remove sandbox, containers and volumes\n"},
		{"stopped and told", stopping(rowOf(always, "a"), time.Minute), Observed{Told: Told{Stopping: true, Stopped: true}}, ""},
		{"no longer desired", nil, told(ready("a").Put(running("a", 1))), "stop a run 1 within 2s\n"},
		{"no longer desired, evidence kept", nil, Observed{Evidence: true}, ""},
		{"no longer desired, all durable", nil, Observed{}, "forget\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Decide(tt.row, tt.o, Node{}, t0).String(); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// A node that nobody has told anything since it began leaves alone what another may have by now, but not what runs.
func TestANodeThatHeardNobody(t *testing.T) {
	named := func() *projections.DesiredPod {
		row := rowOf(corev1.RestartPolicyAlways, "a")
		row.Named = true
		return row
	}
	for _, tt := range []struct {
		name string
		row  *projections.DesiredPod
		o    Observed
		want string
	}{
		{"one of many", rowOf(corev1.RestartPolicyAlways, "a"), Observed{}, "make sandbox\n"},
		{"the only one", named(), Observed{}, ""},
		{"it runs", named(), ready("a"), "start a run 1\n"},
		{"it shall stop", stopping(named(), time.Minute), Observed{Told: Told{Stopping: true}}, "report stopped\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Decide(tt.row, tt.o, Node{Unheard: true}, t0).String(); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

func withTold(o Observed) Observed { o.Told.Stopping = true; return o }

func TestRunsGoOnFromTheLogsCount(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Runs = map[string]int{"a": 4}
	o := ready()
	if got := Decide(row, o, Node{}, t0).String(); !strings.Contains(got, "a run 5") {
		t.Errorf("after a lost disk: %s", got)
	}
	row.Pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	d := Decide(row, o, Node{}, t0)
	if got := d.String(); got != "report a exited run 4 (ContainerStatusUnknown)\n" {
		t.Fatalf("a run that nobody saw end: %s", got)
	}
	o = o.Tell(d.Ops[0].(Report).Facts)
	if got := Decide(row, o, Node{}, t0).String(); got != "" {
		t.Errorf("told once, then: %s", got)
	}
}

func TestWaitingIsToldOnce(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cfg"}}}}
	o := ready("a")
	d := Decide(row, o, Node{}, t0)
	facts := d.Ops[0].(Report).Facts
	if f := facts[0]; f.Reason != CreateContainerConfigError || f.Message != `configmap "cfg" not found` || !d.WakeAt.IsZero() {
		t.Fatalf("got %+v, wake %v", f, d.WakeAt)
	}
	o = o.Tell(facts)
	if d := Decide(row, o, Node{}, t0.Add(time.Hour)); len(d.Ops) != 0 {
		t.Errorf("told again: %s", d)
	}
	row.ConfigMaps = map[string]projections.ConfigData{"cfg": {}}
	if got := Decide(row, o, Node{}, t0).String(); got != "start a run 1\n" {
		t.Errorf("with the ConfigMap: %s", got)
	}
}

// That the node goes by a newer spec is told once, and of the first nothing is.
func TestANewerSpecIsToldOnce(t *testing.T) {
	row, o := rowOf(corev1.RestartPolicyAlways, "a"), ready("a")
	row.Pod.Generation = 1
	if got := Decide(row, o, Node{}, t0).String(); got != "start a run 1\n" {
		t.Errorf("of the first: %s", got)
	}
	row.Pod.Generation = 3
	d := Decide(row, o, Node{}, t0)
	facts := d.Ops[0].(Report).Facts
	if len(facts) != 1 || facts[0].Kind != events.FactObserved || facts[0].Count != 3 {
		t.Fatalf("of the third: %s", d)
	}
	if got := Decide(row, o.Tell(facts), Node{}, t0).String(); got != "start a run 1\n" {
		t.Errorf("told once, then: %s", got)
	}
}

// A label that nobody sets is no confinement; where the kernel has no SELinux it says nothing, as in Kubernetes.
func TestLabelsNeedANodeWithoutSELinux(t *testing.T) {
	of := func(pod *corev1.PodSecurityContext, c *corev1.SecurityContext) *projections.DesiredPod {
		row := rowOf(corev1.RestartPolicyAlways, "a")
		row.Pod.Spec.SecurityContext, row.Pod.Spec.Containers[0].SecurityContext = pod, c
		return row
	}
	level := &corev1.SELinuxOptions{Level: "s0:c0,c1"}
	for _, row := range []*projections.DesiredPod{of(&corev1.PodSecurityContext{SELinuxOptions: level}, nil), of(nil, &corev1.SecurityContext{SELinuxOptions: level})} {
		if got := Decide(row, ready("a"), Node{}, t0).String(); got != "start a run 1\n" {
			t.Errorf("without SELinux: %s", got)
		}
		facts := Decide(row, ready("a"), Node{SELinux: true}, t0).Ops[0].(Report).Facts
		if facts[0].Reason != CreateContainerConfigError || !strings.Contains(facts[0].Message, "seLinuxOptions") {
			t.Errorf("with SELinux: %+v", facts)
		}
	}
	if got := Decide(of(nil, nil), ready("a"), Node{SELinux: true}, t0).String(); got != "start a run 1\n" {
		t.Errorf("a pod that asks for no label: %s", got)
	}
}

func TestAChangedConfigMapIsWrittenToARunningPod(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	row.Pod.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cfg"}}}}}
	row.ConfigMaps = map[string]projections.ConfigData{"cfg": {Position: events.At(5, 0)}}
	o := told(ready("a").Put(running("a", 1)))
	o.Volumes = Fingerprint(row, Node{})
	if got := Decide(row, o, Node{}, t0).String(); got != "" {
		t.Fatalf("unchanged: %s", got)
	}
	row.ConfigMaps = map[string]projections.ConfigData{"cfg": {Position: events.At(9, 0)}}
	if got := Decide(row, o, Node{}, t0).String(); got != "write volumes\n" {
		t.Errorf("changed: %s", got)
	}
	row.ConfigMaps = nil
	if got := Decide(row, o, Node{}, t0).String(); got != "" {
		t.Errorf("deleted: %s", got)
	}
}

func TestExitReasons(t *testing.T) {
	for _, tt := range []struct {
		exit Exit
		want string
	}{
		{Exit{}, Completed}, {Exit{Code: 3}, Failed}, {Exit{Code: 137, Signal: 9}, Failed}, {Exit{Code: 137, Signal: 9, OOM: true}, OOMKilled},
		{Exit{Code: 137, Lost: true}, ContainerStatusUnknown}, {Exit{Code: 128, NotStarted: true}, StartError},
	} {
		if got := reason(tt.exit); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.exit, got, tt.want)
		}
	}
}

func TestAStartThatFailedIsTold(t *testing.T) {
	c := exited("a", 1, 128, 0)
	c.Exit.NotStarted, c.Exit.Message = true, "exec: no such file"
	d := Decide(rowOf(corev1.RestartPolicyNever, "a"), ready("a").Put(c), Node{}, t0)
	f := d.Ops[0].(Report).Facts
	if len(f) != 1 || f[0].Kind != events.FactNotStarted || f[0].Code != 128 || f[0].Message != "exec: no such file" || f[0].Reason != StartError {
		t.Errorf("got %+v", f)
	}
}

func TestBackoff(t *testing.T) {
	var got []time.Duration
	for n := range 9 {
		got = append(got, CrashBackoff(n)/time.Second)
	}
	want := []time.Duration{0, 0, 10, 20, 40, 80, 160, 300, 300}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if Backoff(1_000_000) != MaxBackoff {
		t.Error("no end to it")
	}
	var r Retry
	for range 3 {
		r = r.Failed(t0, "ErrImagePull", "no")
	}
	if r.Failures != 3 || !r.Until.Equal(t0.Add(40*time.Second)) {
		t.Errorf("got %+v", r)
	}
}

func TestPullPolicy(t *testing.T) {
	for image, want := range map[string]string{"nginx": "Always", "nginx:latest": "Always", "nginx:1.14": "IfNotPresent",
		"host:5000/nginx": "Always", "host:5000/nginx:1": "IfNotPresent", "nginx@sha256:00": "IfNotPresent"} {
		if got := PullPolicy(corev1.Container{Image: image}); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
	if got := PullPolicy(corev1.Container{Image: "nginx", ImagePullPolicy: corev1.PullNever}); got != "Never" {
		t.Errorf("own policy: %s", got)
	}
}

// TestTakenAwayIsNoCrash: what ended with its machine, or by 'stave down', begins again at once, however often; what
// crashed before keeps its count.
func TestTakenAwayIsNoCrash(t *testing.T) {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	o := ready("a")
	for run := 1; run <= 5; run++ {
		o.Containers = nil // everything was taken away
		if run > 1 {
			row.Runs = map[string]int{"a": run - 1}
			o = told(o)
		}
		o = o.Remember("a", func(k *Known) { k.Image = run })
		got := Decide(row, o, Node{}, t0)
		if want := Op(Start{Container: "a", Run: run, Image: "nginx:1.14"}); !slices.Contains(got.Ops, want) {
			t.Fatalf("run %d: %v until %s", run, got.Ops, got.WakeAt)
		}
		o = o.Put(running("a", run)).Tell([]events.Fact{{Kind: events.FactStarted, Container: "a", Run: run}})
	}
}

// TestStarvedSaysWho: who was killed, and at which bound.
func TestStarvedSaysWho(t *testing.T) {
	row := rowOf(corev1.RestartPolicyNever, "a")
	row.Pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("32Mi")}
	for _, c := range []struct {
		exit Exit
		want string
	}{
		{Exit{Code: 137, Signal: 9, OOM: true, Starved: "tail (pid 7)"}, "the kernel killed tail (pid 7) for want of memory: its memory limit is 32Mi"},
		{Exit{Code: 137, Signal: 9, OOM: true, Starved: "tail (pid 7)", Machine: true}, "the kernel killed tail (pid 7) for want of memory: the memory of the machine was used up"},
		{Exit{Code: 4, OOM: true}, "the kernel killed a process for want of memory, and the container ended by itself: its memory limit is 32Mi"},
	} {
		p := &planner{row: row}
		if got := p.ended(Container{Name: "a", Run: 1, Exit: c.exit}).Message; got != c.want {
			t.Errorf("%q", got)
		}
	}
	row.Pod.Spec.Containers[0].Resources.Limits = nil
	if got := (&planner{row: row}).ended(Container{Name: "a", Exit: Exit{Code: 137, Signal: 9, OOM: true}}).Message; !strings.HasSuffix(got, "of its pod, or of the node, was reached") {
		t.Errorf("%q", got)
	}
}
