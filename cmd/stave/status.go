package main

import (
	"context"
	"fmt"

	"github.com/stave-run/stave/gateway/wire"
)

// statusCmd is `stave status`.
type statusCmd struct {
	then
	Output format `short:"o" help:"json or yaml." placeholder:"FORMAT"`
}

// Help implements kong's detailed help.
func (statusCmd) Help() string {
	return `One page of what is wrong: the worst first, everything with the same cause together; since when, who
changed something before, and what to type next. Without -n it is about the whole cluster.

Examples:
  stave status
  stave status -n shop
  stave status --at 10m
  stave status -o json`
}

// Run prints the page.
func (c *statusCmd) Run(ctx context.Context, s *session) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	reply, err := ask[wire.TextReply](ctx, s, wire.VerbStatus, wire.StatusRequest{Namespace: s.Namespace, At: c.At.Moment, Home: s.namespace})
	if err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return err
	}
	if c.Output != formatTable {
		return s.printDocument(c.Output, reply.JSON)
	}
	_, err = fmt.Fprint(s.out, reply.Text)
	return err
}
