package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// mirror calls changed with all objects that a request finds, now and after each
// change, until ctx ends. A server that goes away is waited for.
func (s *session) mirror(ctx context.Context, req wire.ReadRequest, changed func([]json.RawMessage)) {
	for ; ctx.Err() == nil; sleep(ctx, 200*time.Millisecond) {
		reply, err := s.read(ctx, req)
		if err != nil {
			continue
		}
		m := mirrored{objects: map[events.Key]json.RawMessage{}}
		for _, raw := range reply.Objects {
			m.take("", raw)
		}
		changed(m.all())
		_ = s.mirrorChanges(ctx, wire.WatchRequest{ReadRequest: req, From: reply.Position}, &m, changed) // read again
	}
}

func (s *session) mirrorChanges(ctx context.Context, req wire.WatchRequest, m *mirrored, changed func([]json.RawMessage)) error {
	stream, err := s.dial(ctx, wire.Subject(s.user, wire.VerbWatch), req)
	if err != nil {
		return err
	}
	defer stream.Close()
	ctx, stop := context.WithCancelCause(ctx)
	some := make(chan struct{}, 1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop(nil)
	reading.Go(func() { stop(m.read(ctx, stream, some)) })
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-some:
		}
		began := time.Now()
		changed(m.all())
		// To look at all objects costs as much as there are: what comes meanwhile is looked at together.
		sleep(ctx, mirrorRest*time.Since(began))
	}
}

// mirrorRest is how many times as long as it took to look at the objects passes before they are looked at again.
const mirrorRest = 9

// read takes changes until the stream ends, and rings for each.
func (m *mirrored) read(ctx context.Context, stream bus.Stream, some chan<- struct{}) error {
	for {
		f, err := stream.Recv(ctx)
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		var e wire.WatchEvent
		if err := json.Unmarshal(f.Data, &e); err != nil {
			return fmt.Errorf("decode watch event: %w", err)
		}
		m.take(e.Type, e.Object)
		select {
		case some <- struct{}{}:
		default:
		}
	}
}

// mirrored are the objects of a request as they are now.
type mirrored struct {
	mu      sync.Mutex
	objects map[events.Key]json.RawMessage
}

func (m *mirrored) take(change string, raw json.RawMessage) {
	k, err := identify(raw)
	if err != nil {
		return // of a kind that this CLI does not know
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if change == "DELETED" {
		delete(m.objects, k)
		return
	}
	m.objects[k] = raw
}

// all are the objects in the order of their names.
func (m *mirrored) all() []json.RawMessage {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := slices.Collect(maps.Keys(m.objects))
	slices.SortFunc(keys, func(a, b events.Key) int {
		if a.Namespace != b.Namespace {
			return strings.Compare(a.Namespace, b.Namespace)
		}
		return strings.Compare(a.Name, b.Name)
	})
	out := make([]json.RawMessage, len(keys))
	for i, k := range keys {
		out[i] = m.objects[k]
	}
	return out
}
