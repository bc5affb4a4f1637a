package jetstream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JoinOptions say where a log is that servers of somebody else keep: members of
// a NATS cluster, each of which must sync before it acknowledges (sync_interval:
// always), or what was acknowledged can be lost with their power.
type JoinOptions struct {
	URL      string // nats://a:4222,nats://b:4222
	Password string // of the control plane's user
	Replicas int    // how many members keep each event, when the stream is made
	Dir      string // for what this process seals of the log; the members keep all
	// Progress is told what a start that takes long is doing, and Warn what goes
	// wrong; both may be nil.
	Progress, Warn func(line string)

	bounds *bounds // of tests
}

// A cluster that has no leader yet does not answer: joinTry is how long an answer
// may take, joinEvery how long such a cluster is left alone.
const (
	joinTry   = 2 * time.Second
	joinEvery = 200 * time.Millisecond
)

// Join opens the log on such servers, and makes it when there is none; it waits
// for a leader as long as ctx allows. A majority of the members has an event when
// its append returns: the acknowledgement is the watermark.
func Join(ctx context.Context, o JoinOptions) (*Log, error) {
	for _, say := range []*func(string){&o.Progress, &o.Warn} {
		if *say == nil {
			*say = func(string) {}
		}
	}
	c, err := dial(o.URL, Credential{User: controlUser, Password: o.Password}, nats.Timeout(dialTimeout), nats.RetryOnFailedConnect(false))
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", o.URL, err)
	}
	l, err := join(ctx, o, c)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("join %s: %w", o.URL, err)
	}
	return l, nil
}

func join(ctx context.Context, o JoinOptions, c *Client) (*Log, error) {
	l, err := newLog(Options{Dir: o.Dir, Progress: o.Progress, Warn: o.Warn, OnFatal: func(err error) { o.Warn(err.Error()) }, bounds: o.bounds}, c)
	if err != nil {
		return nil, err
	}
	l.joined, l.bounds.hot, l.bounds.hotBytes = true, math.MaxInt, math.MaxInt // other processes may read what this one has sealed
	if err := made(ctx, o, c); err != nil {
		return nil, err
	}
	hot, err := l.hot(ctx)
	if err != nil {
		return nil, err
	}
	if _, sealed := l.archive.Bounds(); sealed > hot.Last {
		return nil, &DamageError{Dir: o.Dir, Mark: sealed, Bounds: hot}
	}
	if err := l.join(hot); err != nil {
		return nil, err
	}
	l.written, l.durable = hot.Last, hot.Last
	c.wrote = l.wrote
	l.begin(ctx)
	return l, nil
}

// made makes the stream when it is not there.
func made(ctx context.Context, o JoinOptions, c *Client) error {
	js, err := jetstream.New(c.nats)
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	for {
		trying, cancel := context.WithTimeout(ctx, joinTry)
		_, err := js.CreateStream(trying, config(o.Replicas)) // the same once more changes nothing
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return fmt.Errorf("a stream %s of another kind is there: %w", streamName, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the last answer was: %w", ctx.Err(), err)
		case <-time.After(joinEvery):
		}
	}
}
