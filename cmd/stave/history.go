package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/stave-run/stave/gateway/wire"
)

// historyCmd is `stave history`.
type historyCmd struct {
	then
	Output format   `short:"o" help:"json or yaml." placeholder:"FORMAT"`
	What   []string `arg:"" optional:"" help:"TYPE/NAME or TYPE NAME."`
}

// Help implements kong's detailed help.
func (historyCmd) Help() string {
	return `Examples:
  stave history deployment/web
  stave history pod web-1 -o json`
}

// Run prints a row a change, oldest first.
func (c *historyCmd) Run(ctx context.Context, s *session) error {
	items, err := s.items(ctx, files{}, c.What)
	if err != nil {
		return err
	}
	var errs []error
	for _, it := range items {
		reply, err := ask[wire.HistoryReply](ctx, s, wire.VerbHistory, wire.HistoryRequest{Key: it.Key, At: c.At.Moment})
		if err == nil {
			err = refused(reply.Error)
		}
		if err == nil {
			err = c.print(s, reply.Rows)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *historyCmd) print(s *session, rows []wire.TailEvent) error {
	if c.Output != formatTable {
		doc, err := json.Marshal(rows)
		if err != nil {
			return fmt.Errorf("encode history: %w", err)
		}
		return s.printDocument(c.Output, doc)
	}
	w := tabwriter.NewWriter(s.out, 0, 8, 3, ' ', 0)
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
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", e.Seq, e.Time.UTC().Format("2006-01-02T15:04:05Z"), e.Actor, e.Type, cause, message)
	}
	return w.Flush()
}
