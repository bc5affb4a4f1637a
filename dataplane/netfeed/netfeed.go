// Package netfeed keeps a node's dataplane, names and routes in step with the
// services and nodes of its cluster: it reads the whole set once, then follows the network feed,
// and reads the set again when a message is missing.
package netfeed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// Sink takes what the feed says. An error is logged; the set is read and
// replaced again at the next chance.
type Sink interface {
	// Replace makes the services and nodes of the set the ones that exist.
	Replace(set projections.NetSet) error
	// Change puts and drops single services and nodes.
	Change(m projections.FeedMessage) error
}

// Options say whom the feed is for.
type Options struct {
	Wires  bus.Wires
	User   string // the node's user name on the wires
	Sink   Sink
	Logger *slog.Logger
}

const (
	// feedBuffer is how many messages may wait; more of them show as a gap.
	feedBuffer = 1024
	// retryEvery is how soon a set that could not be read is asked for again.
	retryEvery = time.Second
)

// Run follows the feed until ctx ends. While nobody answers, what is written
// stays in force.
func Run(ctx context.Context, o Options) error {
	f := &feed{Options: o, messages: make(chan projections.FeedMessage, feedBuffer), beacons: make(chan projections.Beacon, 1)}
	stops, err := f.subscribe()
	for _, stop := range stops {
		defer stop()
	}
	if err != nil {
		return err
	}
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	f.reload(ctx)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-f.messages:
			f.message(m)
		case b := <-f.beacons:
			// A message that is still waiting here explains a beacon that is ahead.
			if b.Network > f.at && len(f.messages) == 0 {
				f.stale = true
			}
		case <-retry.C:
		}
		if f.stale {
			f.reload(ctx)
		}
	}
}

// feed is one Run.
type feed struct {
	Options
	messages chan projections.FeedMessage
	beacons  chan projections.Beacon
	at       events.Position // of what is written
	stale    bool            // the set has to be read again
}

func (f *feed) subscribe() (stops []func(), err error) {
	for subject, take := range map[string]func(bus.Message){"live.net.>": f.takeMessage, projections.BeaconSubject: f.takeBeacon} {
		stop, err := f.Wires.Subscribe(subject, take)
		if err != nil {
			return stops, fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		stops = append(stops, stop)
	}
	return stops, nil
}

func (f *feed) takeMessage(m bus.Message) {
	var msg projections.FeedMessage
	if err := json.Unmarshal(m.Body, &msg); err != nil {
		f.Logger.Error("decode network feed", "subject", m.Subject, "err", err)
		return // the next message shows the gap
	}
	select {
	case f.messages <- msg:
	default:
	}
}

func (f *feed) takeBeacon(m bus.Message) {
	var b projections.Beacon
	if err := json.Unmarshal(m.Body, &b); err != nil {
		f.Logger.Error("decode beacon", "err", err)
		return
	}
	select {
	case f.beacons <- b:
	default: // one waits already
	}
}

// message takes one step, or notices that one is missing.
func (f *feed) message(m projections.FeedMessage) {
	switch {
	case m.Position <= f.at:
		return // the set that was read holds it
	case m.Prev > f.at:
		f.stale = true
		return
	}
	if err := f.Sink.Change(m); err != nil {
		f.Logger.Error("change services", "err", err)
		f.stale = true
		return
	}
	f.at = m.Position
}

// reload reads the whole set and makes it the one that exists.
func (f *feed) reload(ctx context.Context) {
	f.stale = true
	set, err := f.read(ctx)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			f.Logger.Warn("read services", "err", err)
		}
		return
	}
	if err := f.Sink.Replace(set); err != nil {
		f.Logger.Error("replace services", "err", err)
		return
	}
	f.at, f.stale = max(f.at, set.Position), false
}

func (f *feed) read(ctx context.Context) (projections.NetSet, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*retryEvery)
	defer cancel()
	var set projections.NetSet
	raw, err := f.Wires.Request(ctx, wire.Subject(f.User, wire.VerbNetwork), events.MustBody(wire.NetworkRequest{}))
	if err != nil {
		return set, err
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return set, fmt.Errorf("decode services: %w", err)
	}
	return set, nil
}
