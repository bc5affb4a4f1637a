package plan

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// bounded is a row whose only container was granted resources by an event.
func bounded(grant events.Seq, cpu, memory string, policies ...corev1.ContainerResizePolicy) *projections.DesiredPod {
	row := rowOf(corev1.RestartPolicyAlways, "a")
	c := &row.Pod.Spec.Containers[0]
	c.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	c.Resources.Requests, c.ResizePolicy, row.Resized = c.Resources.Limits.DeepCopy(), policies, grant
	return row
}

// holding is a run that has bounds.
func holding(c Container, row *projections.DesiredPod) Container {
	b := BoundsOf(&row.Pod.Spec.Containers[0])
	c.Bounds = &b
	return c
}

// TestResize: what runs gets what its pod was granted while it goes on, or begins anew where it wants that, and it is told once.
func TestResize(t *testing.T) {
	was, is := bounded(0, "100m", "64Mi"), bounded(60, "200m", "96Mi")
	const op = "resize a run 1 to cpu 200m of 200m, memory 100663296 of 100663296\n"
	policy := func(of corev1.ResourceName, p corev1.ResourceResizeRestartPolicy) corev1.ContainerResizePolicy {
		return corev1.ContainerResizePolicy{ResourceName: of, RestartPolicy: p}
	}
	anew := policy(corev1.ResourceMemory, corev1.RestartContainer)
	run := func(c Container) Observed { return toldOf(was, ready("a").Put(c)) }
	old := run(holding(running("a", 1), was))
	done := run(holding(running("a", 1), is))
	said := done.Tell([]events.Fact{{Kind: events.FactResized, Count: 60}})
	failed := old.NotSized("a", 60, t0, "no")
	toldFailed := failed.Tell([]events.Fact{{Kind: events.FactNotResized, Count: 60}})
	retry := "wake at " + t0.Add(FirstBackoff).Format(time.RFC3339Nano) + "\n"
	killed := old.Tell([]events.Fact{{Kind: events.FactKilling, Container: "a", Run: 1, Reason: events.ResizeRestarts, Message: "m"},
		{Kind: events.FactUnready, Container: "a", Run: 1}})
	ended := toldOf(was, killed.Put(holding(exited("a", 1, 143, 0), was)))
	for _, tt := range []struct {
		name string
		row  *projections.DesiredPod
		o    Observed
		want string
	}{
		{"nothing was granted", was, old, ""},
		{"other bounds", is, old, op},
		{"it has them", is, done, "report resized\n"},
		{"and said so", is, said, ""},
		{"of a run before bounds were noted", is, run(running("a", 1)), op},
		{"of one whose pod has them, nobody asks", is, run(running("a", 1)).Tell([]events.Fact{{Kind: events.FactResized, Count: 60}}), ""},
		{"one that ended begins with them", is, toldOf(was, ready("a").Put(holding(exited("a", 1, 0, 0), was))), "report resized\nensure image nginx:1.14 (IfNotPresent) for a run 2\n"},
		{"it failed", is, failed, "report not-resized (Error)\n" + retry},
		{"and said so, once", is, toldFailed, retry},
		{"another grant is tried at once", bounded(61, "200m", "96Mi"), toldFailed, op},
		{"by a new run", bounded(60, "200m", "96Mi", anew), old, "report a unready run 1, a killing run 1 (ResizeRestarts)\nstop a run 1 within 30s\n"},
		{"that is not asked for twice", bounded(60, "200m", "96Mi", anew), killed, "stop a run 1 within 30s\n"},
		{"and comes at once", bounded(60, "200m", "96Mi", anew), ended, "report resized\nensure image nginx:1.14 (IfNotPresent) for a run 2\n"},
		{"not for CPU alone", bounded(60, "200m", "64Mi", anew), old, strings.ReplaceAll(op, "100663296", "67108864")},
		{"where it is not required", bounded(60, "200m", "96Mi", policy(corev1.ResourceMemory, corev1.NotRequired)), old, op},
		{"made and never begun, it is made anew", is, ready("a").Put(holding(Container{Name: "a", Run: 1, ID: "c", Phase: Created}, was)), "remove a run 1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Decide(tt.row, tt.o, Node{}, t0).String(); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
		})
	}
}

// A container is not given less memory than it uses: the kernel would kill it.
func TestStarvedBeforeItIsResized(t *testing.T) {
	b := BoundsOf(&bounded(1, "100m", "64Mi").Pod.Spec.Containers[0])
	op := Resize{Container: "a", Bounds: b}
	more := b
	more.MemoryLimit *= 2
	for _, tt := range []struct {
		has  *Bounds
		want bool
	}{{nil, true}, {&Bounds{}, true}, {&b, false}, {&more, true}} {
		if got := op.Shrinks(tt.has); got != tt.want {
			t.Errorf("%v: %t", tt.has, got)
		}
	}
	if (Resize{Container: "a"}).Shrinks(&b) {
		t.Error("no limit is no less")
	}
	if got := op.Starved(64 << 20); got != `cannot decrease memory limits: attempting to set container "a" memory limit (67108864) below current usage (67108864)` {
		t.Error(got)
	}
	if got := op.Starved(64<<20 - 1); got != "" {
		t.Error(got)
	}
}
