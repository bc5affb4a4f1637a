package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/ledger"
)

// Bounds of a flush.
const (
	// flushPatience is how long one append may take before it counts as lost.
	flushPatience = 10 * time.Second
	// firstRetry and lastRetry bound the pause after a failed append.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// flights are the flushes on their way, for two goroutines: who sends, and who hears what is durable.
type flights struct {
	mu sync.Mutex
	ledger.Flights
	// heard is closed when the lease is known: what is sent before could not be told from what another writer lost.
	heard chan struct{}
}

// send appends the journal's pieces in order: at once what there is, and together what gathers meanwhile.
func (a *Agent) send(ctx context.Context) {
	f := &a.feed.flights
	select {
	case <-ctx.Done():
	case <-f.heard:
	}
	for ctx.Err() == nil {
		f.mu.Lock()
		sent, epoch := f.Sent, f.Epoch
		f.mu.Unlock()
		pieces, more := a.journal.after(sent, ledger.MaxFlush)
		if len(pieces) == 0 {
			wait(ctx, more, a.now().Add(lastRetry), a.now())
			continue
		}
		seq, err := a.flush(ctx, pieces)
		if err != nil {
			return // ctx ended
		}
		last := pieces[len(pieces)-1].Num
		if f.landed(last, seq, epoch) {
			a.journal.landed(piece{Sent: last, Seq: seq, Epoch: epoch})
		}
	}
}

// landed notes where a flush stands.
func (f *flights) landed(last uint64, seq, epoch events.Seq) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Landed(last, seq, epoch)
}

// hear hears how far the log is durable. It returns the last piece that is, the one that was before, and the lease before.
func (f *flights) hear(epoch, durable events.Seq) (done, before uint64, lease events.Seq) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, lease = f.Done, f.Epoch
	done = f.Hear(epoch, durable)
	select {
	case <-f.heard:
	default:
		close(f.heard)
	}
	return done, before, lease
}

// flush appends one event, again and again until it landed. The same operation id lets the fold see that it is the same.
func (a *Agent) flush(ctx context.Context, pieces []piece) (events.Seq, error) {
	r := bus.Record{Envelope: a.envelope(pieces)}
	pause := firstRetry
	for {
		try, cancel := context.WithTimeout(ctx, flushPatience)
		seq, err := a.o.Log.Append(try, []bus.Record{r})
		cancel()
		if err == nil {
			return seq, nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if errors.Is(err, bus.ErrTooLarge) && len(pieces) > 1 {
			half := len(pieces) / 2
			if _, err := a.flush(ctx, pieces[:half]); err != nil {
				return 0, err
			}
			return a.flush(ctx, pieces[half:])
		}
		a.log.Debug("append facts", "error", err)
		wait(ctx, nil, a.now().Add(pause), a.now())
		pause = min(2*pause, lastRetry)
	}
}

// envelope makes one event of pieces.
func (a *Agent) envelope(pieces []piece) events.Envelope {
	told := make([]ledger.Piece, len(pieces))
	for i, p := range pieces {
		told[i] = p.Piece
	}
	return ledger.Teller{Cluster: a.o.Cluster, Node: a.o.Name, Journal: a.journal.id}.Event(told, a.now())
}
