package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers/recheck"
)

// What was decided in a stretch rests on views from before it: so many events, or
// so long, is what the reading begins earlier.
const (
	checkLead     = 1000
	checkLeadTime = time.Minute
)

// check decides again. A decision rests on all that came before, so it begins
// with the state at its first event: the empty one for a whole log.
func (c *replayCmd) check(ctx context.Context, s *session) error {
	if c.Speed != 0 {
		return errors.New("--check does not wait between the events: leave --speed away")
	}
	cluster, err := ask[wire.ClusterReply](ctx, s, wire.VerbCluster, wire.ClusterRequest{})
	if err != nil {
		return err
	}
	state, err := s.checkFrom(ctx, c.From.Moment, cluster)
	if err != nil {
		return err
	}
	different := 0
	again := recheck.New(cluster.Name, state, controllers, func(f recheck.Finding) {
		if f.Seq >= c.From.Seq && !f.Now.Before(c.From.Time) {
			different++
			fmt.Fprint(s.out, told(f))
		}
	})
	progress := s.slowly()
	if state.Seq < cluster.Durable { // else there is nothing after it
		err = c.readFrom(ctx, s, wire.Moment{Seq: state.Seq + 1}, func(e wire.TailEvent, _ []byte) error {
			again.Take(e.Envelope())
			if progress != nil {
				progress("deciding again", int(e.Seq), int(cluster.Durable))
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	again.Close()
	return c.tell(s, again.Tally, state.Seq, different)
}

// tell says what was checked.
func (c *replayCmd) tell(s *session, t recheck.Tally, from events.Seq, different int) error {
	since := ""
	if from > 0 {
		since = fmt.Sprintf(" from the state at %d on", from)
	}
	fmt.Fprintf(s.out, "%d decisions made again with stave %s%s, %d would be different\n", t.Decisions, version, since, different)
	if t.Unknown > 0 {
		fmt.Fprintf(s.out, "%d could not be made again: this program has no such reconciler, or nothing in the log woke it\n", t.Unknown)
	}
	if t.Old > 0 {
		fmt.Fprintf(s.out, "%d could not be made again: they were decided on what lies before that\n", t.Old)
	}
	if different > 0 {
		return &exitError{code: exitChanges}
	}
	return nil
}

// checkFrom is the state that a stretch is checked from: a while before it, or
// where the log begins.
func (s *session) checkFrom(ctx context.Context, from wire.Moment, cluster wire.ClusterReply) (projections.State, error) {
	var first events.Seq // of a log that was cut
	if cluster.Horizon != nil {
		first = cluster.Horizon.First
	}
	switch {
	case from.Seq != 0 && from.Seq < first:
		return s.state(ctx, from) // the server says what is wrong with it
	case from.Seq > checkLead:
		return s.state(ctx, wire.Moment{Seq: max(first, from.Seq-checkLead)})
	case from.Seq == 0 && !from.IsZero():
		at := from.Time.Add(-checkLeadTime)
		if cluster.Horizon == nil || at.After(cluster.Horizon.Time) {
			return s.state(ctx, wire.Moment{Time: at})
		}
	}
	if first == 0 {
		return projections.Empty(), nil
	}
	if from.Seq == 0 {
		s.tellHorizon(cluster.Horizon)
	}
	return s.state(ctx, wire.Moment{Seq: first})
}

// state is the whole state of the cluster at a moment; the empty one for a
// moment before the log.
func (s *session) state(ctx context.Context, at wire.Moment) (projections.State, error) {
	defer s.longAgo(at)()
	none := projections.Empty()
	stream, err := s.dial(ctx, wire.Subject(s.user, wire.VerbState), wire.StateRequest{At: at})
	if errors.Is(err, bus.ErrNoServer) {
		return none, fmt.Errorf("read the state at %s: the server knows no such question\nhelp: it is older than this program; check the whole of an archive that was restored beside it: stave log restore", at)
	}
	if err != nil {
		return none, fmt.Errorf("read the state at %s: %w", at, err)
	}
	defer stream.Close()
	in := stateReader{ctx: ctx, from: stream}
	var head wire.StateHead
	if err := in.next(); err != nil {
		return none, err
	}
	if err := json.Unmarshal(in.rest, &head); err != nil {
		return none, fmt.Errorf("decode the state's head: %w", err)
	}
	in.rest = nil
	if head.Seq == 0 {
		return none, nil
	}
	return projections.Restore(head.Version, &in)
}

// stateReader reads a stream's frames as one text.
type stateReader struct {
	ctx  context.Context
	from bus.Stream
	rest []byte
}

func (r *stateReader) next() error {
	frame, err := r.from.Recv(r.ctx)
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case err != nil:
		return fmt.Errorf("read the state: %w", err)
	case frame.Channel == wire.Failed:
		return failedFrame(frame.Data)
	}
	r.rest = frame.Data
	return nil
}

// Read implements io.Reader.
func (r *stateReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// told is a finding for people.
func told(f recheck.Finding) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d  %s  %s  decided on %d at %s\n", f.Seq, f.Reconciler, f.Key, f.Basis, f.Now.UTC().Format(time.RFC3339))
	for _, l := range f.Recorded {
		fmt.Fprintf(&b, "  - %s\n", l)
	}
	for _, l := range f.Decides {
		fmt.Fprintf(&b, "  + %s\n", l)
	}
	return b.String()
}
