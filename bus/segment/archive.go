package segment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/events"
)

// Archive is a directory of segments, each beginning where the one before ends.
type Archive struct {
	dir string

	mu  sync.Mutex
	all []*segment // replaced, never changed

	// What Open found: the files that it refused, and the sound runs before the one that is in service.
	refused []string
	earlier [][]*segment
}

// checkedAtOpen is how many of the newest segments are read whole when an archive
// is opened. Older ones are checked when something is read from them.
const checkedAtOpen = 128

// Open reads a directory, which is made when it is not there. A damaged segment,
// and one that does not follow on the one before, is named, and with it
// everything before it is out of service: the archive begins after it.
func Open(dir string, say func(string)) (*Archive, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open segments: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"+ending)) // by name, which is by sequence
	if err != nil {
		return nil, fmt.Errorf("open segments: %w", err)
	}
	a := &Archive{dir: dir}
	for i, name := range names {
		s, err := a.check(name, len(names)-i <= checkedAtOpen)
		if errors.Is(err, fs.ErrNotExist) {
			continue // cut off since it was listed: whoever runs the log lets others look
		}
		if newer := (*sealed.VersionError)(nil); errors.As(err, &newer) {
			return nil, fmt.Errorf("open segments: %w", err)
		}
		if err != nil {
			say(err.Error())
			if s == nil {
				a.refused = append(a.refused, name)
			}
			if len(a.all) > 0 {
				a.earlier = append(a.earlier, a.all)
			}
			a.all = nil
		}
		if s != nil {
			a.all = append(a.all, s)
		}
	}
	return a, nil
}

// Sound tells whether every segment that was found is in service.
func (a *Archive) Sound() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.refused) == 0 && len(a.earlier) == 0
}

// Leave takes all segments out of service.
func (a *Archive) Leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = nil
}

// check opens the next segment. With an error and a segment, that segment is
// sound and what lies before it is not.
func (a *Archive) check(name string, whole bool) (*segment, error) {
	s, err := open(name)
	if err != nil {
		return nil, err
	}
	if s.path != path(a.dir, s.First, s.Last) {
		return nil, s.damaged(fmt.Sprintf("it holds %d to %d", s.First, s.Last))
	}
	if whole {
		f, err := sealed.Read(name, kind)
		if err == nil && f.Version != version {
			err = &sealed.VersionError{Path: name, Version: f.Version, Knows: version}
		}
		if err != nil {
			return nil, err
		}
	}
	if last := len(a.all) - 1; last >= 0 && s.Prev != a.all[last].Chain {
		if before := a.all[last].Last; s.First > before+1 {
			return s, s.damaged(fmt.Sprintf("the events %d to %d before it are missing", before+1, s.First-1))
		}
		return s, s.damaged(fmt.Sprintf("it does not follow on %s", filepath.Base(a.all[last].path)))
	}
	return s, nil
}

// Verify reads everything, oldest first, and calls found for each damaged file;
// read is told how many it has read.
func (a *Archive) Verify(ctx context.Context, read func(done, of int), found func(error)) error {
	all := a.segments()
	for i, s := range all {
		read(i, len(all))
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.verify(); err != nil && !errors.Is(err, fs.ErrNotExist) { // cut off meanwhile
			found(err)
		}
	}
	return nil
}

func (a *Archive) segments() []*segment {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all
}

// Bounds are the first and last sealed sequence; 0 and 0 when nothing is sealed.
func (a *Archive) Bounds() (first, last events.Seq) {
	all := a.segments()
	if len(all) == 0 {
		return 0, 0
	}
	return all[0].First, all[len(all)-1].Last
}

// Sealed is one segment for people.
type Sealed struct {
	Head
	Path string
	Size int64 // bytes of the file
}

// All are the segments, oldest first.
func (a *Archive) All() []Sealed {
	var out []Sealed
	for _, s := range a.segments() {
		out = append(out, Sealed{s.Head, s.path, s.size})
	}
	return out
}

