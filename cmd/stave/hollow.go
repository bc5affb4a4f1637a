package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/hollow"
)

// hollowFlags say how pretended nodes behave.
type hollowFlags struct {
	Prefix   string            `help:"What the nodes' names begin with." default:"hollow-" placeholder:"PREFIX"`
	Capacity map[string]string `help:"What each node has." default:"cpu=32,memory=256Gi,pods=110" mapsep:"," placeholder:"RESOURCE=QUANTITY,…"`
	Labels   map[string]string `help:"Further labels of the nodes." mapsep:"," placeholder:"KEY=VALUE,…"`
	Zones    int               `help:"Spread the nodes over so many zones (topology.kubernetes.io/zone)." placeholder:"N"`
	Pull     hollow.Span       `help:"How long an image takes that a node has not; two durations for something in between." default:"0s" placeholder:"1s..3s"`
	Start    hollow.Span       `help:"How long a container takes to start." default:"0s" placeholder:"DURATION"`
	Ready    hollow.Span       `help:"How long a probe fails before it passes, where a container has one." default:"0s" placeholder:"DURATION"`
	Stop     hollow.Span       `help:"How long a container takes to end when it is asked to." default:"0s" placeholder:"DURATION"`
	Run      hollow.Span       `help:"How long a container runs before it ends by itself; 0 is as its command says (sleep 5, false, exit 3 of a shell), and for ever where that cannot be read." default:"0s" placeholder:"DURATION"`
	Code     int               `help:"What containers end with by themselves." default:"0" placeholder:"CODE"`
	FailPull float64           `help:"Share of pulls that fail, 0 to 1." placeholder:"SHARE"`
	FailRun  float64           `help:"Share of runs that end with code 1, 0 to 1." placeholder:"SHARE"`
	BadImage string            `help:"Images that can never be pulled, as a pattern." placeholder:"'*:bad'"`
}

func (f hollowFlags) model() hollow.Model {
	return hollow.Model{Pull: f.Pull, Start: f.Start, Ready: f.Ready, Stop: f.Stop, Run: f.Run, Code: f.Code,
		FailPull: f.FailPull, FailRun: f.FailRun, BadImage: f.BadImage}
}

func (f hollowFlags) check() error {
	if err := f.model().Check(); err != nil {
		return err
	}
	for name, q := range f.Capacity {
		if _, err := resource.ParseQuantity(q); err != nil {
			return fmt.Errorf("capacity %s=%s: %w", name, q, err)
		}
	}
	return nil
}

// facts are what a node says of itself. It has no address: no real node shall lead to its pods.
func (f hollowFlags) facts(name string) events.NodeFacts {
	return events.NodeFacts{Hostname: name, Addresses: []string{},
		Capacity: f.Capacity, Allocatable: f.Capacity, OSImage: "none: a pretended node", Kernel: "none", Architecture: "amd64",
		ContainerRuntime: "hollow://" + version, AgentVersion: version, MachineID: "hollow-" + name, VolumesDir: "/var/lib/stave/claims"}
}

func (f hollowFlags) labels(i int) map[string]string {
	out := map[string]string{hollow.Label: "true"}
	if f.Zones > 0 {
		out["topology.kubernetes.io/zone"] = "zone-" + strconv.Itoa(i%f.Zones+1)
	}
	for k, v := range f.Labels {
		out[k] = v
	}
	return out
}

// joining is how many nodes join at a time.
const joining = 32

// herd are the pretended nodes of one process.
type herd struct {
	hollowFlags
	cluster string
	count   int
	enter   func(ctx context.Context, name string) (token, error)
	logger  *slog.Logger

	clients []*jetstream.Client
	nodes   []*hollow.Node
}

func (h *herd) name(i int) string { return h.Prefix + strconv.Itoa(i+1) }

// connect gets the nodes their tokens and connections.
func (h *herd) connect(ctx context.Context) error {
	if err := h.check(); err != nil {
		return err
	}
	h.clients, h.nodes = make([]*jetstream.Client, h.count), make([]*hollow.Node, h.count)
	errs := make([]error, h.count)
	slots := make(chan struct{}, joining)
	var all sync.WaitGroup
	for i := range h.count {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			errs[i] = h.dial(ctx, i)
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			h.close()
			return fmt.Errorf("node %s: %w", h.name(i), err)
		}
	}
	return nil
}

func (h *herd) dial(ctx context.Context, i int) error {
	t, err := h.enter(ctx, h.name(i))
	if err != nil {
		return err
	}
	h.clients[i], err = jetstream.Dial(ctx, jetstream.DialOptions{URL: t.Server, Credential: t.Credential})
	if err != nil {
		return err
	}
	h.nodes[i], err = hollow.New(hollow.Options{Cluster: h.cluster, Name: h.name(i), User: t.Credential.User, Wires: h.clients[i], Log: h.clients[i],
		Facts: h.facts(h.name(i)), Labels: h.labels(i), Model: h.model(), Logger: h.logger})
	return err
}

func (h *herd) close() error {
	for _, c := range h.clients {
		if c != nil {
			c.Close()
		}
	}
	return nil
}

