package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/undo"
	"github.com/stave-run/stave/gateway/wire"
)

// undoCmd is `stave undo`.
type undoCmd struct {
	Preview bool   `help:"Only say what would be done; the log does not grow."`
	Force   bool   `help:"Go on over what was changed later."`
	Message string `short:"m" help:"Why; kept with the events beside \"undo of SEQ\"." placeholder:"TEXT"`
	Only    bool   `help:"Take back that event alone, not all that was one change with it."`
	Output  format `short:"o" help:"json or yaml: what became of each object." placeholder:"FORMAT"`
	What    string `arg:"" optional:"" name:"change" help:"A sequence of the change, or its id or how that begins: stave history lists them. On a terminal, choose from a list when it is not given."`
}

// Help implements kong's detailed help.
func (undoCmd) Help() string {
	return `Takes back one change that a person made: what was created is deleted, what was
changed is as it was, what was deleted is there again, a namespace with all that
was in it. A change of many objects goes back whole, whichever of its sequences
is given. It is a new change in the log, so it can be undone too: that does the
first one again. When an object was changed since, undo refuses and names the
change. What containers wrote into their volumes is not in the log and does not
come back.

Examples:
  stave undo
  stave undo 412 --preview
  stave undo 412
  stave undo 412 --only
  stave undo 412 --force -m "the new image leaks"

A case: somebody deleted the namespace.
  $ stave undo kolynsmr --preview
  namespace/shop would be created
  configmap/settings would be created
  pod/crash would be created
  deployment.apps/web would be created
  $ stave undo kolynsmr
  namespace/shop created
  configmap/settings created
  pod/crash created
  deployment.apps/web created`
}

// Run asks for the inverse and prints what was done.
func (c *undoCmd) Run(ctx context.Context, s *session) error {
	if !slices.Contains([]format{formatTable, formatJSON, formatYAML}, c.Output) {
		return fmt.Errorf("cannot print as %q: json or yaml", c.Output)
	}
	id, err := newChange()
	if err != nil {
		return err
	}
	req := wire.UndoRequest{ID: id, Preview: c.Preview, Force: c.Force, Only: c.Only, Message: c.Message}
	if req.Seq, req.Change, err = c.which(ctx, s); err != nil || req.Seq == 0 && req.Change == "" {
		return err
	}
	if req.Message == "" {
		req.Message = ownLine()
	}
	reply, err := ask[wire.UndoReply](ctx, s, wire.VerbUndo, req)
	if err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return err
	}
	if c.Output != formatTable {
		return s.printOutcomes(c.Output, reply.Results)
	}
	var first events.Seq
	for _, r := range reply.Results {
		fmt.Fprintf(s.out, "%s %s\n", printedName(r.Key), c.word(r.Outcome))
		if first == 0 {
			first = r.Seq
		}
	}
	s.sayWhere(first)
	return nil
}

// which change is meant: what was typed, or what is chosen on a terminal; nothing
// when nothing is chosen.
func (c *undoCmd) which(ctx context.Context, s *session) (events.Seq, string, error) {
	if c.What == "" {
		picked, err := s.pickChange(ctx)
		return picked, "", err
	}
	if n, err := strconv.ParseUint(c.What, 10, 64); err == nil {
		return events.Seq(n), "", nil
	}
	if strings.Trim(c.What, changeLetters) != "" {
		return 0, "", fmt.Errorf("%q is neither a sequence nor the id of a change\nhelp: stave history lists the last changes", c.What)
	}
	return 0, c.What, nil
}

func (c *undoCmd) word(outcome string) string {
	if !c.Preview {
		return outcome
	}
	return map[string]string{undo.Restored: "would be restored", undo.Created: "would be created", undo.Deleted: "would be deleted"}[outcome]
}
