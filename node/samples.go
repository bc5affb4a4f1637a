package node

import (
	"context"
	"sync"
	"time"

	"github.com/stave-run/stave/gateway/wire"
)

// What a node used is kept for some hours, in memory, for whoever asks about a
// moment of them. It is no part of the log.
const (
	sampleEvery = 30 * time.Second
	// maxSamples bounds how many are kept: six hours, if nobody asks in between.
	maxSamples = 720
	// maxSampled bounds the containers in them, all samples together.
	maxSampled = 100_000
	// sampleAge is how long before the moment asked about a sample may lie.
	sampleAge = 2 * sampleEvery
)

// samples are what was measured, oldest first. Its zero value has none.
type samples struct {
	mu         sync.Mutex
	kept       []wire.Metrics
	containers int
}

func (s *samples) add(m wire.Metrics) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = append(s.kept, m)
	s.containers += countOf(m)
	for len(s.kept) > maxSamples || s.containers > maxSampled && len(s.kept) > 1 {
		s.containers -= countOf(s.kept[0])
		s.kept[0] = wire.Metrics{} // the slice may hold on to it
		s.kept = s.kept[1:]
	}
}

func countOf(m wire.Metrics) (n int) {
	for _, p := range m.Pods {
		n += len(p.Containers)
	}
	return n
}

// at is the newest sample of a moment.
func (s *samples) at(node string, moment time.Time) (wire.Metrics, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.kept) - 1; i >= 0; i-- {
		m := s.kept[i]
		if m.At.After(moment) {
			continue
		}
		if moment.Sub(m.At) > sampleAge {
			break
		}
		return m, nil
	}
	if len(s.kept) == 0 {
		return wire.Metrics{}, badRequest("node %s has kept no figures yet: it began a moment ago, and what it measured before is not kept", node)
	}
	return wire.Metrics{}, badRequest("node %s has no figures of %s: they are kept in its memory for some hours, here from %s to %s", node,
		moment.UTC().Format(time.RFC3339), s.kept[0].At.UTC().Format(time.RFC3339), s.kept[len(s.kept)-1].At.UTC().Format(time.RFC3339))
}

// remember measures now and then, and lets go of logs that were kept long enough,
// until ctx ends.
func (a *Agent) remember(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	var last look
	for {
		if now, err := a.look(ctx); err == nil {
			if !last.at.IsZero() {
				a.samples.add(a.used(last, now))
			}
			last = now
		}
		if err := a.sweepLogs(); err != nil {
			a.log.Warn("remove old logs", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
