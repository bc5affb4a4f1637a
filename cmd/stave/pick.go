package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

const (
	// shownChanges is how many changes a list of the last ones has.
	shownChanges = 100
	// pickedFrom is how many of them one page of the picker shows.
	pickedFrom = 15
)

// lastChanges asks what people changed last.
func (s *session) lastChanges(ctx context.Context, n int) (wire.ChangesReply, error) {
	reply, err := ask[wire.ChangesReply](ctx, s, wire.VerbChanges, wire.ChangesRequest{Last: n})
	if err == nil {
		err = refused(reply.Error)
	}
	return reply, err
}

// pickChange lets a person at a terminal choose one of the last changes: a
// number takes it, other words leave those rows that hold them all, an empty
// line leaves. It returns 0 when nothing was chosen.
func (s *session) pickChange(ctx context.Context) (events.Seq, error) {
	if !s.tty {
		return 0, errors.New("say which change to undo: a sequence or an id\nhelp: stave history lists the last changes")
	}
	reply, err := s.lastChanges(ctx, shownChanges)
	if err != nil {
		return 0, err
	}
	in := bufio.NewReader(s.in)
	for filter := ""; ctx.Err() == nil; {
		rows := filtered(reply, filter)
		s.showPicks(reply, rows, filter)
		line, err := in.ReadString('\n')
		typed := strings.TrimSpace(line)
		if n, bad := strconv.Atoi(typed); bad == nil && n >= 1 && n <= min(len(rows), pickedFrom) {
			return rows[n-1].Seq, nil
		}
		switch {
		case errors.Is(err, io.EOF), err == nil && typed == "" && filter == "":
			return 0, nil
		case err != nil:
			return 0, fmt.Errorf("read your choice: %w", err)
		}
		filter = typed
	}
	return 0, ctx.Err()
}

func (s *session) showPicks(reply wire.ChangesReply, rows []wire.MadeChange, filter string) {
	for i, m := range rows[:min(len(rows), pickedFrom)] {
		what := whatChanged(m)
		if m.Message != "" {
			what = m.Message + " (" + what + ")"
		}
		line := fmt.Sprintf("%3d  %-5s  %-12s  %s", i+1, table.Age(reply.Now.Sub(m.Time)), m.Actor, what)
		fmt.Fprintln(s.err, shortened(line, s.width))
	}
	switch {
	case len(rows) == 0 && filter != "":
		fmt.Fprintf(s.err, "nothing with %q; an empty line shows all again: ", filter)
	case len(rows) == 0:
		fmt.Fprint(s.err, "nobody changed anything yet; press enter: ")
	case filter != "":
		fmt.Fprint(s.err, "undo which? a number, other words to filter, an empty line shows all again: ")
	default:
		fmt.Fprint(s.err, "undo which? a number, words to filter, an empty line leaves: ")
	}
}

// filtered keeps the changes that hold every word.
func filtered(reply wire.ChangesReply, words string) []wire.MadeChange {
	var out []wire.MadeChange
	for _, m := range reply.Changes {
		row := strings.ToLower(fmt.Sprint(m.Seq, " ", m.ID, " ", m.Actor, " ", whatChanged(m), " ", m.Message))
		fits := true
		for _, w := range strings.Fields(strings.ToLower(words)) {
			fits = fits && strings.Contains(row, w)
		}
		if fits {
			out = append(out, m)
		}
	}
	return out
}

// whatChanged is a change in a few words.
func whatChanged(m wire.MadeChange) string {
	if m.Count > 1 {
		return fmt.Sprintf("%s and %d more", m.What, m.Count-1)
	}
	return m.What
}

// shortChange is as much of an id as a person types.
func shortChange(id events.ChangeID) string { return string(id[:min(len(id), 8)]) }

// shortened cuts a line to the terminal's width.
func shortened(line string, width int) string {
	if r := []rune(line); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return line
}
