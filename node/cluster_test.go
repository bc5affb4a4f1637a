package node

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/containerd"
	"github.com/stave-run/stave/node/imagetest"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/follow"
)

const (
	nodeName = "n1"
	patience = 30 * time.Second
)

// cluster is the part of a control plane that an agent meets: the log, its fold, the feed and two requests. What a
// scheduler and a garbage collector would append, it appends.
type cluster struct {
	t     *testing.T
	log   *memory.Log
	wires *memory.Wires
	fold  *follow.Follower
	epoch events.Seq
	stops []func()
}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, log: memory.NewLog(time.Now), wires: memory.NewWires()}
	c.takeLease()
	fold, err := follow.Open(t.Context(), c.log, follow.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.fold = fold
	t.Cleanup(c.leave)
	c.serve()
	return c
}

func (c *cluster) takeLease() {
	seq, err := c.log.Append(c.t.Context(), []bus.Record{{Envelope: events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken, Version: 1,
		Actor: events.Controller("lease"), Body: events.MustBody(events.Lease{Holder: "test"})}}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.epoch = seq
}

// serve is a control plane that is there; leave takes it away.
func (c *cluster) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	feed := &follow.Feed{Wires: c.wires, Source: c.fold, Holds: func() bool { return true }, Logger: slog.New(slog.DiscardHandler)}
	go func() { defer close(done); _ = feed.Run(ctx) }()
	c.stops = append(c.stops, func() { cancel(); <-done })
	for verb, answer := range map[string]func(context.Context, bus.Request) []byte{wire.VerbJoin: c.join, wire.VerbDesired: c.desired} {
		stop, err := c.wires.Serve(wire.Pattern(verb), answer)
		if err != nil {
			c.t.Fatal(err)
		}
		c.stops = append(c.stops, stop)
	}
}

func (c *cluster) leave() {
	for _, s := range c.stops {
		s()
	}
	c.stops = nil
}

func (c *cluster) join(ctx context.Context, r bus.Request) []byte {
	var req wire.JoinRequest
	_ = json.Unmarshal(r.Body, &req)
	k := events.Key{Resource: events.Nodes, Name: req.Node}
	if _, ok := c.fold.Durable().Get(k); !ok {
		c.create(k, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: req.Node}})
	}
	return events.MustBody(wire.JoinReply{PodCIDR: "10.244.0.0/24", DNS: "10.96.0.10", Domain: "cluster.local"})
}

func (c *cluster) desired(_ context.Context, r bus.Request) []byte {
	var req wire.DesiredRequest
	_ = json.Unmarshal(r.Body, &req)
	return events.MustBody(projections.DesiredFor(c.fold.Durable(), req.Node))
}

// append waits until everybody sees the event.
func (c *cluster) append(subject events.Subject, typ events.Type, body any) events.Seq {
	c.t.Helper()
	seq, err := c.log.Append(context.Background(), []bus.Record{{Envelope: events.Envelope{Subject: subject, Type: typ, Version: 1,
		Actor: events.User("alice"), Epoch: c.epoch, Op: events.OpID(fmt.Sprint(subject, typ, time.Now().UnixNano())), Body: events.MustBody(body)}}})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.fold.WaitDurable(context.Background(), seq); err != nil {
		c.t.Fatal(err)
	}
	return seq
}

func uidOf(k events.Key) events.UID { return events.NewUID(events.OpID(k.String())) }

func (c *cluster) create(k events.Key, o events.Object) {
	c.t.Helper()
	c.append(events.SpecSubject(k), events.TypeOf(k.Resource, events.VerbCreated), events.Created{UID: uidOf(k), Object: events.MustBody(o)})
}

func podKey(name string) events.Key {
	return events.Key{Resource: events.Pods, Namespace: "default", Name: name}
}

// run creates a pod and assigns it.
func (c *cluster) run(pod *corev1.Pod) {
	c.t.Helper()
	k := podKey(pod.Name)
	c.create(k, pod)
	c.append(events.AssignSubject(nodeName), events.PodsAssigned, events.Assigned{Pods: []events.Ref{{Key: k, UID: uidOf(k)}}})
}

func (c *cluster) config(name string, data map[string]string) {
	c.t.Helper()
	k := events.Key{Resource: events.ConfigMaps, Namespace: "default", Name: name}
	o := &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Data: data}
	if _, ok := c.fold.Durable().Get(k); !ok {
		c.create(k, o)
		return
	}
	c.append(events.SpecSubject(k), events.TypeOf(k.Resource, events.VerbChanged), events.Changed{UID: uidOf(k), Generation: 2, Object: events.MustBody(o)})
}