// run lets the nodes live until ctx ends, or one is refused.
func (h *herd) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(h.nodes))
	slots := make(chan struct{}, joining)
	var all sync.WaitGroup
	for i, n := range h.nodes {
		all.Go(func() {
			slots <- struct{}{}
			all.Go(func() {
				select {
				case <-n.Joined():
				case <-ctx.Done():
				}
				<-slots
			})
			if errs[i] = n.Run(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return ctx.Err()
}

// joined waits until all nodes have their place.
func (h *herd) joined(ctx context.Context, failed <-chan error) error {
	for _, n := range h.nodes {
		select {
		case <-n.Joined():
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// nodeHollowCmd is `stave node hollow`.
type nodeHollowCmd struct {
	hollowFlags
	Count int `arg:"" help:"How many nodes."`
}

// Help implements kong's detailed help.
func (nodeHollowCmd) Help() string {
	return `Pretended nodes take pods, and tell the cluster what real nodes would tell, but run nothing: what a cluster of a thousand nodes does shows on one machine. They have the label stave.run/hollow=true, and live until this command is stopped.

Examples:
  stave node hollow 100
  stave node hollow 100 --prefix=big- --capacity=cpu=64,memory=512Gi,pods=200 --zones=3
  stave node hollow 10 --pull=1s..3s --start=200ms --ready=2s --bad-image='*:bad'
  stave node hollow 10 --run=5s..20s --fail-run=0.1`
}

// Run pretends the nodes until it is stopped.
func (c *nodeHollowCmd) Run(ctx context.Context, s *session) error {
	if c.Count < 1 {
		return fmt.Errorf("%d nodes: want at least one", c.Count)
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	h := &herd{hollowFlags: c.hollowFlags, count: c.Count, logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		enter: func(ctx context.Context, name string) (token, error) { return s.hollowToken(ctx, name) }}
	first, err := h.enter(ctx, h.name(0))
	if err != nil {
		return err
	}
	h.cluster = first.Cluster
	if err := h.connect(ctx); err != nil {
		return err
	}
	r := newRooms(h.logger)
	r.onClose(h.close)
	r.background("hollow nodes", h.run)
	if err = h.joined(ctx, r.failed); err == nil {
		fmt.Fprintf(s.out, "%d hollow nodes have joined cluster %s\n", c.Count, h.cluster)
		select {
		case <-ctx.Done():
		case err = <-r.failed:
		}
	}
	return errors.Join(err, r.close())
}

func (s *session) hollowToken(ctx context.Context, name string) (token, error) {
	var t token
	raw, err := s.token(ctx, name)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return t, fmt.Errorf("decode token: %w", err)
	}
	return t, nil
}

// pretended is what a cluster remembers of the hollow nodes that it was started with.
type pretended struct {
	Count int         `json:"count"`
	Flags hollowFlags `json:"flags"`
}

func (l layout) hollowFile() string { return filepath.Join(l.data, "hollow.json") }

// pretend is how many hollow nodes the cluster has: as many as it is told now, or was told last.
func (l layout) pretend(up *upCmd) (pretended, error) {
	p := pretended{up.Hollow, up.Pretend}
	if p.Count > 0 {
		raw, err := json.MarshalIndent(p, "", "  ")
		if err == nil {
			err = replaceFile(l.hollowFile(), append(raw, '\n'))
		}
		if err != nil {
			return p, fmt.Errorf("keep what the hollow nodes are: %w", err)
		}
		return p, nil
	}
	raw, err := os.ReadFile(l.hollowFile())
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return p, fmt.Errorf("read what the hollow nodes are: %w", err)
	}
	return p, nil
}

// startHollow lets the cluster's pretended nodes live in this process.
func (c *cluster) startHollow(ctx context.Context, up *upCmd, say func(string, ...any)) error {
	p, err := c.layout.pretend(up)
	if err != nil || p.Count == 0 {
		return err
	}
	h := &herd{hollowFlags: p.Flags, cluster: c.layout.name, count: p.Count, logger: c.logger, enter: func(_ context.Context, name string) (t token, err error) {
		raw, err := c.Token(name)
		if err == nil {
			err = json.Unmarshal(raw, &t)
		}
		t.Server = c.server.Address()
		return t, err
	}}
	if err := h.connect(ctx); err != nil {
		return err
	}
	c.onClose(h.close)
	c.background("hollow nodes", h.run)
	if err := h.joined(ctx, c.failed); err != nil {
		return err
	}
	for i := range p.Count {
		if err := c.waitReady(ctx, h.name(i), func() bool { return true }); err != nil {
			return err
		}
	}
	say("%d hollow nodes ready", p.Count)
	return nil
}

// args are the flags again, of up.
func (f hollowFlags) args() []string {
	join := func(m map[string]string) string {
		var parts []string
		for k, v := range m {
			parts = append(parts, k+"="+v)
		}
		return strings.Join(parts, ",")
	}
	var out []string
	for _, a := range []struct{ flag, value string }{
		{"prefix", f.Prefix}, {"capacity", join(f.Capacity)}, {"labels", join(f.Labels)}, {"zones", strconv.Itoa(f.Zones)}, {"pull", f.Pull.String()},
		{"start", f.Start.String()}, {"ready", f.Ready.String()}, {"stop", f.Stop.String()}, {"run", f.Run.String()}, {"code", strconv.Itoa(f.Code)},
		{"fail-pull", fmt.Sprint(f.FailPull)}, {"fail-run", fmt.Sprint(f.FailRun)}, {"bad-image", f.BadImage},
	} {
		if a.value != "" {
			out = append(out, "--hollow-"+a.flag+"="+a.value)
		}
	}
	return out
}
