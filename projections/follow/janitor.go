package follow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
)

// Janitor cuts the log's beginning when it is older than anybody wants to look
// back. The state that the rest goes on from is kept first, with who set what by
// then, so that nothing but the telling of what lies below is lost.
type Janitor struct {
	Log  bus.Trimmer
	Kept *Checkpoints
	Keep time.Duration // every moment as long ago can still be told
	Say  func(line string)
}

// Pass cuts what is older than Keep and tells where the log begins after it.
// What a pass that was broken off has left is finished by the next.
func (j *Janitor) Pass(ctx context.Context, now time.Time) (events.Seq, error) {
	b, err := j.Log.Bounds(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the log's bounds: %w", err)
	}
	first := max(b.First, j.Log.Boundary(now.Add(-j.Keep)))
	if first > b.First {
		if err := j.keep(ctx, b.First, first); err != nil {
			return b.First, fmt.Errorf("keep what begins at %d: %w", first, err)
		}
		if err := j.Log.Cut(ctx, first); err != nil {
			return b.First, fmt.Errorf("cut the log before %d: %w", first, err)
		}
		j.Say(fmt.Sprintf("history before %d is cut: it is older than %s", first, j.Keep))
	}
	if lost := (*NotCutError)(nil); errors.As(j.Kept.CheckOrigins(first), &lost) {
		return b.First, lost // what the real beginning needs stays, in case that it comes back
	}
	if first > 1 {
		err = j.Kept.Cut(first)
	}
	return first, err
}

// keep saves the state after the event at first, and the origins there.
func (j *Janitor) keep(ctx context.Context, begins, first events.Seq) error {
	s, last, err := j.stateAt(ctx, begins, first)
	if err != nil {
		return err
	}
	before, err := j.Kept.Origins(begins)
	counted := begins // what an origin has counted in is not counted again
	if err != nil || begins == 1 {
		counted = 0
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = errors.New("there is none")
		}
		j.Say(fmt.Sprintf("who set what before %d is lost: %v", begins, err))
	}
	o := why.NewOrigins(s, before)
	err = j.Log.Read(ctx, begins, func(e events.Envelope) error {
		if e.Seq > first {
			return errEnough
		}
		if e.Seq > counted {
			o.Take(e)
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("read who set what: %w", err)
	}
	if err := j.Kept.saveOrigins(first, o.All()); err != nil {
		return err
	}
	return j.Kept.Pin(s, last)
}

// stateAt folds the log up to a sequence, from the nearest checkpoint.
func (j *Janitor) stateAt(ctx context.Context, begins, seq events.Seq) (s projections.State, last events.Envelope, err error) {
	s, ok := j.Kept.Before(func(at events.Seq, _ time.Time) bool { return at < seq })
	if !ok && begins > 1 {
		return s, last, fmt.Errorf("no good checkpoint lies between %d and %d", begins, seq)
	}
	fold := projections.NewBulk(s)
	err = j.Log.Read(ctx, max(s.Seq+1, begins), func(e events.Envelope) error {
		if e.Seq > seq {
			return errEnough
		}
		fold.Apply(e)
		last = e
		return nil
	})
	s = fold.State()
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && s.Seq != seq {
		err = fmt.Errorf("the log has no event %d", seq)
	}
	return s, last, err
}
