package node

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// Bounds of a flush.
const (
	// maxFlush is the most pieces that one event says.
	maxFlush = 500
	// flushPatience is how long one append may take before it counts as lost.
	flushPatience = 10 * time.Second
	// firstRetry and lastRetry bound the pause after a failed append.
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// flights are the flushes that the log has acknowledged but not yet said to be durable.
type flights struct {
	mu    sync.Mutex
	sent  uint64 // the last piece appended
	done  uint64 // the last piece that is durable
	epoch events.Seq
	wait  []flight
	// heard is closed when the lease is known: what is sent before could not be told from what another writer lost.
	heard chan struct{}
}

type flight struct {
	last uint64 // piece
	seq  events.Seq
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
		sent, epoch := f.sent, f.epoch
		f.mu.Unlock()
		pieces, more := a.journal.after(sent, maxFlush)
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

// landed notes where a flush stands, unless another writer took the log meanwhile: then all is said again.
func (f *flights) landed(last uint64, seq, epoch events.Seq) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch != epoch {
		return false
	}
	f.sent = last
	f.wait = append(f.wait, flight{last: last, seq: seq})
	return true
}

// resume takes over what an earlier agent sent.
func (f *flights) resume(epoch events.Seq, wait []flight) {
	if len(wait) > 0 {
		f.epoch, f.wait, f.sent = epoch, wait, wait[len(wait)-1].last
	}
}

// beacon hears how far the log is durable, and returns the last piece that is. A new epoch may have begun with a log
// that lost its tail: what was not durable before it is said again.
func (f *flights) beacon(epoch, durable events.Seq) (done uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if epoch != f.epoch {
		if f.epoch != 0 {
			f.sent, f.wait = f.done, nil
		}
		f.epoch = epoch
	}
	select {
	case <-f.heard:
	default:
		close(f.heard)
	}
	for len(f.wait) > 0 && f.wait[0].seq <= durable {
		f.done = f.wait[0].last
		f.wait = f.wait[1:]
	}
	return f.done
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

// envelope makes one event of pieces. Its cause is the newest assignment in it.
func (a *Agent) envelope(pieces []piece) events.Envelope {
	var seen events.Seen
	var cause events.Seq
	at := map[events.UID]int{}
	for _, p := range pieces {
		if p.Node != nil {
			seen.Node = p.Node
		}
		if p.Pod == nil {
			continue
		}
		cause = max(cause, p.Pod.Assigned)
		i, ok := at[p.Pod.UID]
		if ok && seen.Pods[i].Assigned == p.Pod.Assigned {
			seen.Pods[i].Facts = append(seen.Pods[i].Facts, p.Pod.Facts...)
			continue
		}
		at[p.Pod.UID] = len(seen.Pods)
		own := *p.Pod
		own.Facts = append([]events.Fact(nil), p.Pod.Facts...)
		seen.Pods = append(seen.Pods, own)
	}
	actor := events.NodeActor(a.o.Name)
	basis := a.journal.id + " " + strconv.FormatUint(pieces[0].Num, 10) + "-" + strconv.FormatUint(pieces[len(pieces)-1].Num, 10)
	key := events.Key{Resource: events.Nodes, Name: a.o.Name}
	return events.Envelope{
		Subject: events.SeenSubject(a.o.Name), Type: events.PodsSeen, Version: 1, Actor: actor, Cause: cause, Now: a.now(),
		Op: events.NewOpID(a.o.Cluster, actor, basis, key, 0), Body: events.MustBody(seen),
	}
}
