package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// eventsCmd is `stave events`.
type eventsCmd struct {
	then
	Tree          bool          `help:"Print the log's own events, one tree a cause: what followed from what."`
	AllNamespaces bool          `short:"A" help:"In all namespaces."`
	For           string        `help:"Only what happened to this object." placeholder:"TYPE/NAME"`
	Types         []string      `help:"Normal or Warning; both when not given." placeholder:"TYPE"`
	Since         time.Duration `help:"How far back; 0 is as far as the log goes." default:"1h"`
	Watch         bool          `short:"w" help:"Go on printing what happens."`
	NoHeaders     bool          `help:"Print no header line."`
	Output        format        `short:"o" help:"json or yaml." placeholder:"FORMAT"`
}

// Help implements kong's detailed help.
func (eventsCmd) Help() string {
	return `What happened, in Kubernetes' words, told from the log. The log itself: stave tail.

Examples:
  stave events
  stave events --for pod/web-1
  stave events --for deploy/web --tree
  stave events --at 2h
  stave events -A --types=Warning -w

A case: what followed from one apply.
  $ stave events --for deploy/web --tree
  11  2s  user:admin  created deployment/web (the first day)
  ├─ 12  2s  reconciler:deployment  stored a pod template
  ├─ 13  2s  reconciler:deployment  created replicaset/web-5fbfb5fd
  │  └─ 15  2s  reconciler:replicaset  created pod/web-5fbfb5fd-zv54p
  │     └─ 16  2s  reconciler:schedule  assigned pod/web-5fbfb5fd-zv54p to vm
  │        ├─ 17  2s  node:vm  pod/web-5fbfb5fd-zv54p: gave it the address 10.244.0.2
  │        ├─ 18  2s  node:vm  pod/web-5fbfb5fd-zv54p: pulling busybox
  …`
}

// Run prints a row for each thing that happened, the newest last.
func (c *eventsCmd) Run(ctx context.Context, s *session) error {
	if err := s.connect(ctx); err != nil {
		return err
	}
	req, err := c.request(s)
	if err != nil {
		return err
	}
	switch {
	case c.Watch && (c.Tree || !c.At.IsZero()):
		return errors.New("-w shows what happens from now on; it goes with neither --tree nor --at")
	case c.Tree:
		return c.trees(ctx, s, req)
	case c.Output != formatTable:
		return c.document(ctx, s, req)
	}
	said := map[string]bool{}
	widths := &table.Widths{}
	for {
		reply, err := ask[wire.EventsReply](ctx, s, wire.VerbEvents, req)
		if err == nil {
			err = refused(reply.Error)
		}
		if c.Watch && cutOff(err) && len(said) > 0 {
			sleep(ctx, time.Second) // the server went away; it comes back
			continue
		}
		if err != nil {
			return err
		}
		t := c.table(reply, said)
		fmt.Fprint(s.out, table.Print(t, table.Options{NoHeaders: c.NoHeaders, Widths: widths}))
		switch {
		case !c.Watch && len(t.Rows) == 0:
			c.sayNone(s)
			s.tellHorizon(reply.Horizon)
			return nil
		case !c.Watch:
			s.tellHorizon(reply.Horizon)
			return nil
		}
		c.NoHeaders = c.NoHeaders || len(t.Rows) > 0
		if sleep(ctx, time.Second); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// document prints all of it for a program; who wants to follow reads the log.
func (c *eventsCmd) document(ctx context.Context, s *session, req wire.EventsRequest) error {
	if c.Watch {
		return errors.New("-w prints rows only\nhelp: stave tail -o json follows the log")
	}
	reply, err := ask[wire.EventsReply](ctx, s, wire.VerbEvents, req)
	if err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return err
	}
	defer s.tellHorizon(reply.Horizon)
	happened := slices.DeleteFunc(reply.Events, func(e wire.Happened) bool {
		return len(c.Types) > 0 && !slices.Contains(c.Types, e.Type)
	})
	doc, err := json.Marshal(append([]wire.Happened{}, happened...))
	if err != nil {
		return fmt.Errorf("encode events: %w", err)
	}
	return s.printDocument(c.Output, doc)
}

func (c *eventsCmd) request(s *session) (wire.EventsRequest, error) {
	var req wire.EventsRequest
	for i, t := range c.Types {
		j := slices.IndexFunc([]string{"Normal", "Warning"}, func(known string) bool { return strings.EqualFold(known, t) })
		if j < 0 {
			return req, fmt.Errorf("valid --types are Normal or Warning, not %q", t)
		}
		c.Types[i] = []string{"Normal", "Warning"}[j]
	}
	req.At, req.Back = c.At.Moment, c.Since
	if c.Since > 0 {
		req.Since = time.Now().Add(-c.Since)
	}
	if !c.AllNamespaces {
		req.Namespace = s.inNamespace()
	}
	if c.For == "" {
		return req, nil
	}
	kind, name, err := oneTarget(c.For, "pod")
	req.Key = s.key(kind, name)
	return req, err
}

// table has a row for everything that was not said before.
func (c *eventsCmd) table(reply wire.EventsReply, said map[string]bool) table.Table {
	t := table.Table{Columns: []table.Column{{Name: "LAST SEEN"}, {Name: "TYPE"}, {Name: "REASON"}, {Name: "OBJECT"}, {Name: "MESSAGE"}}}
	if c.AllNamespaces {
		t.Columns = slices.Insert(t.Columns, 0, table.Column{Name: "NAMESPACE"})
	}
	for _, e := range reply.Events {
		id := fmt.Sprint(e.Key, e.Reason, e.From, e.Message, e.Count)
		if said[id] || len(c.Types) > 0 && !slices.Contains(c.Types, e.Type) {
			continue
		}
		said[id] = true
		kind, _ := kindOf(e.Key.Resource)
		age := table.Age(reply.Now.Sub(e.Last))
		if e.Count > 1 {
			age = fmt.Sprintf("%s (x%d over %s)", age, e.Count, table.Age(reply.Now.Sub(e.First)))
		}
		cells := []string{age, e.Type, e.Reason, kind.Name + "/" + e.Key.Name, e.Message}
		if c.AllNamespaces {
			cells = slices.Insert(cells, 0, cmp.Or(e.Key.Namespace, "default")) // where Kubernetes tells of nodes
		}
		t.Rows = append(t.Rows, table.Row{Cells: cells})
	}
	return t
}

func (c *eventsCmd) sayNone(s *session) {
	if c.AllNamespaces {
		fmt.Fprintln(s.err, "No events found.")
		return
	}
	fmt.Fprintf(s.err, "No events found in %s namespace.\n", s.inNamespace())
}
