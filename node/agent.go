// Package node is the agent of one machine: it takes from its feed which pods it shall run, observes which it runs, lets
// node/plan decide, does what the plan says, and tells the log what it saw.
//
// Three things are kept apart so that each survives alone. Containers belong to their shims: the agent may be killed.
// What was told lies in a journal until the log has it for good: the log may lose its tail. The rows lie beside the
// pods' records: the control plane may be away, and containers are still restarted.
package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/node/runtime"
	"github.com/stave-run/stave/projections"
)

// Runtime is what the agent needs of what runs its containers; node/containerd is one.
type Runtime interface {
	Adopt(ctx context.Context) error
	Exits() <-chan runtime.Exit
	// Strain reads what a run, counted from 0, met of its limits, and names whom the kernel killed when more than known;
	// Strained gives the pods of which it may have changed.
	Strain(podUID, name string, run, known int) runtime.Strain
	Strained() <-chan string
	// Pull tries the logins that fit the image one after the other, and goes without where none does.
	Pull(ctx context.Context, ref string, logins []runtime.Login, progress func(runtime.PullProgress)) (runtime.Image, error)
	Lookup(ctx context.Context, ref string) (runtime.Image, bool, error)
	// MountImage makes what is in an image the content of a pod's volume, read-only, at ImageMount, until the pod's sandbox is
	// removed. One that is mounted stays as it is.
	MountImage(ctx context.Context, podUID, volume, ref string) error
	ImageMount(podUID, volume string) string
	Import(ctx context.Context, archive io.Reader) ([]runtime.Image, error)
	// Collect removes the images that no container has and that are not of keep; DiskUsage is what a container wrote.
	Collect(ctx context.Context, keep []string) ([]runtime.Image, error)
	DiskUsage(ctx context.Context, id string) (int64, error)
	EnsureSandbox(ctx context.Context, s runtime.SandboxSpec) (runtime.Sandbox, error)
	RemoveSandbox(ctx context.Context, podUID string) error
	ListSandboxes(ctx context.Context) ([]runtime.SandboxState, error)
	Create(ctx context.Context, c runtime.ContainerSpec) (string, error)
	Start(ctx context.Context, id string) (int, error)
	Stop(ctx context.Context, id string, grace time.Duration, signal syscall.Signal) error
	// Update changes the bounds of a running container, and the labels that say so.
	Update(ctx context.Context, id string, res runtime.Resources, labels map[string]string) error
	Remove(ctx context.Context, id string) error
	List(ctx context.Context) ([]runtime.ContainerState, error)
	Exec(ctx context.Context, id string, e runtime.ExecSpec, s runtime.Streams) (int, error)
	Attach(ctx context.Context, id string, s runtime.Streams) error
	// Stats reads what a running container has used and uses.
	Stats(ctx context.Context, id string) (runtime.Stats, error)
	// Root opens the root directory of a running container; the caller closes it.
	Root(ctx context.Context, id string) (runtime.Root, error)
	// Dial connects to a TCP port on the loopback of a pod's network.
	Dial(ctx context.Context, podUID string, port uint16) (net.Conn, error)
}

// Network gives pods their links and addresses. All calls are idempotent.
type Network interface {
	// Reserve gives the address that the pod has, or will have when it is attached; Detach gives it back.
	Reserve(ctx context.Context, podUID string) (netip.Addr, error)
	Attach(ctx context.Context, podUID, netnsPath string) (netip.Addr, error)
	// Know tells what network policies go by, the pod's labels and named ports: before it is attached, and whenever its row
	// has changed.
	Know(podUID string, pod *corev1.Pod)
	// Publish makes these the ports of the node that lead to an attached pod, until it is detached.
	Publish(ctx context.Context, podUID string, ports []plan.HostPort) error
	Detach(ctx context.Context, podUID string) error
	// Withdrawn returns when no service of this node leads to the pod any more, and what was on its way has arrived. A
	// service that publishes also who is not ready is not waited for.
	Withdrawn(ctx context.Context, podUID string) error
}

// Options say who the node is and what it works with.
type Options struct {
	Name    string
	Cluster string
	// User is the agent's user name on the wires, the second token of its requests; empty means Name.
	User string
	// DataDir keeps what survives a reboot: records, journal, volumes, logs. StateDir keeps what need not: volumes in
	// memory. Below the runtime's State they are unmounted by its Purge; its own directories there are not to be shared.
	DataDir  string
	StateDir string
	Wires    bus.Wires
	Log      bus.Appender
	Runtime  Runtime
	// Network makes the node's network when its place in the cluster is known: after the first join, and at once from
	// what was kept of it after a restart. It is called once.
	Network func(ctx context.Context, place wire.JoinReply) (Network, error)
	// ImagesDir is on the file system of images and containers; empty means that of DataDir.
	ImagesDir string
	// Thresholds say when the disk is short; nil means plan.DefaultThresholds. PressureHold is how long the node is held to
	// be under pressure after that; 0 means DefaultPressureHold.
	Thresholds   []plan.Threshold
	PressureHold time.Duration
	// Facts are what the node says of itself; empty fields are found out (see Facts).
	Facts events.NodeFacts
	// Labels are the node's at its first join.
	Labels map[string]string
	Logger *slog.Logger
	// Clock is time.Now in tests replaced; nil means time.Now.
	Clock func() time.Time
}

// Agent runs the pods of one node.
type Agent struct {
	o       Options
	log     *slog.Logger
	now     func() time.Time
	boot    string
	journal *journal
	feed    *feed
	meter   meter
	samples samples
	turns   turns

	telling sync.Mutex    // one tells at a time what the node is
	judged  chan struct{} // a condition has changed

	mu         sync.Mutex
	conditions []events.NodeCondition
	place      wire.JoinReply
	network    Network
	node       plan.Node
	host       func() hostFiles // as they are now: machines change networks
	workers    map[events.UID]*worker
	life       context.Context
	started    bool                // workers may run: what runs already was observed
	erasing    map[events.UID]bool // volumes
	working    sync.WaitGroup
}

