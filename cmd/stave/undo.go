package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/undo"
	"github.com/stave-run/stave/gateway/wire"
)

// undoCmd is `stave undo`.
type undoCmd struct {
	Preview bool       `help:"Only say what would be done; the log does not grow."`
	Force   bool       `help:"Go on over what was changed later."`
	Message string     `short:"m" help:"Why; kept with the events beside \"undo of SEQ\"." placeholder:"TEXT"`
	Seq     events.Seq `arg:"" help:"Sequence of the change: stave history TYPE/NAME, or stave tail, shows it."`
}

// Help implements kong's detailed help.
func (undoCmd) Help() string {
	return `Takes back one change that a person made: what was created is deleted, what was
changed is as it was, what was deleted is there again, a namespace with all that
was in it. It is a new change in the log, so it can be undone too: that does the
first one again. When the object was changed since, undo refuses and names the
change. What containers wrote into their volumes is not in the log and does not
come back.

Examples:
  stave undo 412 --preview
  stave undo 412
  stave undo 412 --force -m "the new image leaks"`
}

// Run asks for the inverse and prints what was done.
func (c *undoCmd) Run(ctx context.Context, s *session) error {
	var id [12]byte
	if _, err := rand.Read(id[:]); err != nil {
		return fmt.Errorf("make request id: %w", err)
	}
	req := wire.UndoRequest{ID: hex.EncodeToString(id[:]), Seq: c.Seq, Preview: c.Preview, Force: c.Force, Message: c.Message}
	if req.Message == "" {
		req.Message = typedLine(os.Args[1:])
	}
	reply, err := ask[wire.UndoReply](ctx, s, wire.VerbUndo, req)
	if err == nil {
		err = refused(reply.Error)
	}
	if err != nil {
		return err
	}
	var first events.Seq // of a namespace with all in it, the namespace's
	for _, r := range reply.Results {
		fmt.Fprintf(s.out, "%s %s\n", printedName(r.Key), c.word(r.Outcome))
		if first == 0 {
			first = r.Seq
		}
	}
	if s.tty && first != 0 {
		fmt.Fprintf(s.err, "seq %d: take it back with 'stave undo %d'\n", first, first)
	}
	return nil
}

func (c *undoCmd) word(outcome string) string {
	if !c.Preview {
		return outcome
	}
	return map[string]string{undo.Restored: "would be restored", undo.Created: "would be created", undo.Deleted: "would be deleted"}[outcome]
}
