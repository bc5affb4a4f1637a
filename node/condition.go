package node

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/stave-run/stave/events"
)

// tellPause is the least time between two tellings of conditions: what comes and goes in
// between is not worth an event.
const tellPause = time.Second

// Judge sets one of the node's conditions, which what works beside the agent has found out.
// The log is told when it changed.
func (a *Agent) Judge(c events.NodeCondition) {
	a.mu.Lock()
	a.conditions = slices.DeleteFunc(a.conditions, func(x events.NodeCondition) bool { return x.Type == c.Type })
	a.conditions = append(a.conditions, c)
	slices.SortFunc(a.conditions, func(x, y events.NodeCondition) int { return cmp.Compare(x.Type, y.Type) })
	a.mu.Unlock()
	a.tellSoon()
}

// tellSoon has the log told what has changed of the node.
func (a *Agent) tellSoon() {
	select {
	case a.judged <- struct{}{}:
	default: // somebody is about to look
	}
}

// toldConditions are those of an earlier agent: they hold until they are judged anew.
func (a *Agent) toldConditions() []events.NodeCondition {
	var told toldFacts
	if err := readJSON(filepath.Join(a.o.DataDir, factsFile), &told); err != nil {
		return nil // nothing was told
	}
	return told.Facts.Conditions
}

// tellConditions tells the log of conditions until ctx ends. It starts when the node has
// its place in the cluster.
func (a *Agent) tellConditions(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.judged:
		}
		a.mu.Lock()
		uid := a.place.UID
		a.mu.Unlock()
		if err := a.tellFacts(ctx, uid); err != nil && ctx.Err() == nil {
			a.log.Warn("tell the node's conditions", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(tellPause):
		}
	}
}
