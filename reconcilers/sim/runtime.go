package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// do does one operation on containers that are only pretended.
func (n *node) do(p *pod, op plan.Op) {
	switch op := op.(type) {
	case plan.Pull:
		n.pull(p, op)
	case plan.MakeSandbox:
		n.sandbox(p)
	case plan.WriteVolumes:
		n.opened(p)
		p.obs.Volumes = op.Fingerprint
	case plan.Start:
		n.start(p, op)
	case plan.Resize:
		n.resize(p, op)
	case plan.Stop:
		n.stop(p, op)
	case plan.Remove:
		p.obs = p.obs.Drop(op.Container, op.Run)
	case plan.Clean:
		p.obs = p.obs.Cleaned()
	case plan.Report:
		n.tell(p, op.Facts...)
	case plan.Forget:
		for i := range n.pods {
			if n.pods[i] == p {
				n.pods = append(n.pods[:i:i], n.pods[i+1:]...)
				break
			}
		}
	}
}

// pull fetches an image: it takes its time, and fails for good when the image
// is called bad.
func (n *node) pull(p *pod, op plan.Pull) {
	p.busy = n.w.now.Add(time.Duration(n.w.rng.IntN(6)) * time.Second)
	f := events.Fact{Container: op.Container, Run: op.Run, Image: op.Image, Volume: op.Volume}
	f.Kind = events.FactPulling
	n.tell(p, f)
	if strings.HasPrefix(op.Image, "bad") || n.w.fate(12) == 0 {
		f.Kind, f.Reason, f.Message = events.FactPullFailed, plan.ErrImagePull, "no such image"
		n.tell(p, f)
		p.obs = p.obs.NotBrought(op, n.clock(), plan.ImagePullBackOff, "no such image")
		return
	}
	f.Kind, f.ImageID = events.FactPulled, "sha256:"+op.Image
	n.tell(p, f)
	p.obs = p.obs.Brought(op)
}

func (n *node) sandbox(p *pod) {
	n.w.judge.begins(n, p)
	if n.w.fate(20) == 0 {
		p.obs.Remains = true
		p.obs.Setup = p.obs.Setup.Failed(n.clock(), "ContainerCreating", "no address")
		return
	}
	n.next++
	p.obs.Sandbox, p.obs.Remains, p.obs.Setup = true, true, plan.Retry{}
	p.obs.IP = fmt.Sprintf("10.244.%d.%d", n.next/250, n.next%250)
	n.tell(p, events.Fact{Kind: events.FactSandbox, IP: p.obs.IP, HostIP: n.ip})
}

func (n *node) start(p *pod, op plan.Start) {
	n.w.judge.starts(n, p, op)
	c := plan.Container{Name: op.Container, Run: op.Run, ID: fmt.Sprintf("%s-%d", op.Container, op.Run),
		Image: op.Image, Phase: plan.Running, StartedAt: n.clock(), Crashes: op.Crashes}
	if spec := plan.Spec(&p.row.Pod.Spec, op.Container); spec != nil {
		b := plan.BoundsOf(spec)
		c.Bounds = &b
	}
	if initial(p, op.Container) {
		c.Phase, c.Exit = plan.Exited, plan.Exit{At: n.clock()}
	}
	if n.w.fate(20) == 0 {
		c.Phase, c.Exit = plan.Exited, plan.Exit{Code: 128, NotStarted: true, Message: "no such command", At: n.clock()}
	}
	p.obs = p.obs.Put(c)
	n.ends(p, op.Container)
	if strings.HasPrefix(image(p, op.Container), "crash") {
		n.crash(p, 1, false)
	}
}

// initial tells whether a container is one that ends before the others begin.
func initial(p *pod, container string) bool {
	for i := range p.row.Pod.Spec.InitContainers {
		if c := &p.row.Pod.Spec.InitContainers[i]; c.Name == container {
			return !projections.Sidecar(c)
		}
	}
	return false
}

func image(p *pod, container string) string {
	for _, c := range p.row.Pod.Spec.Containers {
		if c.Name == container {
			return c.Image
		}
	}
	return ""
}

func (n *node) stop(p *pod, op plan.Stop) {
	p.busy = n.w.now.Add(min(op.Grace, time.Duration(n.w.rng.IntN(20))*time.Second))
	for _, c := range op.Runs {
		c.Phase, c.Exit = plan.Exited, plan.Exit{Code: 143, Signal: 15, At: n.clock()}
		p.obs = p.obs.Put(c)
	}
}

// crash ends the first running container of a pod; false when none runs.
func (n *node) crash(p *pod, code int, oom bool) bool {
	for _, c := range p.obs.Containers {
		if c.Phase != plan.Running {
			continue
		}
		c.Phase, c.Exit = plan.Exited, plan.Exit{Code: code, OOM: oom, At: n.clock()}
		p.obs, p.look = p.obs.Put(c), true
		return true
	}
	return false
}

// running counts the containers that run on a node.
func (p *pod) running() int {
	count := 0
	for _, c := range p.obs.Containers {
		if c.Phase == plan.Running {
			count++
		}
	}
	return count
}

// resize gives a run other bounds, or fails to.
func (n *node) resize(p *pod, op plan.Resize) {
	if n.w.fate(8) == 0 {
		p.obs = p.obs.NotSized(op.Container, p.row.Resized, n.clock(), "no such cgroup")
		return
	}
	p.obs = p.obs.Sized(op.Container, op.Run, op.Bounds)
}
