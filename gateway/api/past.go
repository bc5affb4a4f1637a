package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

const (
	// keptStates bounds how many states of the past are kept for the next
	// question: each shares with its neighbours what did not change between them.
	keptStates = 16
	// keepEvery is how many events lie between two states that a refolding keeps.
	keepEvery = 4096
	// keptFor is how long they are kept after the last question: who asks about
	// the past asks again, and what changed since each of them stays in memory.
	keptFor = time.Minute
)

// memory is the states that were refolded, by sequence. Its zero value is empty.
type memory struct {
	mu   sync.Mutex
	kept []projections.State
	end  *time.Timer // forgets them
}

// forget drops all states.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = nil
}

// asked puts off forgetting; m.mu is held.
func (m *memory) asked() {
	if m.end == nil {
		m.end = time.AfterFunc(keptFor, m.forget)
	}
	m.end.Reset(keptFor)
}

// before is the newest kept state that the moment has not passed, else the empty one.
func (m *memory) before(at wire.Moment) projections.State {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked()
	for _, v := range slices.Backward(m.kept) {
		if !later(at, v.Seq, v.Time) {
			return v
		}
	}
	return projections.Empty()
}

// keep remembers a state. When there are too many, the one goes whose
// neighbours are nearest to each other, so that the rest spread over the log.
func (m *memory) keep(v projections.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked()
	i, there := slices.BinarySearchFunc(m.kept, v.Seq, func(s projections.State, seq events.Seq) int { return int(int64(s.Seq) - int64(seq)) })
	if there {
		return
	}
	m.kept = slices.Insert(m.kept, i, v)
	if len(m.kept) <= keptStates {
		return
	}
	crowded, least := -1, events.Seq(0)
	for j := range m.kept {
		if gap := m.gap(j); j != i && (crowded < 0 || gap < least) {
			crowded, least = j, gap
		}
	}
	m.kept = slices.Delete(m.kept, crowded, crowded+1)
}

// gap is how far apart the neighbours of a kept state are; the log's start
// stands before the first.
func (m *memory) gap(i int) events.Seq {
	from, to := events.Seq(0), m.kept[i].Seq
	if i > 0 {
		from = m.kept[i-1].Seq
	}
	if i+1 < len(m.kept) {
		to = m.kept[i+1].Seq
	}
	return to - from
}

// later tells whether an event lies after the moment.
func later(at wire.Moment, seq events.Seq, t time.Time) bool {
	if at.Seq != 0 {
		return seq > at.Seq
	}
	return t.After(at.Time)
}

// viewAt is the state that a reader asks for, and the time from which ages
// count: the present ones, at least as new as min, or those of a moment.
func (s *Server) viewAt(ctx context.Context, at wire.Moment, min events.Seq) (projections.State, time.Time, error) {
	v, err := s.view(ctx, min)
	if err != nil || at.IsZero() {
		return v, s.Now(), err
	}
	if v, err = s.refold(ctx, v, at); err != nil {
		return v, time.Time{}, err
	}
	if at.Seq != 0 {
		return v, v.Time, nil
	}
	return v, at.Time, nil
}

// StateAt is the durable state as it was after an event. It fails with a
// *bus.HorizonError when the log no longer reaches back that far.
func (s *Server) StateAt(ctx context.Context, seq events.Seq) (projections.State, error) {
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return projections.State{}, fmt.Errorf("read the log's bounds: %w", err)
	}
	if seq+1 < b.First {
		return projections.State{}, &bus.HorizonError{Asked: seq, First: b.First}
	}
	if seq == 0 {
		return projections.Empty(), nil
	}
	v, err := s.refold(ctx, s.Views.Durable(), wire.Moment{Seq: seq})
	var below badRequest
	if errors.As(err, &below) {
		err = &bus.HorizonError{Asked: seq, First: b.First}
	}
	return v, err
}

// errBeforeLog is about a moment at which there was nothing yet.
var errBeforeLog = errors.New("lies before the log's first event")

// refold folds the log up to a moment. The result is the state as it was then,
// because a state is nothing but its log.
func (s *Server) refold(ctx context.Context, newest projections.State, at wire.Moment) (projections.State, error) {
	b, err := s.Log.Bounds(ctx)
	if err != nil {
		return newest, fmt.Errorf("read the log's bounds: %w", err)
	}
	if err := s.within(b, newest, at); err != nil {
		return newest, err
	}
	if at.Seq == newest.Seq || at.Seq == 0 && !later(at, newest.Seq, newest.Time) {
		return newest, nil
	}
	v := s.nearest(at, b.First)
	if v.Seq+1 < b.First {
		return v, &belowHorizon{fmt.Sprintf("%s lies below the horizon: history begins at %d, and what came before is needed", at, b.First), b.First}
	}
	fold := projections.NewBulk(v)
	err = s.Log.Read(ctx, v.Seq+1, func(e events.Envelope) error {
		if later(at, e.Seq, e.Time) {
			return errEnough
		}
		fold.Apply(e)
		if e.Seq%keepEvery == 0 {
			s.memory.keep(fold.State())
		}
		return nil
	})
	v = fold.State()
	if err != nil && !errors.Is(err, errEnough) {
		return v, fmt.Errorf("read the log: %w", err)
	}
	if v.Seq == 0 {
		return v, badRequest{fmt.Errorf("%s %w", at, errBeforeLog)}
	}
	s.memory.keep(v)
	return v, nil
}

// nearest is the newest state at hand that the moment has not passed: one that
// was folded before, or a checkpoint when that saves more than reading it costs,
// or the log no longer reaches back to the former.
func (s *Server) nearest(at wire.Moment, first events.Seq) projections.State {
	v := s.memory.before(at)
	if s.Past == nil {
		return v
	}
	kept, ok := s.Past.Before(func(seq events.Seq, t time.Time) bool {
		return (seq > v.Seq+keepEvery || v.Seq+1 < first) && !later(at, seq, t)
	})
	if !ok {
		return v
	}
	s.memory.keep(kept)
	return kept
}

// within refuses moments that the log cannot tell of.
func (s *Server) within(b bus.Bounds, newest projections.State, at wire.Moment) error {
	switch {
	case at.Seq > newest.Seq:
		return badRequest{fmt.Errorf("sequence %d has not happened yet: the log ends at %d", at.Seq, newest.Seq)}
	case at.Seq != 0 && at.Seq < b.First:
		return &belowHorizon{fmt.Sprintf("sequence %d lies below the horizon: history begins at %d", at.Seq, b.First), b.First}
	case at.Seq == 0 && at.Time.After(s.Now().Add(time.Second)): // clocks differ a little
		return badRequest{fmt.Errorf("%s lies in the future", at)}
	}
	return nil
}
