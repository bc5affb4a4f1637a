package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/ledger"
)

// placeFile keeps what the cluster said of this node, so that it can go on while nobody answers.
const placeFile = "place.json"

// enter takes the node's place in the cluster: the one it had, at once, or the one it is given now.
func (a *Agent) enter(ctx context.Context) error {
	path := filepath.Join(a.o.DataDir, placeFile)
	var place wire.JoinReply
	err := readJSON(path, &place)
	switch {
	case err == nil:
		if err := a.takePlace(ctx, place); err != nil {
			return err
		}
		a.working.Go(func() { a.rejoin(ctx) })
		return nil
	case unreadable(err):
		// A power cut took what was in it, and the cluster knows the node's place.
		a.log.Warn("read place", "error", err)
	case !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("read place: %w", err)
	}
	for {
		place, err = a.join(ctx)
		if err == nil {
			break
		}
		a.log.Debug("join", "error", err)
		wait(ctx, nil, time.Now().Add(fetchPause), time.Now())
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := a.takePlace(ctx, place); err != nil {
		return err
	}
	if err := keepJSON(path, place); err != nil {
		return fmt.Errorf("keep place: %w", err)
	}
	return a.tellFacts(ctx, place.UID)
}

// unreadable says that a file is there and holds no JSON.
func unreadable(err error) bool {
	var bad *json.SyntaxError
	return errors.As(err, &bad)
}

// rejoin tells the cluster that the node is back, and what it is now.
func (a *Agent) rejoin(ctx context.Context) {
	for ctx.Err() == nil {
		place, err := a.join(ctx)
		if err == nil {
			a.settings(place.DNS, place.Domain)
			if err = a.tellFacts(ctx, place.UID); err == nil {
				return
			}
		}
		a.log.Debug("join again", "error", err)
		wait(ctx, nil, time.Now().Add(fetchPause), time.Now())
	}
}

func (a *Agent) join(ctx context.Context) (wire.JoinReply, error) {
	var reply wire.JoinReply
	err := a.ask(ctx, wire.VerbJoin, wire.JoinRequest{Node: a.o.Name, Facts: a.facts(), Labels: a.o.Labels}, &reply)
	if err == nil && reply.Error != nil {
		err = fmt.Errorf("join: %s", reply.Error.Message)
	}
	return reply, err
}

// takePlace makes the node's network and remembers the settings of the cluster.
func (a *Agent) takePlace(ctx context.Context, place wire.JoinReply) error {
	network, err := a.o.Network(ctx, place)
	if err != nil {
		return fmt.Errorf("make network: %w", err)
	}
	a.mu.Lock()
	a.place, a.network = place, network
	a.mu.Unlock()
	a.settings(place.DNS, place.Domain)
	return nil
}

// factsFile keeps what the log was told of the node, and for which life of it.
const factsFile = "facts.json"

type toldFacts struct {
	UID   events.UID       `json:"uid"`
	Facts events.NodeFacts `json:"facts"`
}

// tellFacts puts what the node is into the log, unless it is what the log was told already.
func (a *Agent) tellFacts(ctx context.Context, uid events.UID) error {
	a.telling.Lock()
	defer a.telling.Unlock()
	now := toldFacts{UID: uid, Facts: a.facts()}
	a.mu.Lock()
	now.Facts.PodCIDR = a.place.PodCIDR
	now.Facts.Conditions = slices.Clone(a.conditions)
	a.mu.Unlock()
	path := filepath.Join(a.o.DataDir, factsFile)
	var before toldFacts
	if err := readJSON(path, &before); err == nil && reflect.DeepEqual(before, now) {
		return nil
	}
	if err := a.journal.add(ctx, piece{Piece: ledger.Piece{Node: &now.Facts}}); err != nil {
		return err
	}
	return writeJSON(path, now)
}
