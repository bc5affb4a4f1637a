package plan

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Bounds are what a container asks for and may take: CPU in thousandths, memory in bytes; 0 is no bound.
type Bounds struct {
	CPURequest    int64 `json:"cpuRequest,omitempty"`
	CPULimit      int64 `json:"cpuLimit,omitempty"`
	MemoryRequest int64 `json:"memoryRequest,omitempty"`
	MemoryLimit   int64 `json:"memoryLimit,omitempty"`
}

// BoundsOf are those in a container's spec.
func BoundsOf(c *corev1.Container) Bounds {
	r := &c.Resources
	return Bounds{CPURequest: r.Requests.Cpu().MilliValue(), CPULimit: r.Limits.Cpu().MilliValue(),
		MemoryRequest: r.Requests.Memory().Value(), MemoryLimit: r.Limits.Memory().Value()}
}

// String is what of it people have to know.
func (b Bounds) String() string {
	return fmt.Sprintf("cpu %dm of %dm, memory %d of %d", b.CPURequest, b.CPULimit, b.MemoryRequest, b.MemoryLimit)
}

// misfits says that a run has other bounds than its container. A run of which nobody wrote them down, by an older agent, is
// taken to be as it should be until its pod was granted something that the log was not told of.
func (p *planner) misfits(run Container, c *corev1.Container) bool {
	if p.row.Resized == 0 || c == nil {
		return false
	}
	if run.Bounds == nil {
		return int(p.row.Resized) > p.o.Told.Resized
	}
	return *run.Bounds != BoundsOf(c)
}

// restarts says that a run has to be a new one for its container's resources.
func (p *planner) restarts(run Container, c *corev1.Container) bool {
	if !p.misfits(run, c) {
		return false
	}
	var has Bounds
	if run.Bounds != nil {
		has = *run.Bounds
	}
	want := BoundsOf(c)
	for _, r := range c.ResizePolicy {
		cpu := r.ResourceName == corev1.ResourceCPU && (has.CPURequest != want.CPURequest || has.CPULimit != want.CPULimit)
		memory := r.ResourceName == corev1.ResourceMemory && (has.MemoryRequest != want.MemoryRequest || has.MemoryLimit != want.MemoryLimit)
		if r.RestartPolicy == corev1.RestartContainer && (cpu || memory) {
			return true
		}
	}
	return false
}

// resize gives what runs the resources that its pod was granted, and tells when all of it has them, or why it has not. A run
// that is not the pod's to be given others begins with them, or ends.
func (p *planner) resize() {
	if p.row.Resized == 0 {
		return
	}
	done := true
	var failed *Known
	for c := range projections.Resizable(&p.row.Pod.Spec) {
		run, ok := p.o.Newest(c.Name)
		if !ok || run.Phase == Exited || !p.misfits(run, c) {
			continue
		}
		done = false
		k := p.o.Known[c.Name]
		switch {
		case run.Phase != Running || run.Health.Kill != nil:
		case k.ResizeOf == int(p.row.Resized) && p.waits(k.Resize):
			failed = &k
			p.wake(k.Resize.Until)
		default:
			p.do(Resize{Container: c.Name, Run: run.Run, ID: run.ID, Bounds: BoundsOf(c)})
		}
	}
	grant := int(p.row.Resized)
	switch {
	case grant <= p.o.Told.Resized:
	case done:
		p.report(events.Fact{Kind: events.FactResized, Count: grant})
	case failed != nil && grant > p.o.Told.NotResized: // once: its numbers are others with each try
		p.report(events.Fact{Kind: events.FactNotResized, Count: grant, Reason: failed.Resize.Reason, Message: failed.Resize.Message})
	}
}

// Sized is the pod after a run of it got other bounds.
func (o Observed) Sized(container string, run int, b Bounds) Observed {
	for _, c := range o.Containers {
		if c.Name == container && c.Run == run {
			c.Bounds = &b
			o = o.Put(c)
		}
	}
	return o.Remember(container, func(k *Known) { k.Resize, k.ResizeOf = Retry{}, 0 })
}

// NotSized is the pod after a run of it could not get what a grant says. Failures of another one do not count.
func (o Observed) NotSized(container string, grant events.Seq, now time.Time, message string) Observed {
	return o.Remember(container, func(k *Known) {
		if k.ResizeOf != int(grant) {
			k.Resize, k.ResizeOf = Retry{}, int(grant)
		}
		k.Resize = k.Resize.Failed(now, corev1.PodReasonError, message)
	})
}

// Shrinks says that a run is to get less memory than it may take now, as far as anybody knows.
func (r Resize) Shrinks(has *Bounds) bool {
	return r.Bounds.MemoryLimit > 0 && (has == nil || has.MemoryLimit == 0 || r.Bounds.MemoryLimit < has.MemoryLimit)
}

// Starved says in the kubelet's words that a run would have less memory than it uses, in bytes; empty when it would not.
func (r Resize) Starved(used uint64) string {
	if used < uint64(r.Bounds.MemoryLimit) {
		return ""
	}
	return fmt.Sprintf("cannot decrease memory limits: attempting to set container %q memory limit (%d) below current usage (%d)",
		r.Container, r.Bounds.MemoryLimit, used)
}
