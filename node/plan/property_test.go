package plan

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// world is a node in the small: it does what a plan says, and lets containers end and agents be killed.
type world struct {
	t     *rapid.T
	now   time.Time
	row   *projections.DesiredPod
	obs   Observed
	facts []events.Fact
	gone  bool
	// lastStart is by container: when, and after which wait.
	ends map[string][]time.Duration
	end  map[string]time.Time
}

// step does the first op, as the agent does.
func (w *world) step() bool {
	d := Decide(w.row, w.obs, Node{}, w.now)
	if len(d.Ops) == 0 {
		return false
	}
	switch op := d.Ops[0].(type) {
	case Pull:
		w.obs = w.obs.Remember(op.Container, func(k *Known) { k.Image, k.Retry = op.Run, Retry{} })
	case MakeSandbox:
		w.obs.Sandbox, w.obs.Remains = true, true
	case WriteVolumes:
		w.obs.Volumes = op.Fingerprint
	case Start:
		w.start(op)
	case Stop:
		for _, c := range op.Runs {
			c.Phase, c.Exit = Exited, Exit{Code: 143, Signal: 15, At: w.now}
			w.obs = w.obs.Put(c)
		}
	case Remove:
		w.remove(op)
	case Clean:
		w.clean()
	case Report:
		w.facts = append(w.facts, op.Facts...)
		w.obs = w.obs.Tell(op.Facts)
	case Forget:
		w.gone = true
		return false
	}
	return true
}

func (w *world) start(op Start) {
	if w.row == nil || w.row.Stop {
		w.t.Fatalf("%s of a pod that shall stop", op)
	}
	w.prepared(op)
	for _, c := range w.obs.Containers {
		if k := w.obs.Known[c.Name]; c.Phase == Running && c.Run == k.Run && k.Void {
			w.t.Fatalf("%s beside %s run %d, which counts no more", op, c.Name, c.Run)
		}
		if c.Name == op.Container && c.Phase == Running {
			w.t.Fatalf("%s while run %d runs", op, c.Run)
		}
		if c.Name == op.Container && c.Run >= op.Run && c.Phase != Created {
			w.t.Fatalf("%s after run %d", op, c.Run)
		}
	}
	if at, ok := w.end[op.Container]; ok {
		w.ends[op.Container] = append(w.ends[op.Container], w.now.Sub(at))
	}
	w.obs = w.obs.Put(Container{Name: op.Container, Run: op.Run, ID: fmt.Sprint(op), Phase: Running, StartedAt: w.now, Crashes: op.Crashes})
}

func (w *world) remove(op Remove) {
	for _, c := range w.obs.Containers {
		if c.Name == op.Container && c.Run == op.Run && c.Phase == Running {
			w.t.Fatalf("%s while it runs", op)
		}
	}
	w.obs = w.obs.Drop(op.Container, op.Run)
}

func (w *world) clean() {
	for _, c := range w.obs.Containers {
		if c.Phase == Running {
			w.t.Fatalf("clean while %s runs", c.Name)
		}
	}
	w.obs = w.obs.Cleaned()
}

// settle steps until nothing is left to do now.
func (w *world) settle() {
	for i := 0; w.step(); i++ {
		if i > 200 {
			w.t.Fatalf("does not converge: %s", Decide(w.row, w.obs, Node{}, w.now))
		}
	}
}

// exit ends a running container.
func (w *world) exit(code int) {
	for _, c := range w.obs.Containers {
		if c.Phase == Running {
			c.Phase, c.Exit = Exited, Exit{Code: code, At: w.now}
			w.obs, w.end[c.Name] = w.obs.Put(c), w.now
			return
		}
	}
}

// sick is a running container whose liveness probe fails.
func (w *world) sick() {
	for _, c := range w.obs.Containers {
		if c.Phase == Running {
			w.obs = w.obs.Heed(c.ID, Track{Role: Liveness, Failed: true, Words: "Liveness probe failed: no"})
			return
		}
	}
}

// prepared checks that what a container waits for is done.
func (w *world) prepared(op Start) {
	for _, c := range w.row.Pod.Spec.InitContainers {
		if c.Name == op.Container {
			if c.RestartPolicy == nil && w.obs.Known[c.Name].Done {
				w.t.Fatalf("%s, and it is done", op)
			}
			return
		}
		if !w.obs.Known[c.Name].Done {
			w.t.Fatalf("%s before %s is done", op, c.Name)
		}
	}
}

// killed is an agent that starts again: it finds what the runtime has and what was written down.
func (w *world) killed() {
	w.obs.Setup, w.obs.Cleanup = Retry{}, Retry{}
	for _, c := range w.obs.Containers {
		c.ID += "+"
		c.Health = Health{}
		w.obs = w.obs.Adopt(c)
	}
}

func (w *world) stop(t *rapid.T) {
	if w.row != nil && !w.row.Stop {
		n := *w.row
		n.Stop, n.Deadline = true, w.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "grace"))*time.Second)
		w.row = &n
	}
}

