package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// watch prints what is there, or was at a moment, and then each change, until
// Ctrl-C.
func (c *getCmd) watch(ctx context.Context, s *session, targets []target) error {
	if len(targets) != 1 {
		return errors.New("you may only specify a single resource type with --watch")
	}
	t := targets[0]
	show := c.From == 0
	if !show {
		c.At = moment{wire.Moment{Seq: events.Seq(c.From)}} // what was there then tells what went since
	}
	reply, err := c.fetch(ctx, s, t)
	if err != nil {
		return err
	}
	w := &watching{cmd: c, s: s, target: t, options: c.options(t), seen: map[events.Key]json.RawMessage{}}
	w.options.Widths = &table.Widths{}
	if err := w.begin(reply, show); err != nil {
		return err
	}
	req := wire.WatchRequest{ReadRequest: c.request(s, t), From: reply.Position}
	for ctx.Err() == nil {
		err := s.watchOnce(ctx, &req, w.show)
		if err != nil && !errors.Is(err, errWatchCut) {
			return err
		}
		sleep(ctx, 200*time.Millisecond) // the server went away; go on from where we were
	}
	return ctx.Err()
}

// begin takes in what is there, and prints it as one table.
func (w *watching) begin(reply wire.ReadReply, show bool) error {
	for _, raw := range reply.Objects {
		k, err := identify(raw)
		if err != nil {
			return err
		}
		w.seen[k] = raw
	}
	if len(reply.Objects) == 0 || !show || w.cmd.WatchOnly {
		return nil
	}
	return w.print(reply.Objects, reply.Now)
}

// watching is a get -w under way.
type watching struct {
	cmd     *getCmd
	s       *session
	target  target
	options table.Options                  // widths are remembered from row to row
	seen    map[events.Key]json.RawMessage // as printed last
}

var errWatchCut = errors.New("watch cut off")

// show prints a change; an object that is gone is printed as it was last.
func (w *watching) show(e wire.WatchEvent) error {
	k, err := identify(e.Object)
	if err != nil {
		return err
	}
	last, known := w.seen[k]
	if e.Type != "DELETED" {
		w.seen[k] = e.Object
		return w.print([]json.RawMessage{e.Object}, e.Now)
	}
	delete(w.seen, k)
	if !known {
		return nil
	}
	return w.print([]json.RawMessage{last}, e.Now)
}

func (w *watching) print(objects []json.RawMessage, now time.Time) error {
	if f := w.cmd.Output; f == formatTable || f == formatWide {
		rows, err := w.cmd.table(w.target, objects, now)
		fmt.Fprint(w.s.out, table.Print(rows, w.options))
		w.options.NoHeaders = true
		return err
	}
	for _, o := range objects {
		if w.cmd.Output == formatYAML {
			fmt.Fprintln(w.s.out, "---")
		}
		if err := w.s.printObjects(w.cmd.Output, []json.RawMessage{o}, true); err != nil {
			return err
		}
	}
	return nil
}
