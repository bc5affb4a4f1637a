package jetstream

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// streamName is the one stream; every event is in it.
const streamName = "LOG"

func storeDir(dir string) string { return filepath.Join(dir, "jetstream", "$G", "streams", streamName) }

// DamageError says that the store has lost events that were durable: it was
// removed, set back, or damaged. Nothing is written to such a store.
type DamageError struct {
	Dir    string
	Mark   events.Seq // everything up to it was durable
	Bounds bus.Bounds // what there is
	Hole   events.Seq // the first missing sequence; 0 when the end is missing
}

// Error implements error.
func (e *DamageError) Error() string {
	switch {
	case e.Bounds == bus.Bounds{}:
		return fmt.Sprintf("open log in %s: the store is gone, but events up to %d were durable", e.Dir, e.Mark)
	case e.Hole != 0:
		return fmt.Sprintf("open log in %s: event %d is missing, but events up to %d were durable", e.Dir, e.Hole, e.Mark)
	}
	return fmt.Sprintf("open log in %s: it ends at %d, but events up to %d were durable", e.Dir, e.Bounds.Last, e.Mark)
}

// store is the stream at its start.
type store struct {
	dir     string
	mark    events.Seq
	sealed  events.Seq // everything up to it is in segments too
	sound   bool       // no segment was refused
	gaps    []gap
	holes   []events.Seq // what the stream has lost of what is sealed
	conn    *nats.Conn
	context nats.JetStreamContext
	say     func(string)
}

// config is the stream's: nothing is ever dropped but by the janitor.
func config(replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamName, Subjects: []string{events.LogSubjects}, Storage: jetstream.FileStorage, Replicas: replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
		AllowAtomicPublish: true,
	}
}

// recover makes the stream, or judges the one that is there: the first hole
// above the mark ends the log, and what follows is erased.
func (s *store) recover(ctx context.Context) (bus.Bounds, error) {
	info, err := s.context.StreamInfo(streamName, &nats.StreamInfoRequest{DeletedDetails: true}, nats.Context(ctx))
	if errors.Is(err, nats.ErrStreamNotFound) {
		if s.mark > s.sealed {
			return s.adopt(ctx)
		}
		return s.create(ctx)
	}
	if err != nil {
		return bus.Bounds{}, fmt.Errorf("look at stream: %w", err)
	}
	b := boundsOf(info)
	if b.Last < s.sealed && s.mark <= s.sealed {
		return s.anew(ctx, b)
	}
	s.mark = max(s.mark, s.sealed) // only what is durable is sealed
	if b.Last < s.mark {
		return b, &DamageError{Dir: s.dir, Mark: s.mark, Bounds: b}
	}
	// The stream is cut where it is sealed, and never to its last event.
	if first := after(s.gaps, s.sealed+1); s.sound && first < b.First && first <= s.mark {
		return b, &DamageError{Dir: s.dir, Mark: s.mark, Bounds: b, Hole: first}
	}
	end, err := s.end(ctx, b, info.State.Deleted)
	if err != nil {
		return b, err
	}
	if end < b.Last {
		if err := s.erase(ctx, gap{end + 1, b.Last}, info.State.Deleted); err != nil {
			return b, err
		}
	}
	return b, syncFileSystem(s.dir) // a kill -9 leaves what was written, but unsynced
}

