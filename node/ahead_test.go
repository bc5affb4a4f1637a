package node

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// gated is a network that is slow to wire pods: until it is opened.
type gated struct {
	*link
	open chan struct{}
}

func (g gated) Attach(ctx context.Context, uid, netns string) (netip.Addr, error) {
	select {
	case <-g.open:
	case <-ctx.Done():
	}
	return g.link.Attach(ctx, uid, netns)
}

// recorder is a double that remembers which containers it was asked for.
type recorder struct {
	*double
	mu      sync.Mutex
	made    []runtime.ContainerSpec
	removed int
}

func (r *recorder) Create(ctx context.Context, c runtime.ContainerSpec) (string, error) {
	r.mu.Lock()
	r.made = append(r.made, c)
	r.mu.Unlock()
	return r.double.Create(ctx, c)
}

func (r *recorder) Remove(ctx context.Context, id string) error {
	r.mu.Lock()
	r.removed++
	r.mu.Unlock()
	return r.double.Remove(ctx, id)
}

func (r *recorder) asked() (made []runtime.ContainerSpec, removed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.made), r.removed
}

// A container is made while the pod is still being wired, with the pod's address, and begins behind that; when what it was
// made of changes meanwhile, another one is made.
func TestMadeAhead(t *testing.T) {
	for _, changed := range []bool{false, true} {
		c, r := newCluster(t), &recorder{double: newDouble()}
		m := newMachine(t, c, func() (Runtime, func()) { return r, func() {} })
		m.options.StateDir = t.TempDir()
		g := gated{m.network, make(chan struct{})}
		m.gate = g
		c.config("settings", map[string]string{"a": "old"})
		m.start()
		ref := &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Key: "a"}
		c.run(shell("p", "true", func(s *corev1.PodSpec) {
			s.Containers[0].Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: ref}},
				{Name: "IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}}
		}))
		eventually(t, "a container is made ahead", func() bool { made, _ := r.asked(); return len(made) == 1 })
		if n := r.count("start"); n > 0 {
			t.Errorf("it was started %d times without a network", n)
		}
		want, times := "old", 0
		if changed {
			want, times = "new", 1
			c.config("settings", map[string]string{"a": "new"})
			eventually(t, "the node has heard of the change", func() bool {
				w, ok := m.agent.worker(uidOf(podKey("p")), false)
				row, _, _ := w.state()
				return ok && row != nil && row.ConfigMaps["settings"].Data["a"] == "new"
			})
		}
		close(g.open)
		c.untilReady("p")
		pod, _ := c.until("p", "has an address", func(p *projections.Pod, _ projections.Container) bool { return p.IP != "" })
		made, removed := r.asked()
		if last := made[len(made)-1].Env; !slices.Contains(last, "A="+want) || !slices.Contains(last, "IP="+pod.IP) || removed != times {
			t.Errorf("it has %v, wanted %s and %s; %d were removed", last, want, pod.IP, removed)
		}
		if !slices.Contains(made[0].Env, "IP="+pod.IP) {
			t.Errorf("made ahead with %v, the address is %s", made[0].Env, pod.IP)
		}
	}
}
