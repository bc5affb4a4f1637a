package follow

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// The bounds of what is kept.
const (
	// keptNewest is how many of the newest checkpoints are always kept: when one
	// is damaged, the next one costs little more.
	keptNewest = 3
	// keptOld is how many older ones are kept besides, spread over the log, so
	// that any moment of it is folded from nearby.
	keptOld = 29
)

// Checkpoints keeps states in a directory, verified before they are used.
type Checkpoints struct {
	dir string

	mu     sync.Mutex
	all    []Checkpoint // by Seq
	pinned events.Seq   // the one that the log is about to begin at
}

// Checkpoint is what the head of a file says.
type Checkpoint struct {
	Seq  events.Seq `json:"seq"`  // everything up to it is folded in
	Time time.Time  `json:"time"` // the state's
	// Anchor is the digest of the event at Seq: a log without that event is another.
	Anchor events.Hash `json:"anchor"`
	Bytes  int64       `json:"-"` // of the file
}

const (
	checkpointKind = "checkpoint"
	checkpointEnd  = ".checkpoint"
	refusedEnd     = ".refused"
)

// OpenCheckpoints lists a directory, which is made when it is not there.
func OpenCheckpoints(dir string) (*Checkpoints, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open checkpoints: %w", err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open checkpoints: %w", err)
	}
	c := &Checkpoints{dir: dir}
	for _, n := range names {
		stem, ok := strings.CutSuffix(n.Name(), checkpointEnd)
		seq, err := strconv.ParseUint(stem, 10, 64)
		if !ok || err != nil {
			continue
		}
		one, err := c.head(events.Seq(seq))
		if err != nil {
			one = Checkpoint{Seq: events.Seq(seq)} // whoever wants it will be told what is wrong
		}
		c.all = append(c.all, one)
	}
	slices.SortFunc(c.all, func(a, b Checkpoint) int { return bySeq(a, b.Seq) })
	return c, nil
}

func (c *Checkpoints) path(seq events.Seq) string {
	return filepath.Join(c.dir, fmt.Sprintf("%020d%s", uint64(seq), checkpointEnd))
}

// head is what a file says of itself, unverified.
func (c *Checkpoints) head(seq events.Seq) (Checkpoint, error) {
	path := c.path(seq)
	o, err := sealed.Look(path)
	if err != nil {
		return Checkpoint{}, err
	}
	return headOf(path, o.Head, o.Size)
}

func headOf(path string, head json.RawMessage, size int64) (Checkpoint, error) {
	one := Checkpoint{Bytes: size}
	if err := json.Unmarshal(head, &one); err != nil {
		return one, &sealed.DamageError{Path: path, Why: "its head cannot be read"}
	}
	return one, nil
}

// All are the checkpoints that are kept, oldest first.
func (c *Checkpoints) All() []Checkpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// Save keeps a durable state; last is the event at its sequence.
func (c *Checkpoints) Save(s projections.State, last events.Envelope) error {
	one, err := c.write(s, last)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = slices.DeleteFunc(c.all, func(x Checkpoint) bool { return x.Seq >= s.Seq })
	c.all = append(c.all, one)
	return c.thin()
}

// Pin keeps the state that the log is about to begin with; it stays for as long
// as the log begins there.
func (c *Checkpoints) Pin(s projections.State, last events.Envelope) error {
	one, err := c.write(s, last)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pinned = s.Seq
	at, there := slices.BinarySearchFunc(c.all, s.Seq, bySeq)
	if there {
		c.all[at] = one
		return nil
	}
	c.all = slices.Insert(c.all, at, one)
	return nil
}

func bySeq(c Checkpoint, seq events.Seq) int { return cmp.Compare(c.Seq, seq) }

// Cut removes the checkpoints before the one at first, and what belongs to
// horizons that the log does not begin at.
func (c *Checkpoints) Cut(first events.Seq) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.all) > 1 && c.all[0].Seq < first {
		if err := os.Remove(c.path(c.all[0].Seq)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old checkpoint: %w", err)
		}
		c.all = slices.Delete(c.all, 0, 1)
	}
	return c.cutOrigins(first)
}

// write stores a state in a file.
func (c *Checkpoints) write(s projections.State, last events.Envelope) (Checkpoint, error) {
	var one Checkpoint
	var body bytes.Buffer
	z, err := zstd.NewWriter(&body, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return one, fmt.Errorf("save checkpoint: %w", err)
	}
	if err := errors.Join(s.Keep(z), z.Close()); err != nil {
		return one, fmt.Errorf("save checkpoint: %w", err)
	}
	one = Checkpoint{Seq: s.Seq, Time: s.Time, Anchor: projections.Digest(last), Bytes: int64(body.Len())}
	if err := sealed.Write(c.path(s.Seq), checkpointKind, projections.KeptVersion, one, body.Bytes()); err != nil {
		return one, fmt.Errorf("save checkpoint: %w", err)
	}
	return one, nil
}

// thin removes the older checkpoint whose neighbours are nearest to each other,
// so that the rest spread over the log. The very oldest stays: below it nothing
// can be folded once the log is cut.
func (c *Checkpoints) thin() error {
	for len(c.all) > keptNewest+keptOld {
		crowded, least := 1, events.Seq(0)
		for i := 1; i < len(c.all)-keptNewest; i++ {
			if gap := c.all[i+1].Seq - c.all[i-1].Seq; c.all[i].Seq != c.pinned && (least == 0 || gap < least) {
				crowded, least = i, gap
			}
		}
		if err := os.Remove(c.path(c.all[crowded].Seq)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old checkpoint: %w", err)
		}
		c.all = slices.Delete(c.all, crowded, crowded+1)
	}
	return nil
}

