package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// withTokens is the row with the tokens that its volumes want. They are made by the
// control plane, anew when they are old, and kept in memory alone.
func (w *worker) withTokens(ctx context.Context, row *projections.DesiredPod) (*projections.DesiredPod, error) {
	if !plan.HasTokens(row) {
		return row, nil
	}
	if w.tokens == nil || !w.due.After(w.a.now()) {
		if err := w.askTokens(ctx, row); err != nil {
			return nil, fmt.Errorf("fetch token: %w", err)
		}
	}
	next := *row
	next.Tokens = w.tokens
	if _, ok := row.ConfigMaps[projections.RootKey.Name]; !ok && w.root != "" {
		next.ConfigMaps = maps.Clone(row.ConfigMaps)
		if next.ConfigMaps == nil {
			next.ConfigMaps = map[string]projections.ConfigData{}
		}
		next.ConfigMaps[projections.RootKey.Name] = projections.ConfigData{Data: map[string]string{projections.RootFile: w.root}}
	}
	return &next, nil
}

func (w *worker) askTokens(ctx context.Context, row *projections.DesiredPod) error {
	var reply wire.AccessReply
	request := wire.AccessRequest{Node: w.a.o.Name, Pod: events.Ref{Key: events.Key{Resource: events.Pods, Namespace: row.Pod.Namespace, Name: row.Pod.Name}, UID: row.UID}}
	err := w.a.ask(ctx, wire.VerbAccess, request, &reply)
	if err == nil && reply.Error != nil {
		err = errors.New(reply.Error.Message)
	}
	if err != nil {
		return err
	}
	w.tokens, w.root = make(map[projections.TokenFile][]byte, len(reply.Tokens)), reply.Root
	var shortest time.Duration
	for i, t := range reply.Tokens {
		w.tokens[projections.TokenFile{Volume: t.Volume, Path: t.Path}] = t.Token
		if i == 0 || t.Life < shortest {
			shortest = t.Life
		}
	}
	w.due = plan.TokensDue(w.a.now(), shortest)
	return nil
}