// Open reads what the node kept. Nothing happens before Run.
func Open(_ context.Context, o Options) (*Agent, error) {
	o = o.filled()
	a := &Agent{o: o, log: o.Logger.With("node", o.Name), now: o.Clock, boot: rand.Text(), judged: make(chan struct{}, 1), turns: newTurns(), workers: map[events.UID]*worker{}, erasing: map[events.UID]bool{}}
	for _, dir := range []string{a.podsDir(), a.logsDir(), o.StateDir} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("open node: %w", err)
		}
	}
	o.Facts = findFacts(o.Facts)
	o.Facts.VolumesDir = claimsDir(o.DataDir)
	a.o.Facts = o.Facts
	a.node, a.host = describeNode(o), readHostFiles
	var err error
	if a.journal, err = openJournal(filepath.Join(o.DataDir, "journal"), a.log); err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	a.conditions = a.toldConditions()
	if err := a.loadRecords(); err != nil {
		return nil, errors.Join(fmt.Errorf("open node: %w", err), a.journal.close())
	}
	a.feed = newFeed(a)
	return a, nil
}

// filled are the options with what the caller left out.
func (o Options) filled() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Thresholds == nil {
		o.Thresholds = plan.DefaultThresholds()
	}
	o.User, o.ImagesDir, o.PressureHold = cmp.Or(o.User, o.Name), cmp.Or(o.ImagesDir, o.DataDir), cmp.Or(o.PressureHold, DefaultPressureHold)
	return o
}

func (a *Agent) podsDir() string { return filepath.Join(a.o.DataDir, "pods") }
func (a *Agent) logsDir() string { return filepath.Join(a.o.DataDir, "logs") }

// Run does the node's work until ctx ends; containers run on after it.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The journal writes to the last: an operation that is finished after the end still tells what it saw.
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	var running, writer sync.WaitGroup
	writer.Go(func() { a.journal.write(writing) })
	defer func() {
		cancel()
		running.Wait()
		a.working.Wait()
		stopWriting()
		writer.Wait()
	}()
	running.Go(func() { a.readExits(ctx) })
	if err := a.observe(ctx); err != nil {
		return fmt.Errorf("observe node: %w", err)
	}
	stop, err := a.serve()
	if err != nil {
		return fmt.Errorf("serve node: %w", err)
	}
	defer stop()
	running.Go(func() { a.send(ctx) })
	running.Go(func() { a.beat(ctx) })
	running.Go(func() { a.watchSizes(ctx) })
	running.Go(func() { a.watchStrain(ctx) })
	disk := a.openDisk(ctx)
	running.Go(func() { a.watchDisk(ctx, disk) })
	running.Go(func() { a.remember(ctx) })
	if err := a.enter(ctx); err != nil {
		return err
	}
	running.Go(func() { a.tellConditions(ctx) })
	a.startWorkers(ctx)
	a.feed.run(ctx)
	return nil
}

// Close gives back what Open took. The containers run on.
func (a *Agent) Close() error {
	if err := a.journal.close(); err != nil {
		return fmt.Errorf("close node: %w", err)
	}
	return nil
}

// serve accepts what people and the control plane send to this node.
func (a *Agent) serve() (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	add := func(listen func() (func(), error)) {
		if err != nil {
			return // each would wait as long for a server that is gone
		}
		var end func()
		if end, err = listen(); err == nil {
			stops = append(stops, end)
		}
	}
	for _, of := range []struct {
		verb string
		f    func(context.Context, bus.Request, bus.Stream)
	}{{wire.NodeLogs, a.serveLogs}, {wire.NodeExec, a.serveExec}, {wire.NodeAttach, a.serveAttach}, {wire.NodeForward, a.serveForward},
		{wire.NodeImport, a.importImages}, {wire.NodeMetrics, a.serveMetrics}, {wire.NodeCopy, a.serveCopy}} {
		add(func() (func(), error) { return a.o.Wires.Accept(wire.NodePattern(a.o.Name, of.verb), of.f) })
	}
	add(func() (func(), error) {
		return a.o.Wires.Subscribe(string(events.NodeFeedSubject(a.o.Name)), a.feed.message)
	})
	add(func() (func(), error) { return a.o.Wires.Subscribe(projections.BeaconSubject, a.feed.beacon) })
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// worker finds a pod's worker; make adds one.
func (a *Agent) worker(uid events.UID, make bool) (*worker, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w, ok := a.workers[uid]
	if !ok && make {
		w = newWorker(a, uid)
		a.workers[uid] = w
		if a.started {
			a.startLocked(w)
		}
		return w, true
	}
	return w, ok
}

// each calls f for every worker there is now.
func (a *Agent) each(f func(*worker)) {
	a.mu.Lock()
	all := make([]*worker, 0, len(a.workers))
	for _, w := range a.workers {
		all = append(all, w)
	}
	a.mu.Unlock()
	for _, w := range all {
		f(w)
	}
}

func (a *Agent) startWorkers(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.life, a.started = ctx, true
	for _, w := range a.workers {
		a.startLocked(w)
	}
}

func (a *Agent) startLocked(w *worker) {
	ctx := a.life
	a.working.Go(func() { w.loop(ctx) })
}

func (a *Agent) dropWorker(uid events.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.workers, uid)
}

func (a *Agent) describe() (plan.Node, func() hostFiles, Network) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.node, a.host, a.network
}
