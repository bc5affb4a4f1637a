package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
		changed(m.all())
	}
}

// mirrored are the objects of a request as they are now.
type mirrored struct {
	objects map[events.Key]json.RawMessage
}

func (m *mirrored) take(change string, raw json.RawMessage) {
	k, err := identify(raw)
	if err != nil {
		return // of a kind that this CLI does not know
	}
	if change == "DELETED" {
		delete(m.objects, k)
		return
	}
	m.objects[k] = raw
}

// all are the objects in the order of their names.
func (m *mirrored) all() []json.RawMessage {
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
