package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// TestStory tells one node's day with real containers. Its parts share the node, because starting one takes seconds.
func TestStory(t *testing.T) {
	c := newCluster(t)
	m := newMachine(t, c, containers(t))
	m.start()
	web(c)
	t.Run("runs", func(t *testing.T) { m.t, c.t = t, t; runs1(t, m) })
	t.Run("logs", func(t *testing.T) { m.t, c.t = t, t; logs1(t, m) })
	t.Run("exec", func(t *testing.T) { m.t, c.t = t, t; exec1(t, m) })
	t.Run("leaves", func(t *testing.T) { m.t, c.t = t, t; leaves1(t, m) })
	t.Run("volumes", func(t *testing.T) { m.t, c.t = t, t; volumes1(t, m) })
	t.Run("failures", func(t *testing.T) { m.t, c.t = t, t; failures1(t, m) })
	t.Run("killed agent", func(t *testing.T) { m.t, c.t = t, t; killed1(t, m) })
	t.Run("control plane away", func(t *testing.T) { m.t, c.t = t, t; away1(t, m) })
	t.Run("stops", func(t *testing.T) { m.t, c.t = t, t; stops1(t, m) })
	m.t, c.t = t, t
}

func web(c *cluster) {
	c.config("settings", map[string]string{"COLOR": "blue"})
	c.run(shell("web", `echo one; echo two >&2; echo three; trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done`, func(s *corev1.PodSpec) {
		s.Hostname, s.Subdomain = "front", "pages"
		s.Volumes = []corev1.Volume{
			{Name: "cfg", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
			{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			{Name: "memory", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
		}
		s.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "cfg", MountPath: "/cfg"}, {Name: "scratch", MountPath: "/scratch"}, {Name: "memory", MountPath: "/memory"}}
		s.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}}
		s.Containers[0].Env = []corev1.EnvVar{{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
			{Name: "SAID", Value: "$(COLOR) at $(IP)"}}
	}))
}