// Seal adds a segment of events, in order, that come after all that is sealed.
func (a *Archive) Seal(log []events.Envelope) error {
	if len(log) == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	prev := ""
	if n := len(a.all); n > 0 {
		if last := a.all[n-1]; log[0].Seq <= last.Last {
			return fmt.Errorf("seal from %d: sealed up to %d", log[0].Seq, last.Last)
		}
		prev = a.all[n-1].Chain
	}
	h, err := write(a.dir, prev, log)
	if err != nil {
		return fmt.Errorf("seal events %d to %d: %w", log[0].Seq, log[len(log)-1].Seq, err)
	}
	s, err := open(path(a.dir, h.First, h.Last))
	if err != nil {
		return err
	}
	a.all = append(slices.Clone(a.all), s)
	return nil
}

// Boundary is where the newest segment begins that begins no later than t and has
// others before it; 0 when there is none.
func (a *Archive) Boundary(t time.Time) events.Seq {
	all := a.segments()
	for i := len(all) - 1; i > 0; i-- {
		if !all[i].From.After(t) {
			return all[i].First
		}
	}
	return 0
}

// Cut removes the segments that lie wholly below first, oldest first.
func (a *Archive) Cut(first events.Seq) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.all) > 0 && a.all[0].Last < first {
		oldest := a.all[0]
		a.all = slices.Clone(a.all[1:]) // first, so that a reader who does not find its file knows why
		if err := os.Remove(oldest.path); err != nil {
			return fmt.Errorf("cut segment: %w", err)
		}
	}
	return sealed.SyncDir(a.dir)
}

// cutOff tells whether a segment could not be read because it was cut off since.
func (a *Archive) cutOff(s *segment, err error) bool {
	return errors.Is(err, fs.ErrNotExist) && !slices.Contains(a.segments(), s)
}

// Read calls f for the sealed events from..to, in order. Where the segments begin
// only after from it is fs.ErrNotExist: what was cut off is not passed over.
func (a *Archive) Read(ctx context.Context, from, to events.Seq, f func(events.Envelope) error) error {
	all := a.segments()
	if len(all) > 0 && from < all[0].First {
		return fmt.Errorf("read from %d: the segments begin at %d: %w", from, all[0].First, fs.ErrNotExist)
	}
	for _, s := range all {
		if s.Last < from || s.First > to {
			continue
		}
		err := s.read(from, to, func(e events.Envelope) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f(e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Find lists the sealed events that speak of an object, in order.
func (a *Archive) Find(k events.Key) ([]events.Seq, error) {
	var out []events.Seq
	for _, s := range a.segments() {
		seqs, err := s.find(k)
		if a.cutOff(s, err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, seqs...)
	}
	return out, nil
}

// At calls f for single events, by sequence in order; one that is not there is
// passed over. Events of one block cost one reading of it.
func (a *Archive) At(ctx context.Context, seqs []events.Seq, f func(events.Envelope) error) error {
	for _, s := range a.segments() {
		from, _ := slices.BinarySearch(seqs, s.First)
		to, _ := slices.BinarySearch(seqs, s.Last+1)
		if err := s.at(ctx, seqs[from:to], f); err != nil && !a.cutOff(s, err) {
			return err
		}
	}
	return nil
}

func (s *segment) at(ctx context.Context, seqs []events.Seq, f func(events.Envelope) error) error {
	for len(seqs) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := s.Last // of the block that the first of them lies in
		for _, p := range s.Blocks {
			if p.First > seqs[0] {
				end = p.First - 1
				break
			}
		}
		n, _ := slices.BinarySearch(seqs, end+1)
		some := seqs[:n]
		err := s.read(some[0], some[n-1], func(e events.Envelope) error {
			if _, wanted := slices.BinarySearch(some, e.Seq); !wanted {
				return nil
			}
			return f(e)
		})
		if err != nil {
			return err
		}
		seqs = seqs[n:]
	}
	return nil
}