func newWorld(t *rapid.T) *world {
	policy := rapid.SampledFrom([]corev1.RestartPolicy{"Always", "OnFailure", "Never"}).Draw(t, "policy")
	row := rowOf(policy, "a", "b")
	if rapid.Bool().Draw(t, "own") {
		b := &row.Pod.Spec.Containers[1]
		own(b, rapid.SampledFrom([]corev1.ContainerRestartPolicy{"Always", "OnFailure", "Never"}).Draw(t, "own policy"), 1)
		b.RestartPolicyRules[0].Action = rapid.SampledFrom([]corev1.ContainerRestartRuleAction{"Restart", "RestartAllContainers"}).Draw(t, "action")
	}
	if rapid.Bool().Draw(t, "inits") {
		row.Pod.Spec.InitContainers = withInits(policy).Pod.Spec.InitContainers
	}
	return &world{t: t, now: t0, row: row, ends: map[string][]time.Duration{}, end: map[string]time.Time{}}
}

func TestAnyLife(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"step", "step", "step", "exit", "fail", "sick", "time", "kill", "stop", "sandbox", "reset"}).Draw(t, "what") {
			case "step":
				w.step()
			case "exit":
				w.exit(0)
			case "fail":
				w.exit(1)
			case "sick":
				w.sick()
			case "time":
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 1200).Draw(t, "seconds")) * time.Second)
			case "kill":
				w.killed()
			case "stop":
				if rapid.IntRange(0, 9).Draw(t, "really") == 0 {
					w.stop(t)
				}
			case "reset":
				if rapid.IntRange(0, 19).Draw(t, "really") == 0 { // the runtime lost everything
					w.obs = w.obs.Cleaned()
					w.obs.Remains = true
				}
			case "sandbox":
				w.obs.Sandbox = w.obs.Sandbox && slices.ContainsFunc(w.obs.Containers, func(c Container) bool { return c.Phase == Running })
			}
		}
		w.settle()
		if w.row.Stop != w.obs.Told.Stopped {
			t.Fatalf("asked to stop: %v, told stopped: %v", w.row.Stop, w.obs.Told.Stopped)
		}
		w.row = nil
		w.settle()
		if !w.gone || w.obs.Remains {
			t.Fatalf("not forgotten: %+v", w.obs)
		}
		once(t, w.facts)
	})
}

// once checks that each run began and ended at most once in what the log was told, and in order.
func once(t *rapid.T, facts []events.Fact) {
	last := map[string]int{}
	seen := map[string]bool{}
	for _, f := range facts {
		switch f.Kind {
		case events.FactStarted, events.FactExited:
			key := fmt.Sprint(f.Container, f.Kind, f.Run)
			if seen[key] {
				t.Fatalf("said twice: %s", key)
			}
			seen[key] = true
			if f.Run < last[f.Container] {
				t.Fatalf("run %d after run %d", f.Run, last[f.Container])
			}
			if f.Kind == events.FactExited && !seen[fmt.Sprint(f.Container, events.FactStarted, f.Run)] {
				t.Fatalf("run %d ended and never began", f.Run)
			}
			last[f.Container] = f.Run
		}
	}
}

func TestCrashLoopWaitsLongerAndLonger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.row = rowOf(corev1.RestartPolicyAlways, "a")
		for range rapid.IntRange(2, 12).Draw(t, "crashes") {
			w.settle()
			if d := Decide(w.row, w.obs, Node{}, w.now); !d.WakeAt.IsZero() {
				w.now = d.WakeAt
				w.settle()
			}
			w.now = w.now.Add(time.Duration(rapid.IntRange(0, 599).Draw(t, "lasted")) * time.Second)
			if rapid.Bool().Draw(t, "killed") {
				w.killed()
			}
			w.exit(1)
		}
		if !slices.IsSorted(w.ends["a"]) {
			t.Fatalf("waits %v", w.ends["a"])
		}
		if n := len(w.ends["a"]); n > 0 && w.ends["a"][n-1] > MaxBackoff {
			t.Fatalf("waits %v", w.ends["a"])
		}
	})
}

// TestAnHourOfCrashes: a container that ends after a second, for an hour. It begins as often as under Kubernetes, the log
// is told of each wait once, and a run of ten minutes makes all of it forgotten.
func TestAnHourOfCrashes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(r)
		w.row = rowOf(corev1.RestartPolicyAlways, "a")
		crash := func(lasted time.Duration) {
			w.settle()
			if d := Decide(w.row, w.obs, Node{}, w.now); !d.WakeAt.IsZero() {
				if early := d.WakeAt.Add(-time.Millisecond); len(Decide(w.row, w.obs, Node{}, early).Ops) != 0 {
					r.Fatalf("something is done %s before its time", w.now.Sub(early))
				}
				w.now = d.WakeAt
				w.settle()
			}
			w.now = w.now.Add(lasted)
			if rapid.Bool().Draw(r, "agent killed") {
				w.killed()
			}
			w.exit(1)
		}
		began, runs := w.now, 0
		for w.now.Sub(began) < time.Hour {
			crash(time.Second)
			runs++
		}
		var want []time.Duration
		for _, seconds := range []time.Duration{0, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300, 300} {
			want = append(want, seconds*time.Second)
		}
		if !slices.Equal(w.ends["a"], want) || runs != len(want)+1 {
			r.Fatalf("%d runs, waits %v", runs, w.ends["a"])
		}
		w.settle()
		told := map[events.FactKind]int{}
		for _, f := range w.facts {
			told[f.Kind]++
		}
		if told[events.FactExited] != runs || told[events.FactStarted] != runs || told[events.FactBackoff] != runs-1 {
			r.Fatalf("%d runs, told %v", runs, told)
		}
		crash(StableAfter)
		crash(time.Second)
		if last := w.ends["a"][len(w.ends["a"])-1]; last != 0 {
			r.Fatalf("after a run of %s the wait is %s", StableAfter, last)
		}
	})
}
