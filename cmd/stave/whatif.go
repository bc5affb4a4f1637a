package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/api"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/fork"
)

// fork is the fork that the door decides on: the reconcilers of this cluster.
func (c *cluster) fork(ctx context.Context, v projections.State, now time.Time, ask bool) (api.Fork, error) {
	f, err := fork.New(v, now, controllers)
	if err == nil && ask {
		f.Ask(func(v projections.State, of events.Resource, w reconcilers.Wish) birth.Answer {
			return c.asked.Foretell(ctx, v, of, w)
		})
	}
	return f, err
}

// foresight is what plan and whatif share.
type foresight struct {
	then
	files
}

// whatifCmd is `stave whatif`.
type whatifCmd struct {
	foresight
	Output  format    `short:"o" help:"json or yaml: what would become of the pods." placeholder:"FORMAT"`
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
fork run at once whatever they are given. A drain asks budgets, as the real one
does, and names the pods that it would wait for. Webhooks and policies are asked,
as for a dry run; about the past (--at) they are not. Exit code 0 whatever the answer is.

Examples:
  stave whatif --drain n1
  stave whatif --scale deploy/web=50 --add-node cpu=8,memory=32Gi
  stave whatif --lose n2 --at 2h
  stave whatif -f more.yaml

A case: is there room for two hundred?
  $ stave whatif --scale deploy/web=200
  deployment.apps/web scaled (not done)
  deployments.apps/shop/web: 107 made (vm 107)
  deployments.apps/shop/web: 91 left without a node
    vm: Insufficient pods, need 1, have 0 (add a node)`
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
	docs, reply, err := c.ask(ctx, s, req)
	if err != nil {
		return err
	}
	return c.print(s, c.Output, docs, reply)
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

// ask foresees; docs are the manifests that are part of the question.
func (c *foresight) ask(ctx context.Context, s *session, req wire.ForeseeRequest) (docs []manifest.Doc, reply wire.ForeseeReply, err error) {
	req.At = c.At.Moment
	if len(c.Filename) > 0 {
		if docs, err = c.load(s); err != nil {
			return nil, reply, err
		}
		if err := (changing{op: wire.Apply}).place(ctx, s, docs); err != nil {
			return nil, reply, err
		}
		for _, d := range docs {
			req.Items = append(req.Items, wire.Item{Object: d.JSON()})
		}
	}
	reply, err = ask[wire.ForeseeReply](ctx, s, wire.VerbForesee, req)
	if err == nil {
		err = refused(reply.Error)
	}
	return docs, reply, err
}

// print tells what would be. Its error names what would be refused.
func (c *foresight) print(s *session, output format, docs []manifest.Doc, reply wire.ForeseeReply) error {
	var errs []error
	for i, r := range reply.Results {
		for _, w := range r.Warnings {
			fmt.Fprintln(s.err, "Warning: "+w)
		}
		switch {
		case r.Error != nil && i < len(docs):
			errs = append(errs, changing{op: wire.Apply}.placed(docs[i], r.Error))
		case r.Error != nil:
			errs = append(errs, refused(r.Error))
		case output == formatTable && r.Outcome != "":
			fmt.Fprintf(s.out, "%s %s (not done)\n", printedName(r.Key), r.Outcome)
		}
	}
	for _, r := range reply.Pruned {
		for _, w := range r.Warnings {
			fmt.Fprintln(s.err, "Warning: "+w)
		}
		if output == formatTable && r.Outcome != admit.Kept {
			fmt.Fprintf(s.out, "%s %s (not done)\n", printedName(r.Key), r.Outcome)
		}
	}
	if output != formatTable {
		return errors.Join(append(errs, s.printDocument(output, reply.JSON))...)
	}
	if len(errs) == 0 {
		fmt.Fprint(s.out, reply.Text)
	}
	return errors.Join(errs...)
}