func runs1(t *testing.T, m *machine) {
	p, x := m.c.untilReady("web")
	if p.IP != "10.244.0.1" || p.HostIP != "192.0.2.1" || x.Run != 1 || x.Phase != projections.Running || !strings.Contains(x.ImageID, "@sha256:") {
		t.Errorf("got %+v %+v", p, x)
	}
	n, ok := m.c.fold.Durable().Node(nodeName)
	if !ok || n.Facts.PodCIDR != "10.244.0.0/24" || n.Facts.Capacity["pods"] != "110" || n.Facts.Kernel == "" {
		t.Errorf("node facts: %+v", n)
	}
	got := m.exec("web", "sh", "-c", `echo "$SAID"; hostname; cat /etc/hostname; cat /etc/resolv.conf /etc/hosts`).out
	for _, want := range []string{"blue at 10.244.0.1\nfront\nfront\n", "search default.svc.cluster.local svc.cluster.local cluster.local", "nameserver 10.96.0.10\n",
		"ndots:5", "10.244.0.1\tfront.pages.default.svc.cluster.local\tfront\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
}

func logs1(t *testing.T, m *machine) {
	ask := func(r wire.LogsRequest) result {
		r.Namespace, r.Pod = "default", "web"
		return m.dial(wire.NodeLogs, r)
	}
	eventually(t, "three lines", func() bool { return strings.Count(ask(wire.LogsRequest{}).out, "\n") == 3 })
	if r := ask(wire.LogsRequest{Container: "main"}); r.status.Status != metav1.StatusSuccess || len(r.out) != len("one\ntwo\nthree\n") {
		t.Errorf("all: %+v", r)
	}
	one := int64(1)
	if r := ask(wire.LogsRequest{Tail: &one}); strings.Count(r.out, "\n") != 1 {
		t.Errorf("tail: %q", r.out)
	}
	if r := ask(wire.LogsRequest{Since: time.Now()}); r.out != "" {
		t.Errorf("since: %q", r.out)
	}
	if r := ask(wire.LogsRequest{LimitBytes: 5}); len(r.out) != 5 || r.status.Status != metav1.StatusSuccess {
		t.Errorf("limit: %+v", r)
	}
	if r := ask(wire.LogsRequest{Timestamps: true}); !strings.HasPrefix(r.out, "20") || strings.Count(r.out, "Z ") != 3 {
		t.Errorf("timestamps: %q", r.out)
	}
	if r := ask(wire.LogsRequest{Previous: true}); r.status.Message != `previous terminated container "main" in pod "web" not found` {
		t.Errorf("previous: %+v", r.status)
	}
	if r := ask(wire.LogsRequest{Container: "side"}); r.status.Message != "container side is not valid for pod web, choose one of: [main]" {
		t.Errorf("other container: %+v", r.status)
	}
	m.c.run(shell("talk", `for i in 1 2 3; do echo $i; sleep 0.2; done`, never))
	m.c.until("talk", "running", func(_ *projections.Pod, x projections.Container) bool {
		return x.Run == 1 && x.Phase != projections.Waiting
	})
	if r := m.dial(wire.NodeLogs, wire.LogsRequest{Namespace: "default", Pod: "talk", Follow: true}); r.out != "1\n2\n3\n" || r.status.Status != metav1.StatusSuccess {
		t.Errorf("follow to the end: %+v", r)
	}
}

func exec1(t *testing.T, m *machine) {
	if r := m.exec("web", "sh", "-c", "echo out; echo err >&2; exit 3"); r.out != "out\n" || r.err != "err\n" || r.status.Status != metav1.StatusFailure ||
		r.status.Reason != "NonZeroExitCode" || len(r.status.Details.Causes) != 1 || r.status.Details.Causes[0].Message != "3" {
		t.Errorf("exit 3: %+v", r)
	}
	if r := m.exec("web", "true"); r.status.Status != metav1.StatusSuccess {
		t.Errorf("true: %+v", r)
	}
	if r := m.exec("web", "no-such-command"); r.status.Details == nil || r.status.Details.Causes[0].Message != "127" || !strings.Contains(r.status.Message, "no-such-command") {
		t.Errorf("no command: %+v", r.status)
	}
	if r := m.exec("none", "true"); r.status.Code != 404 {
		t.Errorf("no pod: %+v", r.status)
	}
	in := wire.ExecRequest{Namespace: "default", Pod: "web", Command: []string{"cat"}, Stdin: true}
	if r := m.dial(wire.NodeExec, in, bus.Frame{Channel: wire.Stdin, Data: []byte("hello")}, bus.Frame{Channel: wire.StdinClosed}); r.out != "hello" {
		t.Errorf("stdin: %+v", r)
	}
	tty := wire.ExecRequest{Namespace: "default", Pod: "web", Command: []string{"sh", "-c", "sleep 0.5; stty size"}, TTY: true, Size: wire.WindowSize{Width: 90, Height: 30}}
	resize := bus.Frame{Channel: wire.Resize, Data: events.MustBody(wire.WindowSize{Width: 120, Height: 40})}
	if r := m.dial(wire.NodeExec, tty, resize); r.out != "40 120\r\n" {
		t.Errorf("terminal: %+v", r)
	}
}

func volumes1(t *testing.T, m *machine) {
	if r := m.exec("web", "sh", "-c", "cat /cfg/COLOR; echo x >/scratch/f && echo y >/memory/f && cat /scratch/f /memory/f; mount | grep -c 'on /memory type tmpfs'; echo no >/cfg/COLOR"); r.out != "bluex\ny\n1\n" ||
		!strings.Contains(r.err, "Read-only") {
		t.Errorf("volumes: %+v", r)
	}
	m.c.config("settings", map[string]string{"COLOR": "red", "NEW": "1"})
	eventually(t, "new content", func() bool { return m.exec("web", "sh", "-c", "cat /cfg/*").out == "red1" })
	m.c.run(shell("wants", "echo $X; sleep 1000", func(s *corev1.PodSpec) {
		s.Containers[0].Env = []corev1.EnvVar{{Name: "X", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "late"}, Key: "x"}}}}
	}))
	_, x := m.c.until("wants", "waiting for its ConfigMap", func(_ *projections.Pod, x projections.Container) bool {
		return x.Reason == "CreateContainerConfigError"
	})
	if x.Message != `configmap "late" not found` {
		t.Errorf("message %q", x.Message)
	}
	m.c.config("late", map[string]string{"x": "here"})
	m.c.untilReady("wants")
}

