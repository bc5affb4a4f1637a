package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// treeCmd is `stave tree`.
type treeCmd struct {
	then
	Watch  bool     `short:"w" help:"Show it anew whenever it changes."`
	Output format   `short:"o" help:"json or yaml." placeholder:"FORMAT"`
	What   []string `arg:"" optional:"" help:"TYPE/NAME or TYPE NAME."`
}

// Help implements kong's detailed help.
func (treeCmd) Help() string {
	return `Owners above, what belongs to it below: a deployment's replica sets, pods and containers, the pods
behind a service, all that lies in a namespace.

Examples:
  stave tree deploy/web
  stave tree svc/web -w
  stave tree namespace shop
  stave tree pod/web-7d9c6b8f4-x2k9p --at 10m`
}

// treeEvery is how often a watched tree is asked for.
const treeEvery = 500 * time.Millisecond

// Run prints the tree of each object.
func (c *treeCmd) Run(ctx context.Context, s *session) error {
	items, err := s.items(ctx, files{}, c.What)
	switch {
	case err != nil:
		return err
	case !c.Watch:
		var errs []error
		for i, it := range items {
			if i > 0 && c.Output == formatTable {
				fmt.Fprintln(s.out)
			}
			errs = append(errs, c.once(ctx, s, it))
		}
		return errors.Join(errs...)
	case len(items) != 1:
		return errors.New("only one object can be watched")
	case !c.At.IsZero():
		return errPastWatch
	}
	return c.watch(ctx, s, items[0])
}

func (c *treeCmd) ask(ctx context.Context, s *session, it wire.Item) (wire.TextReply, error) {
	reply, err := ask[wire.TextReply](ctx, s, wire.VerbTree, wire.WhyRequest{Key: it.Key, At: c.At.Moment})
	if err == nil {
		err = refused(reply.Error)
	}
	return reply, err
}

func (c *treeCmd) once(ctx context.Context, s *session, it wire.Item) error {
	reply, err := c.ask(ctx, s, it)
	if err != nil {
		return err
	}
	if c.Output != formatTable {
		return s.printDocument(c.Output, reply.JSON)
	}
	text, err := treeText(reply.JSON, s.columns())
	fmt.Fprint(s.out, text)
	return err
}

// columns is how wide lines may be: 0 where nobody breaks them.
func (t *terminal) columns() int {
	if t.tty {
		return t.width
	}
	return 0
}

// watch shows each new tree: in place of the one before on a terminal, below it on a pipe.
func (c *treeCmd) watch(ctx context.Context, s *session, it wire.Item) error {
	last, shown := "", 0
	for ctx.Err() == nil {
		reply, err := c.ask(ctx, s, it)
		switch {
		case cutOff(err) && last != "":
			sleep(ctx, treeEvery) // the server went away; it comes back
			continue
		case err != nil:
			return err
		}
		text, err := treeText(reply.JSON, s.columns())
		if err != nil {
			return err
		}
		if shape := withoutAges(reply.JSON); shape != last {
			switch {
			case shown > 0 && s.tty:
				fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", shown)
			case shown > 0:
				fmt.Fprintln(s.out)
			}
			fmt.Fprint(s.out, text)
			last, shown = shape, strings.Count(text, "\n")
		}
		sleep(ctx, treeEvery)
	}
	return ctx.Err()
}

// withoutAges is a tree but for what changes by itself.
func withoutAges(raw json.RawMessage) string {
	var top table.Branch
	if json.Unmarshal(raw, &top) != nil {
		return string(raw)
	}
	var strip func(*table.Branch)
	strip = func(b *table.Branch) {
		b.Age = ""
		for _, x := range b.Branches {
			strip(x)
		}
	}
	strip(&top)
	b, _ := json.Marshal(top) // it was decoded from JSON
	return string(b)
}

// treeText lays a tree out; width 0 is as wide as it needs.
func treeText(raw json.RawMessage, width int) (string, error) {
	var top table.Branch
	if err := json.Unmarshal(raw, &top); err != nil {
		return "", fmt.Errorf("decode tree: %w", err)
	}
	t := table.Table{Columns: []table.Column{{Name: "NAME"}, {Name: "READY"}, {Name: "STATUS"}, {Name: "AGE"}}}
	addBranch(&t, &top, "", "")
	if width > 0 {
		shorten(&t, width)
	}
	return trimLines(table.Print(t, table.Options{})), nil
}

// addBranch adds a row for a branch, drawn behind first, and those below it behind next.
func addBranch(t *table.Table, b *table.Branch, first, next string) {
	t.Rows = append(t.Rows, table.Row{Cells: []string{first + b.Name, b.Ready, b.State, b.Age}})
	for i, x := range b.Branches {
		if i < len(b.Branches)-1 || b.Left > 0 {
			addBranch(t, x, next+"├─", next+"│ ")
		} else {
			addBranch(t, x, next+"└─", next+"  ")
		}
	}
	if b.Left > 0 {
		t.Rows = append(t.Rows, table.Row{Cells: []string{fmt.Sprintf("%s└─and %d more", next, b.Left), "", "", ""}})
	}
}

// shorten leaves the second half of states out and cuts the middle of names,
// until the table fits or they are 20 wide: a generated name is told from others
// by its end.
func shorten(t *table.Table, width int) {
	wide := widthOf(t)
	if wide <= width {
		return
	}
	for i, r := range t.Rows {
		t.Rows[i].Cells[2], _, _ = strings.Cut(r.Cells[2], ",")
	}
	wide = widthOf(t)
	longest := 0
	for _, r := range t.Rows {
		longest = max(longest, len([]rune(r.Cells[0])))
	}
	limit := max(20, longest-(wide-width))
	for i, r := range t.Rows {
		if name := []rune(r.Cells[0]); len(name) > limit {
			head := limit/2 - 1
			t.Rows[i].Cells[0] = string(name[:head]) + "…" + string(name[len(name)-(limit-head-1):])
		}
	}
}

func widthOf(t *table.Table) int {
	wide := 0
	for line := range strings.Lines(table.Print(*t, table.Options{})) {
		wide = max(wide, len([]rune(strings.TrimRight(line, " \n"))))
	}
	return wide
}

func trimLines(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}
