package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// historyCmd is `stave history`.
type historyCmd struct {
	then
	Diff   bool     `help:"Below each change, the fields that it touched."`
	Output format   `short:"o" help:"json or yaml." placeholder:"FORMAT"`
	What   []string `arg:"" optional:"" help:"TYPE/NAME or TYPE NAME."`
}

// Help implements kong's detailed help.
func (historyCmd) Help() string {
	return `Without an object: the last changes that people made, newest first, each with
the id and the sequence by which stave undo takes it back.

Examples:
  stave history
  stave history deployment/web
  stave history deployment/web --diff
  stave history pod web-1 -o json

A case: what happened to the prices, although they are gone.
  $ stave history cm/settings
  SEQ   TIME                   ACTOR                  WHAT                 CAUSE   MESSAGE
  11    2026-11-28T22:05:07Z   user:admin             configmaps.created           the shop opens
  25    2026-11-28T22:05:10Z   user:admin             configmaps.changed           dearer tea
  103   2026-11-28T22:05:48Z   reconciler:namespace   configmaps.removed   95      removed configmap/settings`
}

// Run prints a row a change: of one object oldest first, of all newest first.
func (c *historyCmd) Run(ctx context.Context, s *session) error {
	if len(c.What) == 0 {
		return c.changes(ctx, s)
	}
	items, err := s.items(ctx, files{}, c.What)
	if err != nil {
		return err
	}
	var errs []error
	for _, it := range items {
		reply, err := ask[wire.HistoryReply](ctx, s, wire.VerbHistory, wire.HistoryRequest{Key: it.Key, At: c.At.Moment, Diff: c.Diff, Plain: c.Output == formatTable})
		if err == nil {
			err = refused(reply.Error)
		}
		if err == nil {
			err = c.print(s, reply.Rows)
		}
		s.tellHorizon(reply.Horizon)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// changes lists what people did last.
func (c *historyCmd) changes(ctx context.Context, s *session) error {
	if !c.At.IsZero() {
		return errors.New("--at needs an object\nhelp: stave history TYPE/NAME --at 10m")
	}
	reply, err := s.lastChanges(ctx, shownChanges)
	if err != nil {
		return err
	}
	defer s.tellHorizon(reply.Horizon)
	if c.Output != formatTable {
		doc, err := json.Marshal(reply.Changes)
		if err != nil {
			return fmt.Errorf("encode history: %w", err)
		}
		return s.printDocument(c.Output, doc)
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "CHANGE\tSEQ\tAGE\tACTOR\tWHAT\tMESSAGE")
	for _, m := range reply.Changes {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", shortChange(m.ID), m.Seq, table.Age(reply.Now.Sub(m.Time)), m.Actor, whatChanged(m), m.Message)
	}
	return w.Flush()
}

func (c *historyCmd) print(s *session, rows []wire.TailEvent) error {
	if c.Output != formatTable {
		doc, err := json.Marshal(rows)
		if err != nil {
			return fmt.Errorf("encode history: %w", err)
		}
		return s.printDocument(c.Output, doc)
	}
	var rowsOut bytes.Buffer
	w := tabwriter.NewWriter(&rowsOut, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "SEQ\tTIME\tACTOR\tWHAT\tCAUSE\tMESSAGE")
	for _, e := range rows {
		cause := ""
		if e.Cause != 0 {
			cause = fmt.Sprint(e.Cause)
		}
		message := e.Message
		if message == "" {
			message = e.What
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", e.Seq, e.Time.UTC().Format("2006-01-02T15:04:05Z"), e.Actor, e.Type, cause, strings.ReplaceAll(message, "\n", " "))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print history: %w", err)
	}
	c.interleave(s, rowsOut.String(), rows)
	return nil
}

// interleave prints the lines of a table, below each what its change touched.
func (c *historyCmd) interleave(s *session, lines string, rows []wire.TailEvent) {
	at := -1 // the header
	for l := range strings.Lines(lines) {
		fmt.Fprint(s.out, l)
		if at >= 0 {
			for _, d := range rows[at].Diff {
				fmt.Fprintf(s.out, "      %s\n", d)
			}
		}
		at++
	}
}