// Newest is the newest good state that the log goes on from; the empty state
// when there is none. What is refused is said, with the reason, and set aside.
func (c *Checkpoints) Newest(ctx context.Context, log bus.Log, say func(string)) (projections.State, error) {
	b, err := log.Bounds(ctx)
	if err != nil {
		return projections.Empty(), fmt.Errorf("read the log's bounds: %w", err)
	}
	for _, one := range slices.Backward(c.All()) {
		s, why := c.load(one)
		if why == nil {
			why = belongs(ctx, log, b, s.head)
		}
		if why == nil {
			return s.State, nil
		}
		if ctx.Err() != nil {
			return projections.Empty(), ctx.Err()
		}
		say(fmt.Sprintf("checkpoint %d is not used: %v", one.Seq, why))
		if newer := (*sealed.VersionError)(nil); !errors.As(why, &newer) {
			c.setAside(one.Seq) // else the newer version needs it again
		}
	}
	return projections.Empty(), nil
}

// loaded is a state with what its file's head says of it.
type loaded struct {
	projections.State
	head Checkpoint
}

func (c *Checkpoints) load(one Checkpoint) (loaded, error) {
	path := c.path(one.Seq)
	f, err := sealed.Read(path, checkpointKind)
	if err != nil {
		return loaded{}, err
	}
	if f.Version > projections.KeptVersion {
		return loaded{}, &sealed.VersionError{Path: path, Version: f.Version, Knows: projections.KeptVersion}
	}
	head, err := headOf(path, f.Head, int64(len(f.Body)))
	if err != nil {
		return loaded{}, err
	}
	z, err := zstd.NewReader(bytes.NewReader(f.Body))
	if err != nil {
		return loaded{}, fmt.Errorf("read checkpoint: %w", err)
	}
	defer z.Close()
	s, err := projections.Restore(f.Version, z)
	if err == nil && s.Seq != head.Seq {
		err = &sealed.DamageError{Path: path, Why: fmt.Sprintf("its rows are those of %d", s.Seq)}
	}
	return loaded{s, head}, err
}

// belongs tells why a checkpoint cannot be gone on from with this log.
func belongs(ctx context.Context, log bus.Log, b bus.Bounds, one Checkpoint) error {
	switch {
	case one.Seq > b.Last:
		return fmt.Errorf("it is ahead of the log, which ends at %d", b.Last)
	case one.Seq < b.First:
		return fmt.Errorf("the log begins at %d, after it", b.First)
	}
	found := errors.New("the log has no such event")
	err := log.Read(ctx, one.Seq, func(e events.Envelope) error {
		if e.Seq == one.Seq {
			if found = nil; projections.Digest(e) != one.Anchor {
				found = fmt.Errorf("it is of another log: event %d is another here", e.Seq)
			}
		}
		return errEnough
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("read the event that it ends at: %w", err)
	}
	return found
}

// errEnough ends a reading early.
var errEnough = errors.New("enough read")

// setAside takes a refused checkpoint out of the way and keeps it for people to look at.
func (c *Checkpoints) setAside(seq events.Seq) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = os.Rename(c.path(seq), c.path(seq)+refusedEnd) // else the next start says the same again
	c.all = slices.DeleteFunc(c.all, func(x Checkpoint) bool { return x.Seq == seq })
}

// CopyTo copies what is sound into another directory that does not have it: the
// checkpoints up to a sequence, and who set what before the log was cut.
func (c *Checkpoints) CopyTo(ctx context.Context, dir string, upTo events.Seq) (copied int, err error) {
	kinds := map[string]string{}
	for _, one := range c.All() {
		if one.Seq <= upTo {
			kinds[c.path(one.Seq)] = checkpointKind
		}
	}
	origins, err := filepath.Glob(filepath.Join(c.dir, "*"+originsEnd))
	if err != nil {
		return 0, fmt.Errorf("list origins: %w", err)
	}
	for _, name := range origins {
		kinds[name] = originsKind
	}
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		to := filepath.Join(dir, filepath.Base(name))
		if _, err := sealed.Read(to, kinds[name]); err == nil {
			continue
		}
		if ctx.Err() != nil {
			return copied, ctx.Err()
		}
		err := sealed.Copy(name, to, kinds[name])
		var damaged *sealed.DamageError
		if errors.Is(err, fs.ErrNotExist) || errors.As(err, &damaged) {
			continue // thinned out meanwhile, or nothing to keep
		}
		if err != nil {
			return copied, err
		}
		copied++
	}
	return copied, nil
}

// Check reads a checkpoint whole and says what is wrong with it.
func (c *Checkpoints) Check(one Checkpoint) error {
	_, err := c.load(one)
	return err
}

// Before is the newest good state of which within says yes; false when there is
// none. It is for looking back: what is damaged is passed over.
func (c *Checkpoints) Before(within func(seq events.Seq, t time.Time) bool) (projections.State, bool) {
	for _, one := range slices.Backward(c.All()) {
		if one.Anchor == "" || !within(one.Seq, one.Time) {
			continue
		}
		if s, err := c.load(one); err == nil {
			return s.State, true
		}
	}
	return projections.Empty(), false
}
