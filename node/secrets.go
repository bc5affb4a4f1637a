package node

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// opened is the row with the plain values of its Secrets. They are kept in memory
// as long as the node knows of the pod, so that its containers are started again
// also while the control plane is away; after a restart of the agent they wait for
// it. Nothing of them is written but into the containers.
func (w *worker) opened(ctx context.Context, row *projections.DesiredPod) (*projections.DesiredPod, error) {
	if len(row.Secrets) == 0 {
		return row, nil
	}
	if !w.knows(row) {
		var reply wire.OpenReply
		request := wire.OpenRequest{Node: w.a.o.Name, Pod: events.Ref{Key: events.Key{Resource: events.Pods, Namespace: row.Pod.Namespace, Name: row.Pod.Name}, UID: row.UID}}
		err := w.a.ask(ctx, wire.VerbOpen, request, &reply)
		if err == nil && reply.Error != nil {
			err = errors.New(reply.Error.Message)
		}
		if err != nil {
			return nil, fmt.Errorf("open secrets: %w", err)
		}
		w.plain = reply.Secrets
	}
	next := *row
	next.Secrets = maps.Clone(w.plain)
	maps.DeleteFunc(next.Secrets, func(name string, _ projections.SecretData) bool { _, ok := row.Secrets[name]; return !ok })
	return &next, nil
}

// knows says whether the plain values are those of the row, or of a newer one.
func (w *worker) knows(row *projections.DesiredPod) bool {
	for name, sealed := range row.Secrets {
		if plain, ok := w.plain[name]; !ok || plain.Position < sealed.Position {
			return false
		}
	}
	return true
}
