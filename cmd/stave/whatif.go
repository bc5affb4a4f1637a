package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/gateway/api"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/fork"
)

// forked is the fork that the door decides on: the reconcilers of this cluster.
func forked(v projections.State, now time.Time) (api.Fork, error) {
	return fork.New(v, now, controllers)
}

// foresight is what plan and whatif share.
type foresight struct {
	then
	files
	Output format `short:"o" help:"json or yaml: what would become of the pods." placeholder:"FORMAT"`
}

// planCmd is `stave plan`.
type planCmd struct{ foresight }

// Help implements kong's detailed help.
func (planCmd) Help() string {
	return `What apply would change, and the pods that would be made, and where they would
land: decided by the cluster's own code on a fork of its log. The log does not
grow. Nodes of the fork run at once whatever they are given: whether an image can
be had, and whether a program stays up, it cannot know. Exit code 0 when the plan
could be made, whatever it says.

Examples:
  stave plan -f web.yaml
  stave plan -f web.yaml --at 10m -o json`
}

// Run prints the plan.
func (c *planCmd) Run(ctx context.Context, s *session) error {
	if len(c.Filename) == 0 {
		return errors.New("must specify -f with manifests to plan\nhelp: stave plan -f FILE")
	}
	return c.ask(ctx, s, wire.ForeseeRequest{})
}

// whatifCmd is `stave whatif`.
type whatifCmd struct {
	foresight
	Drain   []string  `help:"Empty this node." placeholder:"NODE"`
	Lose    []string  `help:"Let this node fall silent." placeholder:"NODE"`
	AddNode []string  `help:"Add a node that has this to give." placeholder:"cpu=4,memory=8Gi" sep:"none"`
	Scale   []scaling `help:"Set how many replicas a workload has." placeholder:"TYPE/NAME=N"`
}

// Help implements kong's detailed help.
func (whatifCmd) Help() string {
	return `What would become of the pods: which would be made and where they would land,
which would go, and which would be left without a node and why. Flags can be
given together and more than once. The cluster's own code decides on a fork of
its log, in virtual time (up to an hour); the log does not grow. Nodes of the
fork run at once whatever they are given. Exit code 0 whatever the answer is.

Examples:
  stave whatif --drain n1
  stave whatif --scale deploy/web=50 --add-node cpu=8,memory=32Gi
  stave whatif --lose n2 --at 2h
  stave whatif -f more.yaml`
}

// Run prints what would become of the pods.
func (c *whatifCmd) Run(ctx context.Context, s *session) error {
	if len(c.Drain)+len(c.Lose)+len(c.AddNode)+len(c.Scale)+len(c.Filename) == 0 {
		return errors.New("what if what? Give --drain, --lose, --add-node, --scale or -f\nhelp: stave whatif --help")
	}
	req := wire.ForeseeRequest{Drain: c.Drain, Lose: c.Lose}
	for _, typed := range c.AddNode {
		has, err := capacity(typed)
		if err != nil {
			return err
		}
		req.AddNodes = append(req.AddNodes, has)
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	for _, typed := range c.Scale {
		kind, name, err := oneTarget(typed.what, "deployment")
		if err != nil {
			return err
		}
		req.Scale = append(req.Scale, wire.ScaleTo{Key: s.key(kind, name), Replicas: typed.replicas})
	}
	return c.ask(ctx, s, req)
}

// scaling is TYPE/NAME=N.
type scaling struct {
	what     string
	replicas int32
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (x *scaling) UnmarshalText(text []byte) error {
	what, n, ok := strings.Cut(string(text), "=")
	replicas, err := strconv.ParseInt(n, 10, 32)
	if !ok || err != nil || replicas < 0 {
		return fmt.Errorf("%q: want TYPE/NAME=N", text)
	}
	x.what, x.replicas = what, int32(replicas)
	return nil
}

// defaultPods is how many pods an added node takes when nothing is said: the
// kubelet's default.
const defaultPods = "110"

// capacity reads cpu=4,memory=8Gi.
func capacity(typed string) (map[string]string, error) {
	has := map[string]string{"pods": defaultPods}
	for _, pair := range strings.Split(typed, ",") {
		name, amount, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--add-node %q: want cpu=4,memory=8Gi", typed)
		}
		if _, err := resource.ParseQuantity(amount); err != nil {
			return nil, fmt.Errorf("--add-node %s=%q: %w", name, amount, err)
		}
		has[name] = amount
	}
	return has, nil
}

func (c *foresight) ask(ctx context.Context, s *session, req wire.ForeseeRequest) error {
	req.At = c.At.Moment
	if len(c.Filename) > 0 {
		docs, err := c.load(s)
		if err != nil {
			return err
		}
		if err := (changing{op: wire.Apply}).place(ctx, s, docs); err != nil {
			return err
		}
		for _, d := range docs {
			req.Items = append(req.Items, wire.Item{Object: d.JSON()})
		}
	}
	reply, err := ask[wire.ForeseeReply](ctx, s, wire.VerbForesee, req)
	if err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return err
	}
	return c.print(s, reply)
}

func (c *foresight) print(s *session, reply wire.ForeseeReply) error {
	var errs []error
	for _, r := range reply.Results {
		for _, w := range r.Warnings {
			fmt.Fprintln(s.err, "Warning: "+w)
		}
		if r.Error != nil {
			errs = append(errs, refused(r.Error))
			continue
		}
		if c.Output == formatTable {
			fmt.Fprintf(s.out, "%s %s (not done)\n", printedName(r.Key), r.Outcome)
		}
	}
	if c.Output != formatTable {
		return errors.Join(append(errs, s.printDocument(c.Output, reply.JSON))...)
	}
	fmt.Fprint(s.out, reply.Text)
	return errors.Join(errs...)
}