func failures1(t *testing.T, m *machine) {
	m.c.run(shell("crash", "echo oops; exit 1"))
	m.c.run(shell("noimage", "true", func(s *corev1.PodSpec) { s.Containers[0].Image = "busybox:none" }))
	m.c.run(shell("nocommand", "", func(s *corev1.PodSpec) {
		s.Containers[0].Command = []string{"/no/such"}
		s.RestartPolicy = corev1.RestartPolicyNever
	}))
	m.c.run(shell("hungry", "tail /dev/zero", never, func(s *corev1.PodSpec) { s.Containers[0].Resources.Limits = limits("memory", "16Mi") }))
	_, x := m.c.until("crash", "in back-off", func(_ *projections.Pod, x projections.Container) bool { return x.Reason == "CrashLoopBackOff" })
	if x.Run != 2 || x.Exit == nil || x.Exit.Code != 1 || x.Exit.Reason != "Error" || x.Exit.Tail != "oops" || x.Until.IsZero() {
		t.Errorf("crash loop: %+v exit %+v", x, x.Exit)
	}
	if r := m.dial(wire.NodeLogs, wire.LogsRequest{Namespace: "default", Pod: "crash", Previous: true}); r.out != "oops\n" {
		t.Errorf("previous log: %+v", r)
	}
	_, x = m.c.until("noimage", "in back-off", func(_ *projections.Pod, x projections.Container) bool { return x.Reason == "ImagePullBackOff" })
	if failed := m.c.facts("noimage", events.FactPullFailed); len(failed) != 1 || failed[0].Reason != "ErrImagePull" || !strings.Contains(failed[0].Message, "not found") {
		t.Errorf("pull: %+v", failed)
	}
	if !strings.Contains(x.Message, "busybox:none") {
		t.Errorf("back-off: %q", x.Message)
	}
	_, x = m.c.until("nocommand", "failed", func(_ *projections.Pod, x projections.Container) bool { return x.Exit != nil })
	if x.Exit.Code != 128 || x.Exit.Reason != "StartError" || !strings.Contains(x.Exit.Message, "/no/such") {
		t.Errorf("no command: %+v", x.Exit)
	}
	_, x = m.c.until("hungry", "killed", func(_ *projections.Pod, x projections.Container) bool { return x.Exit != nil })
	if x.Exit.Reason != "OOMKilled" || x.Exit.Code == 0 || !x.Exit.OOM {
		t.Errorf("out of memory: %+v", x.Exit)
	}
}

func killed1(t *testing.T, m *machine) {
	m.c.run(shell("job", "sleep 1; echo last words; exit 5", never))
	m.c.untilReady("job")
	_, before := m.c.untilReady("web")
	pid := m.exec("web", "sh", "-c", "cat /proc/1/stat | cut -d' ' -f22").out // when it started
	m.kill()
	time.Sleep(2 * time.Second)
	m.start()
	_, x := m.c.until("job", "ended", func(_ *projections.Pod, x projections.Container) bool { return x.Exit != nil })
	if x.Exit.Code != 5 || x.Exit.Run != 1 || x.Exit.Tail != "last words" {
		t.Errorf("exit: %+v", x.Exit)
	}
	if got := m.exec("web", "sh", "-c", "cat /proc/1/stat | cut -d' ' -f22").out; got != pid {
		t.Errorf("process started at %q, before %q", got, pid)
	}
	if got := m.dial(wire.NodeLogs, wire.LogsRequest{Namespace: "default", Pod: "web"}); strings.Count(got.out, "one") != 1 {
		t.Errorf("log: %+v", got)
	}
	m.kill()
	m.start()
	if got := m.c.facts("job", events.FactExited); len(got) != 1 {
		t.Errorf("exits of job: %+v", got)
	}
	_, after := m.c.untilReady("web")
	if after.Run != 1 || after.ContainerID != before.ContainerID || len(m.c.facts("web", events.FactStarted)) != 1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if n := m.c.nodeFacts(); n != 1 {
		t.Errorf("the node said %d times what it is", n)
	}
	if got := m.c.facts("crash", events.FactStarted); len(got) > 3 {
		t.Errorf("the crash loop lost its count: %d starts", len(got))
	}
}

