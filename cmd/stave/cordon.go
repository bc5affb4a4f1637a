package main

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// nodeVerbs are the verbs about nodes.
type nodeVerbs struct {
	Cordon   cordonCmd   `cmd:"" group:"Nodes" help:"Let no new pods come to nodes."`
	Uncordon uncordonCmd `cmd:"" group:"Nodes" help:"Let pods come to nodes again."`
	Drain    drainCmd    `cmd:"" group:"Nodes" help:"Cordon nodes and take their pods away."`
	Taint    taintCmd    `cmd:"" group:"Nodes" help:"Keep pods away from nodes that do not tolerate a taint."`
}

// chosenNodes is how these verbs say which nodes they mean.
type chosenNodes struct {
	Selector string   `short:"l" help:"Label selector: all nodes that match." placeholder:"SELECTOR"`
	Message  string   `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
	Names    []string `arg:"" optional:"" help:"NODE…"`
}

func (c chosenNodes) items(ctx context.Context, s *session) ([]wire.Item, error) {
	switch {
	case c.Selector != "" && len(c.Names) > 0:
		return nil, errors.New("cannot specify both a node name and a --selector option")
	case c.Selector != "":
		return (&deleteCmd{Selector: c.Selector, What: []string{"nodes"}}).matching(ctx, s)
	case len(c.Names) == 0:
		return nil, errors.New("a node name or a --selector is required\nhelp: stave get nodes")
	}
	var out []wire.Item
	for _, n := range c.Names {
		kind, name, err := oneTarget(n, "node")
		if err == nil && kind.Resource != events.Nodes {
			err = fmt.Errorf("%q is no node", n)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, wire.Item{Key: events.Key{Resource: events.Nodes, Name: name}})
	}
	return out, s.connect(ctx)
}

// cordonCmd is `stave cordon`.
type cordonCmd struct {
	chosenNodes
	DryRun dryRun `name:"dry-run" help:"Only say what would happen: client or server." placeholder:"MODE"`
}

// Help implements kong's detailed help.
func (cordonCmd) Help() string {
	return `Examples:
  stave cordon n1 -m "its disk is failing"
  stave cordon -l zone=a`
}

// Run cordons.
func (c *cordonCmd) Run(ctx context.Context, s *session) error {
	return c.mark(ctx, s, true, c.DryRun)
}

// uncordonCmd is `stave uncordon`.
type uncordonCmd struct {
	chosenNodes
	DryRun dryRun `name:"dry-run" help:"Only say what would happen: client or server." placeholder:"MODE"`
}

// Help implements kong's detailed help.
func (uncordonCmd) Help() string {
	return `Examples:
  stave uncordon n1`
}

// Run uncordons.
func (c *uncordonCmd) Run(ctx context.Context, s *session) error {
	return c.mark(ctx, s, false, c.DryRun)
}

func (c chosenNodes) mark(ctx context.Context, s *session, closed bool, d dryRun) error {
	items, err := c.items(ctx, s)
	if err != nil {
		return err
	}
	word := "uncordoned"
	if closed {
		word = "cordoned"
	}
	w := rewriting{changeFlags: changeFlags{DryRun: d, Message: c.Message}, done: word, same: "already " + word}
	return w.each(ctx, s, items, typed(func(n *corev1.Node) error {
		n.Spec.Unschedulable = closed
		return nil
	}))
}
