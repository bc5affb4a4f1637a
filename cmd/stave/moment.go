package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kong"

	"github.com/stave-run/stave/gateway/wire"
)

// then is what every verb that reads takes: the moment to read.
type then struct {
	At moment `help:"As it was at a sequence (412), a time (2026-01-02T15:04:05Z) or so long ago (10m, 2h, 3d)." placeholder:"MOMENT"`
}

// moment is a point of the log on the command line. Its zero value is now.
type moment struct{ wire.Moment }

// Decode implements kong.MapperValue. How long ago is settled once, so that all
// that one command asks is about the same moment.
func (m *moment) Decode(ctx *kong.DecodeContext) error {
	var typed string
	if err := ctx.Scan.PopValueInto("moment", &typed); err != nil {
		return fmt.Errorf("read moment: %w", err)
	}
	at, err := wire.ParseMoment(typed, time.Now())
	m.Moment = at
	return err
}

// span is a length of time on the command line, which may be in days.
type span time.Duration

// Decode implements kong.MapperValue.
func (d *span) Decode(ctx *kong.DecodeContext) error {
	var typed string
	if err := ctx.Scan.PopValueInto("duration", &typed); err != nil {
		return fmt.Errorf("read duration: %w", err)
	}
	long, err := wire.ParseSpan(typed)
	if err != nil || long < 0 {
		return fmt.Errorf("%q is no length of time: want 90d, 36h or 10m", typed)
	}
	*d = span(long)
	return nil
}

// errPastWatch: the past does not go on.
var errPastWatch = errors.New("--watch shows what happens from now on; it cannot be joined with --at\nhelp: stave tail --from SEQ prints what happened after a sequence")
