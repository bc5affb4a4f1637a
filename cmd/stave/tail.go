package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// tailCmd is `stave tail`.
type tailCmd struct {
	Follow bool       `short:"f" help:"Go on with what happens next." default:"true" negatable:""`
	From   events.Seq `help:"Begin at this sequence." placeholder:"SEQ"`
	Last   int        `help:"Begin so many events before the end." default:"10" placeholder:"N"`
	Type   string     `help:"Only events of this type; pods.* for all of pods." placeholder:"TYPE"`
	Actor  string     `help:"Only what this actor did: user:admin, reconciler:deployment, node:n1." placeholder:"ACTOR"`
	Cause  events.Seq `help:"Only this event and what followed from it." placeholder:"SEQ"`
	Output format     `short:"o" help:"json: whole envelopes, one a line." placeholder:"FORMAT"`
	What   []string   `arg:"" optional:"" help:"TYPE/NAME or TYPE NAME: only events about this object."`
}

// Help implements kong's detailed help.
func (tailCmd) Help() string {
	return `Examples:
  stave tail
  stave tail --from 1 --no-follow
  stave tail --cause 48211
  stave tail --type 'pods.*' --actor user:admin
  stave tail deploy/web -o json

A case: what the node does, after a namespace came back.
  $ stave tail --no-follow --last 3
  136  22:05:51.962  node:vm                pods.seen                     pod/web-8fdbfc674-n6htz in namespace shop: pulled hello:2  cause=128
  137  22:05:52.092  node:vm                pods.seen                     pod/web-8fdbfc674-wgv5l in namespace shop: started c, c is ready  cause=128
  138  22:05:52.093  node:vm                pods.seen                     pod/crash in namespace shop: started c, c is ready  cause=123`
}

// Run prints events until Ctrl-C, or until the end with --no-follow.
func (c *tailCmd) Run(ctx context.Context, s *session) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	req := wire.TailRequest{From: c.From, Last: c.Last, Follow: c.Follow, Filter: wire.TailFilter{Type: c.Type, Actor: c.Actor, Cause: c.Cause}}
	if c.Cause != 0 && c.From == 0 {
		req.From = c.Cause
	}
	if len(c.What) > 0 {
		kind, name, err := oneTarget(strings.Join(c.What, "/"), "pod")
		if err != nil {
			return err
		}
		req.Filter.Key = s.key(kind, name)
	}
	stream, err := s.dial(ctx, wire.Subject(s.user, wire.VerbTail), req)
	if err != nil {
		return fmt.Errorf("tail the log: %w", err)
	}
	defer stream.Close()
	for {
		f, err := stream.Recv(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("tail the log: %w", err)
		}
		if err := c.print(s, f.Channel, f.Data); err != nil {
			return err
		}
	}
}

func (c *tailCmd) print(s *session, channel byte, data []byte) error {
	if channel == wire.Failed {
		return failedFrame(data)
	}
	if c.Output == formatJSON {
		fmt.Fprintln(s.out, string(data))
		return nil
	}
	var e wire.TailEvent
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("decode event: %w", err)
	}
	fmt.Fprintln(s.out, tailLine(e))
	return nil
}

// tailLine is one event in one line, stable on a pipe: where and when, who did
// what, because of which event, and why.
func tailLine(e wire.TailEvent) string {
	line := fmt.Sprintf("%d  %s  %-21s  %-28s  %s", e.Seq, e.Time.UTC().Format("15:04:05.000"), e.Actor, e.Type, e.What)
	if e.Cause != 0 {
		line += fmt.Sprintf("  cause=%d", e.Cause)
	}
	if e.Void {
		line += "  void"
	}
	if e.Message != "" {
		line += "  # " + e.Message
	}
	return line
}
