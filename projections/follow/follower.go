// Package follow is the shell that folds the log: it tails it, keeps the ahead
// and the durable snapshot, lets others wait for a sequence, and publishes the
// live feed.
//
// Reconcilers and admission decide on the ahead snapshot. Everything that
// leaves the process comes from the durable one, because a power cut could take
// back what is only ahead.
package follow

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// maxPending is how many events the ahead snapshot may be in front of the
// durable one before folding waits for the disk.
const maxPending = 1 << 16

// progressEvery is how many events are folded between two reports of progress.
const progressEvery = 10_000

// Listener hears of one folded event: the snapshot after it and the rows that
// it changed. It must not block.
type Listener = func(view projections.State, e events.Envelope, changes []projections.Change)

// Options of Open.
type Options struct {
	// Progress is called now and then while the log is folded at the start.
	Progress func(done, of events.Seq)
	// Checkpoints are where the fold begins and what it leaves behind; nil keeps none.
	Checkpoints *Checkpoints
	// Say is told which checkpoint the fold began with, and why others were not
	// used or could not be kept; may be nil.
	Say func(line string)
}

// Follower keeps the two snapshots of one log.
type Follower struct {
	log     bus.Log
	stop    context.CancelFunc
	done    chan struct{}
	ahead   level
	durable level
	pending chan *tick // pointers: room for many ticks is megabytes that the ring would touch one by one
	keeper  *keeper    // nil: no checkpoints are kept

	mu  sync.Mutex
	err error
}

// tick is one folded event.
type tick struct {
	view    projections.State
	event   events.Envelope
	changes []projections.Change
}

// Open folds the log as it is, for as long as ctx allows, and goes on following
// it until Close is called. What it folded at the start is durable when it returns.
func Open(ctx context.Context, log bus.Log, o Options) (*Follower, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	from, err := begin(ctx, log, o)
	if err != nil {
		return nil, err
	}
	s, err := replay(ctx, log, from, o.Progress)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &Follower{log: log, stop: stop, done: make(chan struct{}), pending: make(chan *tick, maxPending)}
	f.ahead.view, f.ahead.told, f.durable.view, f.durable.told = s, s.Seq, s, s.Seq
	if o.Checkpoints != nil {
		f.keeper = newKeeper(f, o, from.Seq)
	}
	go f.run(ctx, s)
	return f, nil
}

// begin is the state to fold on from: a checkpoint, or the empty one.
func begin(ctx context.Context, log bus.Log, o Options) (projections.State, error) {
	if o.Checkpoints == nil {
		return projections.Empty(), nil
	}
	s, err := o.Checkpoints.Newest(ctx, log, o.Say)
	if err == nil && s.Seq > 0 {
		o.Say(fmt.Sprintf("folding from checkpoint %d", s.Seq))
	}
	return s, err
}

// replay folds what is in the log after a state.
func replay(ctx context.Context, log bus.Log, s projections.State, progress func(done, of events.Seq)) (projections.State, error) {
	b, err := log.Bounds(ctx)
	if err != nil {
		return s, fmt.Errorf("read the log's bounds: %w", err)
	}
	if progress == nil {
		progress = func(events.Seq, events.Seq) {}
	}
	first := b.First
	if s.Seq > 0 {
		first = s.Seq + 1
	} else if b.First > 1 {
		return s, fmt.Errorf("fold the log: it begins at %d, and no checkpoint from there on is good: what came before is needed", b.First)
	}
	fold := projections.NewBulk(s)
	err = log.Read(ctx, first, func(e events.Envelope) error {
		fold.Apply(e)
		if e.Seq%progressEvery == 0 {
			progress(e.Seq, b.Last)
		}
		return nil
	})
	s = fold.State()
	if err != nil {
		return s, fmt.Errorf("fold the log: %w", err)
	}
	progress(s.Seq, max(b.Last, s.Seq))
	if s.Seq == 0 {
		return s, nil
	}
	if err := log.WaitDurable(ctx, s.Seq); err != nil {
		return s, fmt.Errorf("wait for sequence %d to be durable: %w", s.Seq, err)
	}
	return s, nil
}

