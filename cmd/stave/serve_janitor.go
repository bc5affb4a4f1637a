package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/follow"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/run"
)

// The pauses between two looks at the log's age: a share of what is kept, within bounds.
const (
	janitorShare = 16
	janitorLeast = time.Second
	janitorMost  = time.Hour
)

// clean cuts what is older than history is to be kept, as long as the cluster runs.
func (c *cluster) clean(_ context.Context, up *upCmd, _ func(string, ...any)) error {
	keep := time.Duration(up.KeepHistory)
	if keep == 0 {
		return nil
	}
	j := &follow.Janitor{Log: c.server.Log(), Kept: c.past, Keep: keep, Say: func(line string) { c.logger.Info("janitor", "says", line) }}
	pause := min(max(keep/janitorShare, janitorLeast), janitorMost)
	c.background("clean", func(ctx context.Context) error {
		var a age
		for ; ctx.Err() == nil; sleep(ctx, pause) {
			if err := c.cleanOnce(ctx, j, a.by(time.Now())); err != nil && ctx.Err() == nil {
				c.logger.Warn("history was not cut; it is tried again", "in", pause, "err", err)
			}
		}
		return nil
	})
	return nil
}

// cleanOnce cuts, and then says so in the log: the other way round, a state could
// have forgotten what the log still asks writers to know.
func (c *cluster) cleanOnce(ctx context.Context, j *follow.Janitor, now time.Time) error {
	first, err := j.Pass(ctx, now)
	if err != nil || first <= 1 {
		return err
	}
	_, err = c.loop.Submit(ctx, run.Request{Actor: events.Controller("janitor"), ID: fmt.Sprintf("cut-%d", first), Key: projections.ClusterKey,
		Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) { return cutAt(v, first), nil }})
	if errors.Is(err, run.ErrLeaseLost) {
		return nil // whoever holds it will say it
	}
	return err
}

// cutAt is what the log has to be told of its beginning.
func cutAt(v reconcilers.View, first events.Seq) []reconcilers.Draft {
	if v.Horizon >= first {
		return nil
	}
	return []reconcilers.Draft{{Subject: events.CutSubject, Type: events.HistoryCut, Body: events.MustBody(events.Cut{First: first})}}
}

// age is by what time that is taken away for good which is too old. A clock that is years ahead for a while, until somebody
// tells the machine the time, must not take all: what is too old has to be so at two looks in a row.
type age struct{ last time.Time }

// by is the earlier of the times of this look and of the one before; at the first one nothing is too old.
func (a *age) by(now time.Time) time.Time {
	now = now.Round(0) // as the machine has it
	before := a.last
	if a.last = now; before.After(now) {
		return now
	}
	return before
}