// adopt describes the stream anew whose blocks are there and whose description
// is not, or is damaged: it is a constant. What the blocks hold is judged then.
func (s *store) adopt(ctx context.Context) (bus.Bounds, error) {
	blocks, err := filepath.Glob(filepath.Join(storeDir(s.dir), "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		return bus.Bounds{}, errors.Join(&DamageError{Dir: s.dir, Mark: s.mark}, err)
	}
	s.say("the description of the stream is damaged, its blocks are there: it is described anew")
	if err := s.describe(ctx, 0); err != nil {
		return bus.Bounds{}, errors.Join(&DamageError{Dir: s.dir, Mark: s.mark}, err)
	}
	return s.recover(ctx)
}

// anew makes the stream again behind the segments, which hold all that was durable.
func (s *store) anew(ctx context.Context, b bus.Bounds) (bus.Bounds, error) {
	s.say(fmt.Sprintf("the stream is damaged: it ends at %d. All that was durable is sealed, up to %d: it is made anew behind that", b.Last, s.sealed))
	return s.again(ctx, b)
}

func (s *store) again(ctx context.Context, b bus.Bounds) (bus.Bounds, error) {
	if err := s.context.DeleteStream(streamName, nats.Context(ctx)); err != nil {
		return b, fmt.Errorf("remove damaged stream: %w", err)
	}
	return s.create(ctx)
}

func (s *store) create(ctx context.Context) (bus.Bounds, error) {
	from := after(s.gaps, s.sealed+1) // of a log that was restored from its segments
	if err := s.describe(ctx, from); err != nil {
		return bus.Bounds{}, fmt.Errorf("create stream: %w", err)
	}
	return bus.Bounds{First: from, Last: from - 1}, syncFileSystem(s.dir)
}

// describe has the server make the stream, or take up the blocks that are there; from is where an empty one begins, 0 what
// its blocks say.
func (s *store) describe(ctx context.Context, from events.Seq) error {
	js, err := jetstream.New(s.conn)
	if err != nil {
		return err
	}
	c := config(1)
	c.FirstSeq = uint64(from)
	_, err = js.CreateStream(ctx, c)
	return err
}

// withoutHoles takes from the stream what lies up to its last hole. All of it is
// sealed, so nothing is lost; left in, a hole that was the newest event of its
// subject would contradict for ever whoever knows that event and writes to it.
func (s *store) withoutHoles(ctx context.Context, b bus.Bounds, sealed events.Seq) (bus.Bounds, error) {
	last := events.Seq(0)
	for _, hole := range s.holes {
		if hole <= sealed {
			last = hole
		}
	}
	if last == 0 {
		return b, nil
	}
	s.say(fmt.Sprintf("the stream has holes, the last at %d: what it has up to there is left to the segments", last))
	s.sealed = sealed
	if after(s.gaps, last+1) > b.Last { // an empty stream does not know where it goes on
		return s.again(ctx, b)
	}
	if err := s.context.PurgeStream(streamName, &nats.StreamPurgeRequest{Sequence: uint64(last + 1)}, nats.Context(ctx)); err != nil {
		return b, fmt.Errorf("cut the stream behind its holes: %w", err)
	}
	b.First = last + 1
	return b, syncFileSystem(s.dir)
}

func boundsOf(info *nats.StreamInfo) bus.Bounds {
	b := bus.Bounds{First: events.Seq(info.State.FirstSeq), Last: events.Seq(info.State.LastSeq)}
	if info.State.Msgs == 0 {
		b.First = b.Last + 1
	}
	return b
}

// end is the last event that may stay.
func (s *store) end(ctx context.Context, b bus.Bounds, deleted []uint64) (events.Seq, error) {
	for _, d := range deleted {
		hole := events.Seq(d)
		if hole < b.First || within(s.gaps, hole) {
			continue
		}
		if hole <= s.sealed { // damaged, or cut in part when the power went
			s.holes = append(s.holes, hole)
			continue
		}
		if hole <= s.mark {
			return 0, &DamageError{Dir: s.dir, Mark: s.mark, Bounds: b, Hole: hole}
		}
		b.Last = hole - 1
		break
	}
	return s.wholeBatch(ctx, b)
}

// wholeBatch leaves out a batch before the end, which a power cut broke off: it
// must be there whole or not at all.
func (s *store) wholeBatch(ctx context.Context, b bus.Bounds) (events.Seq, error) {
	if b.Last < b.First || within(s.gaps, b.Last) {
		return b.Last, nil
	}
	m, err := s.context.GetMsg(streamName, uint64(b.Last), nats.Context(ctx))
	switch {
	case errors.Is(err, nats.ErrMsgNotFound) && b.Last <= s.sealed:
		return b.Last, nil
	case errors.Is(err, nats.ErrMsgNotFound) && b.Last <= s.mark:
		return 0, &DamageError{Dir: s.dir, Mark: s.mark, Bounds: b, Hole: b.Last}
	case errors.Is(err, nats.ErrMsgNotFound):
		b.Last--
		return s.wholeBatch(ctx, b)
	case err != nil:
		return 0, fmt.Errorf("read last event: %w", err)
	}
	if m.Header.Get(headerBatch) == "" || m.Header.Get(headerCommit) != "" {
		return b.Last, nil
	}
	n, err := strconv.Atoi(m.Header.Get(headerBatchSeq))
	if err != nil {
		return 0, fmt.Errorf("read last event's place in its batch: %w", err)
	}
	if end := b.Last - events.Seq(n); end >= s.mark {
		return end, nil
	}
	return 0, &DamageError{Dir: s.dir, Mark: s.mark, Bounds: b, Hole: b.Last + 1}
}

// erase removes a tail. Its sequences are not given again, so the gap is
// recorded, before anything is removed: were it after, a crash in between would
// look like damage.
func (s *store) erase(ctx context.Context, g gap, deleted []uint64) error {
	s.say(fmt.Sprintf("events %d to %d were never durable and are not whole: erasing them", g.From, g.To))
	s.gaps = append(s.gaps, g)
	if err := writeGaps(s.dir, s.gaps); err != nil {
		return err
	}
	for seq := g.From; seq <= g.To; seq++ {
		if slices.Contains(deleted, uint64(seq)) {
			continue
		}
		if err := s.context.DeleteMsg(streamName, uint64(seq), nats.Context(ctx)); err != nil {
			return fmt.Errorf("erase event %d: %w", seq, err)
		}
	}
	return nil
}

func within(gaps []gap, seq events.Seq) bool {
	return slices.ContainsFunc(gaps, func(g gap) bool { return g.From <= seq && seq <= g.To })
}

// after is the first sequence from seq on that may hold an event.
func after(gaps []gap, seq events.Seq) events.Seq {
	for _, g := range gaps { // in order: each was made at an end of the log
		if g.From <= seq && seq <= g.To {
			seq = g.To + 1
		}
	}
	return seq
}

// before is the last sequence up to seq that may hold an event.
func before(gaps []gap, seq events.Seq) events.Seq {
	for _, g := range slices.Backward(gaps) {
		if g.From <= seq && seq <= g.To {
			seq = g.From - 1
		}
	}
	return seq
}