// run drives both folds until one of them ends, and then ends the other.
func (f *Follower) run(ctx context.Context, s projections.State) {
	var both sync.WaitGroup
	for _, fold := range []func() error{
		func() error { return f.foldAhead(ctx, s) },
		func() error { return f.foldDurable(ctx) },
	} {
		both.Go(func() {
			err := fold()
			f.fail(err)
			f.stop()
		})
	}
	both.Wait()
	close(f.done)
}

// fail keeps the first error; the end of the context is none.
func (f *Follower) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && err != nil && !errors.Is(err, context.Canceled) {
		f.err = err
	}
}

// foldAhead folds events as soon as their order is known.
func (f *Follower) foldAhead(ctx context.Context, s projections.State) error {
	err := f.log.Follow(ctx, s.Seq+1, func(e events.Envelope) error {
		if e.Seq <= s.Seq {
			return nil
		}
		var changes []projections.Change
		s, changes = projections.Apply(s, e)
		t := &tick{s, e, changes}
		f.ahead.advance(*t)
		select {
		case f.pending <- t:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	if err != nil {
		return fmt.Errorf("follow the log: %w", err)
	}
	return nil
}

// foldDurable lets events through when the watermark has passed them.
func (f *Follower) foldDurable(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case t := <-f.pending:
			if t.event.Seq > f.log.Durable() {
				if err := f.log.WaitDurable(ctx, t.event.Seq); err != nil {
					return fmt.Errorf("wait for sequence %d to be durable: %w", t.event.Seq, err)
				}
			}
			f.durable.advance(*t)
		}
	}
}

// Ahead is the newest snapshot. It may hold events that a power cut takes back.
func (f *Follower) Ahead() projections.State { return f.ahead.now() }

// Durable is the newest snapshot that a power cut cannot take back.
func (f *Follower) Durable() projections.State { return f.durable.now() }

// WaitAhead returns when the ahead snapshot has folded seq and every OnAhead
// listener has been told of it.
func (f *Follower) WaitAhead(ctx context.Context, seq events.Seq) error {
	return f.wait(ctx, &f.ahead, seq)
}

// WaitDurable returns the durable snapshot once it has folded seq and every
// OnDurable listener has been told of it.
func (f *Follower) WaitDurable(ctx context.Context, seq events.Seq) (projections.State, error) {
	if err := f.wait(ctx, &f.durable, seq); err != nil {
		return projections.State{}, err
	}
	return f.durable.now(), nil
}

// ErrStopped says that nothing is folded any more.
var ErrStopped = errors.New("follower has stopped")

func (f *Follower) wait(ctx context.Context, l *level, seq events.Seq) error {
	for {
		turned := l.turn(seq)
		if turned == nil {
			return nil
		}
		select {
		case <-turned:
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			return errors.Join(ErrStopped, f.Err())
		}
	}
}

// OnAhead calls l for every event that is folded into the ahead snapshot from
// now on, in order, from one goroutine.
func (f *Follower) OnAhead(l Listener) (stop func()) { return f.ahead.listen(l) }

// OnDurable is OnAhead for the durable snapshot.
func (f *Follower) OnDurable(l Listener) (stop func()) { return f.durable.listen(l) }

// Done is closed when nothing is folded any more; Err then says why.
func (f *Follower) Done() <-chan struct{} { return f.done }

// Err is why folding stopped; nil while it goes on and after Close.
func (f *Follower) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Checkpoint keeps the durable snapshot now and tells its sequence; 0 when there
// is nothing to keep it in.
func (f *Follower) Checkpoint() events.Seq {
	if f.keeper == nil {
		return 0
	}
	return f.keeper.save()
}

// Close stops following, waits for the listeners to return, and leaves a
// checkpoint of the durable snapshot.
func (f *Follower) Close() {
	f.stop()
	<-f.done
	if f.keeper != nil {
		f.keeper.close()
	}
}