// away1: what happens while nobody answers is done, and told when somebody does.
func away1(t *testing.T, m *machine) {
	m.c.run(shell("again", "sleep 1; exit 0"))
	m.c.untilReady("again")
	m.c.leave()
	m.kill()
	m.start()
	time.Sleep(1500 * time.Millisecond)
	m.c.serve()
	_, x := m.c.until("again", "started again", func(_ *projections.Pod, x projections.Container) bool { return x.Run >= 2 })
	if x.Last == nil && x.Exit == nil {
		t.Errorf("got %+v", x)
	}
	m.c.delete("again", 0)
	m.c.untilStopped("again")
	m.c.remove("again")
}

func stops1(t *testing.T, m *machine) {
	m.c.run(shell("deaf", "trap '' TERM; while :; do sleep 0.1; done"))
	m.c.untilReady("deaf")
	began := time.Now()
	m.c.delete("deaf", 2)
	p := m.c.untilStopped("deaf")
	if took := time.Since(began); took < time.Second || took > 10*time.Second {
		t.Errorf("deaf: stopped after %v", took)
	}
	if x := p.Containers[0]; x.Exit == nil || x.Exit.Code != 137 || p.Stopping.IsZero() {
		t.Errorf("deaf: %+v", x.Exit)
	}
	m.c.delete("web", 30)
	p = m.c.untilStopped("web")
	if x := p.Containers[0]; x.Exit == nil || x.Exit.Code != 0 || x.Exit.Reason != "Completed" {
		t.Errorf("web: %+v", x.Exit)
	}
	for _, name := range []string{"talk", "wants", "crash", "noimage", "nocommand", "hungry", "job"} {
		m.c.delete(name, 0)
	}
	for _, name := range []string{"talk", "wants", "crash", "noimage", "nocommand", "hungry", "job"} {
		m.c.untilStopped(name)
	}
	if left, err := m.agent.o.Runtime.List(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("containers left: %v, %v", left, err)
	}
	for _, name := range []string{"deaf", "web", "talk", "wants", "crash", "noimage", "nocommand", "hungry", "job"} {
		m.c.remove(name)
	}
	eventually(t, "nothing but logs is left on the disk", func() bool {
		pods, _ := filepath.Glob(filepath.Join(m.options.DataDir, "pods", "*"))
		memory, _ := filepath.Glob(filepath.Join(m.options.StateDir, "memory", "*"))
		return len(pods)+len(memory) == 0
	})
	m.agent.now = func() time.Time { return time.Now().Add(keepLogsFor + time.Minute) }
	if err := m.agent.sweepLogs(); err != nil {
		t.Error(err)
	}
	if logs, _ := filepath.Glob(filepath.Join(m.options.DataDir, "logs", "*")); len(logs) > 0 {
		t.Errorf("a day later there is still %v", logs)
	}
	m.agent.now = time.Now
	if len(m.network.attached) != 0 {
		t.Errorf("addresses left: %v", m.network.attached)
	}
	if b, err := os.ReadFile(filepath.Join(m.options.DataDir, "journal")); err != nil || len(m.agent.journal.kept) > 0 && len(b) == 0 {
		t.Errorf("journal: %v", err)
	}
}