func (c *cluster) delete(name string, grace int64) {
	c.t.Helper()
	k := podKey(name)
	c.append(events.SpecSubject(k), events.TypeOf(k.Resource, events.VerbDeletionRequested), events.DeletionRequested{UID: uidOf(k), Grace: grace})
}

func (c *cluster) remove(name string) {
	c.t.Helper()
	k := podKey(name)
	c.append(events.SpecSubject(k), events.TypeOf(k.Resource, events.VerbRemoved), events.Removed{UID: uidOf(k)})
}

// until waits for a pod to be as asked, and returns it.
func (c *cluster) until(name, what string, is func(*projections.Pod, projections.Container) bool) (*projections.Pod, projections.Container) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	changed := make(chan struct{}, 1)
	defer c.fold.OnDurable(func(projections.State, events.Envelope, []projections.Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for {
		p, ok := c.fold.Durable().Pod("default", name)
		var first projections.Container
		if ok {
			if len(p.Containers) > 0 {
				first = p.Containers[0]
			}
			if is(p, first) {
				return p, first
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			c.t.Fatalf("pod %s is not %s: %+v", name, what, p)
		}
	}
}

func (c *cluster) untilReady(name string) (*projections.Pod, projections.Container) {
	c.t.Helper()
	return c.until(name, "ready", func(p *projections.Pod, x projections.Container) bool { return x.Ready })
}

func (c *cluster) untilStopped(name string) *projections.Pod {
	c.t.Helper()
	p, _ := c.until(name, "stopped", func(p *projections.Pod, x projections.Container) bool { return !p.Stopped.IsZero() })
	return p
}

// facts are all that nodes said of a pod, in the order of the log.
func (c *cluster) facts(name string, kind events.FactKind) []events.Fact {
	c.t.Helper()
	var out []events.Fact
	err := c.log.Read(context.Background(), 1, func(e events.Envelope) error {
		if e.Type != events.PodsSeen {
			return nil
		}
		seen, err := events.Decode[events.Seen](e)
		if err != nil {
			return err
		}
		for _, p := range seen.Pods {
			for _, f := range p.Facts {
				if p.Name == name && f.Kind == kind {
					out = append(out, f)
				}
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// nodeFacts counts how often nodes said what they are.
func (c *cluster) nodeFacts() int {
	c.t.Helper()
	n := 0
	err := c.log.Read(context.Background(), 1, func(e events.Envelope) error {
		if seen, err := events.Decode[events.Seen](e); e.Type == events.PodsSeen && err == nil && seen.Node != nil {
			n++
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// eventually waits for what no event tells of.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// link is a network without links: it counts who is attached.
type link struct {
	mu        sync.Mutex
	attached  map[string]netip.Addr
	published map[string][]plan.HostPort
	next      int
}

func (l *link) Reserve(ctx context.Context, uid string) (netip.Addr, error) {
	return l.Attach(ctx, uid, "")
}

func (l *link) Attach(_ context.Context, uid, netns string) (netip.Addr, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := os.Stat(netns); netns != "" && err != nil {
		return netip.Addr{}, err
	}
	if l.attached[uid].IsValid() {
		return l.attached[uid], nil
	}
	l.next++
	l.attached[uid] = netip.AddrFrom4([4]byte{10, 244, 0, byte(l.next)})
	return l.attached[uid], nil
}

func (l *link) Publish(_ context.Context, uid string, ports []plan.HostPort) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.published == nil {
		l.published = map[string][]plan.HostPort{}
	}
	l.published[uid] = ports
	return nil
}

func (l *link) Detach(_ context.Context, uid string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.attached, uid)
	delete(l.published, uid)
	return nil
}

func (l *link) Know(string, *corev1.Pod) {}

func (l *link) Withdrawn(context.Context, string) error { return nil }

// machine is a node's disk, and what is on it across agents.
type machine struct {
	t       *testing.T
	c       *cluster
	options Options
	network *link
	// runtime makes the runtime of the next agent, and what closes it.
	runtime func() (Runtime, func())
	agent   *Agent
	kill    func()
	gate    Network // in the stead of network, if set
}

func newMachine(t *testing.T, c *cluster, open func() (Runtime, func())) *machine {
	state := filepath.Join("/run/stave", fmt.Sprintf("a%d", os.Getpid()), "node")
	if os.Getuid() != 0 {
		state = t.TempDir()
	}
	m := &machine{t: t, c: c, network: &link{attached: map[string]netip.Addr{}}, runtime: open}
	m.options = Options{Thresholds: []plan.Threshold{}, Name: nodeName, Cluster: "test", DataDir: t.TempDir(), StateDir: state, Wires: c.wires, Log: c.log,
		Facts:   events.NodeFacts{Addresses: []string{"192.0.2.1"}},
		Network: func(context.Context, wire.JoinReply) (Network, error) { return cmp.Or[Network](m.gate, m.network), nil },
		Logger:  slog.New(slog.NewTextHandler(testLog{t}, nil))}
	t.Cleanup(func() {
		if m.kill != nil {
			m.kill()
		}
		os.RemoveAll(state)
	})
	return m
}

// start begins an agent's life; kill ends it and leaves the containers.
func (m *machine) start() {
	m.t.Helper()
	r, closeRuntime := m.runtime()
	o := m.options
	o.Runtime = r
	a, err := Open(context.Background(), o)
	if err != nil {
		closeRuntime()
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	m.agent = a
	eventually(m.t, "the agent serves", func() bool {
		s, err := m.c.wires.Dial(ctx, wire.NodeSubject("alice", nodeName, wire.NodeAttach), nil)
		if err == nil {
			s.Close()
		}
		return err == nil
	})
	m.kill = func() {
		m.t.Helper()
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			m.t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			m.t.Errorf("close: %v", err)
		}
		closeRuntime()
		m.kill = nil
	}
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// containers opens the real runtime, with an image registry on loopback.
func containers(t *testing.T) func() (Runtime, func()) {
	open, _ := containersOf(t)
	return open
}

// containersOf also gives the registry.
func containersOf(t *testing.T) (open func() (Runtime, func()), registry *imagetest.Registry) {
	if os.Getuid() != 0 {
		t.Skip("containers need root")
	}
	dir := t.TempDir()
	shim := filepath.Join(dir, "shim")
	build := exec.Command("go", "build", "-o", shim, "./shim/cmd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build shim: %v: %s", err, out)
	}
	hosts := filepath.Join(dir, "hosts")
	registry, err := imagetest.Serve(t.Context(), "127.0.0.1:0", hosts, imagetest.DefaultCache())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { registry.Close() })
	name := fmt.Sprintf("a%d", os.Getpid())
	o := containerd.Options{Root: filepath.Join(dir, "root"), State: filepath.Join("/run/stave", name), Cluster: name, RegistryHosts: hosts, Shim: shim,
		Log: slog.New(slog.DiscardHandler)}
	open = func() (Runtime, func()) {
		r, err := containerd.Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		return r, func() {
			if err := r.Close(); err != nil {
				t.Errorf("close runtime: %v", err)
			}
		}
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r, err := containerd.Open(ctx, o)
		if err == nil {
			err = r.Purge(ctx)
		}
		if err != nil {
			t.Errorf("purge: %v", err)
		}
	})
	return open, registry
}

// shell is a pod of one container that runs a script.
func shell(name, script string, edit ...func(*corev1.PodSpec)) *corev1.Pod {
	grace := int64(30)
	p := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}}}
	p.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: &grace, DNSPolicy: corev1.DNSClusterFirst,
		Containers: []corev1.Container{{Name: "main", Image: "busybox:stable", ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sh", "-c", script}}}}
	for _, e := range edit {
		e(&p.Spec)
	}
	return p
}

// limits is a list of one limit.
func limits(name corev1.ResourceName, q string) corev1.ResourceList {
	return corev1.ResourceList{name: resource.MustParse(q)}
}

func never(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyNever }

// result is what a stream gave.
type result struct {
	out, err string
	status   metav1.Status
}

// dial talks to the node as a user does: it sends the frames and reads to the end.
func (m *machine) dial(verb string, hello any, frames ...bus.Frame) result {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	s, err := m.c.wires.Dial(ctx, wire.NodeSubject("alice", nodeName, verb), events.MustBody(hello))
	if err != nil {
		m.t.Fatal(err)
	}
	defer s.Close()
	for _, f := range frames {
		if err := s.Send(ctx, f); err != nil {
			m.t.Fatal(err)
		}
	}
	var r result
	for {
		f, err := s.Recv(ctx)
		if err == io.EOF {
			return r
		}
		if err != nil {
			m.t.Fatalf("%s: %v after %+v", verb, err, r)
		}
		switch f.Channel {
		case wire.Stdout:
			r.out += string(f.Data)
		case wire.Stderr:
			r.err += string(f.Data)
		case wire.Failed:
			if err := json.Unmarshal(f.Data, &r.status); err != nil {
				m.t.Fatal(err)
			}
		}
	}
}

func (m *machine) exec(pod string, command ...string) result {
	m.t.Helper()
	return m.dial(wire.NodeExec, wire.ExecRequest{Namespace: "default", Pod: pod, Command: command})
}
