package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// blameCmd is `stave blame`.
type blameCmd struct {
	then
	Output format   `short:"o" help:"json or yaml: a list of fields." placeholder:"FORMAT"`
	What   []string `arg:"" optional:"" help:"TYPE/NAME or TYPE NAME."`
}

// Help implements kong's detailed help.
func (blameCmd) Help() string {
	return `Every field of the object, with the sequence and the actor of the event that
last set it. It also tells of objects that are gone.

Examples:
  stave blame deployment/web
  stave blame cm settings --at 412 -o json

A case: who raised the price?
  $ stave blame cm/settings
  11  user:admin  apiVersion: v1
                  data:
  25  user:admin    tea: "4"
  11  user:admin  kind: ConfigMap
                  metadata:
  11  user:admin    name: settings
  11  user:admin    namespace: shop`
}

// Run prints each object as YAML, marked.
func (c *blameCmd) Run(ctx context.Context, s *session) error {
	items, err := s.items(ctx, files{}, c.What)
	if err != nil {
		return err
	}
	var errs []error
	for _, it := range items {
		errs = append(errs, s.tell(ctx, wire.VerbBlame, wire.WhyRequest{Key: it.Key, At: c.At.Moment}, c.Output))
	}
	return errors.Join(errs...)
}

// tell asks about one object and prints the answer's text, or its document.
func (s *session) tell(ctx context.Context, verb string, r wire.WhyRequest, output format) error {
	reply, err := ask[wire.TextReply](ctx, s, verb, r)
	defer s.tellHorizon(reply.Horizon)
	if err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return err
	}
	if output != formatTable {
		return s.printDocument(output, reply.JSON)
	}
	fmt.Fprint(s.out, reply.Text)
	return nil
}

// tellHorizon says that there may have been more to tell.
func (s *session) tellHorizon(h *wire.Horizon) {
	if h != nil {
		fmt.Fprintf(s.err, "note: %s\n", h)
	}
}

// tellOlder is tellHorizon for a stretch of the log that begins at a moment.
func (s *session) tellOlder(ctx context.Context, from wire.Moment) error {
	c, err := ask[wire.ClusterReply](ctx, s, wire.VerbCluster, wire.ClusterRequest{})
	if err == nil && c.Horizon != nil && from.Seq == 0 && from.Time.Before(c.Horizon.Time) {
		s.tellHorizon(c.Horizon)
	}
	return err
}

// restartsCmd is `stave restarts`.
type restartsCmd struct {
	then
	Output format `short:"o" help:"json or yaml: with the last words of each run." placeholder:"FORMAT"`
	Pod    string `arg:"" help:"POD or pod/POD."`
}

// Help implements kong's detailed help.
func (restartsCmd) Help() string {
	return `Every run of the pod's containers, also after the pod is gone. SEQ is where the
log tells of it.

Examples:
  stave restarts web-7d9c6b8f4-x2k9p
  stave restarts crash -o json

A case: a pod that crashed, after its namespace was deleted.
  $ stave restarts crash
  SEQ   CONTAINER   RUN   STARTED                ENDED                  RAN     CODE   REASON   NODE
  46    c           1     2026-11-28T22:05:33Z   2026-11-28T22:05:33Z   135ms   1      Error    vm
  49    c           2     2026-11-28T22:05:33Z   2026-11-28T22:05:33Z   60ms    1      Error    vm
  89    c           3     2026-11-28T22:05:43Z   2026-11-28T22:05:43Z   67ms    1      Error    vm`
}

// Run prints a row a run, oldest first.
func (c *restartsCmd) Run(ctx context.Context, s *session) error {
	kind, name, err := oneTarget(c.Pod, "pod")
	if err != nil {
		return err
	}
	if kind.Resource != events.Pods {
		return fmt.Errorf("only pods run: %s is none", c.Pod)
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	return s.tell(ctx, wire.VerbRestarts, wire.WhyRequest{Key: s.key(kind, name), At: c.At.Moment}, c.Output)
}
