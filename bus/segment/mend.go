package segment

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/events"
)

// Copy reads from another copy of the log: all events from..to, in order.
type Copy func(from, to events.Seq) ([]events.Envelope, error)

// Mend puts what is out of service into service again, as far as another copy of
// the log still has what is missing; it begins at begins. Between two sound
// segments the copy need not be trusted: what comes of it must have the chain on
// which the later one follows. When the newest are damaged, those before them go
// on, and the events behind them can be sealed anew.
func (a *Archive) Mend(begins events.Seq, read Copy) (mended bool, err error) {
	if mended, err = a.leaveNewest(begins); err != nil {
		return mended, err
	}
	for {
		next, prev, ok := a.rift()
		from, chain := events.Seq(1), ""
		if prev != nil {
			from, chain = prev.Last+1, prev.Chain
		}
		if !ok || from < begins {
			return mended, nil
		}
		log, err := read(from, next.First-1)
		if err != nil || len(log) == 0 {
			return mended, nil // the copy is none, and what is missing was named
		}
		var built []piece
		for _, some := range a.asBefore(log) {
			h, body := build(chain, some)
			built, chain = append(built, piece{h, body}), h.Chain
		}
		if chain != next.Prev {
			return mended, nil // it has other events
		}
		if err := a.bridge(built); err != nil {
			return mended, err
		}
		mended = true
	}
}

// piece is a segment that was built and not written.
type piece struct {
	Head
	body []byte
}

// leaveNewest sets the newest segments aside when they are damaged and their
// events can be sealed anew.
func (a *Archive) leaveNewest(begins events.Seq) (bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sound := events.Seq(0)
	n := len(a.earlier)
	if n > 0 {
		run := a.earlier[n-1]
		sound = run[len(run)-1].Last
	}
	if len(a.refused) == 0 || len(a.all) > 0 || sound+1 < begins {
		return false, nil
	}
	if err := a.setAside(sound + 1); err != nil {
		return false, err
	}
	if n > 0 {
		a.all, a.earlier = a.earlier[n-1], a.earlier[:n-1]
	}
	return true, sealed.SyncDir(a.dir)
}

// setAside takes the refused files from a sequence on out of the way.
func (a *Archive) setAside(from events.Seq) error {
	var left []string
	for _, name := range a.refused {
		if first, _ := rangeOf(name); first < from {
			left = append(left, name)
			continue
		}
		if err := os.Rename(name, name+".refused"); err != nil {
			return fmt.Errorf("set aside damaged segment: %w", err)
		}
	}
	a.refused = left
	return nil
}

// rift is the oldest segment in service and the one before it that is not; ok
// tells whether anything is missing in between. A log whose beginning was cut
// looks the same, but no copy of it begins before the cut.
func (a *Archive) rift() (next, prev *segment, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.all) == 0 {
		return nil, nil, false
	}
	if n := len(a.earlier); n > 0 {
		run := a.earlier[n-1]
		prev = run[len(run)-1]
	}
	next = a.all[0]
	return next, prev, next.Prev != ""
}

// asBefore parts events as they were parted among the files that were refused,
// by the names of these: each part has a chain of its own.
func (a *Archive) asBefore(log []events.Envelope) (parts [][]events.Envelope) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range a.refused {
		_, last := rangeOf(name)
		n, _ := slices.BinarySearchFunc(log, last+1, func(e events.Envelope, seq events.Seq) int { return cmp.Compare(e.Seq, seq) })
		if n > 0 && n < len(log) {
			parts, log = append(parts, log[:n]), log[n:]
		}
	}
	return append(parts, log)
}

// bridge writes the segments that lead up to the oldest one in service.
func (a *Archive) bridge(built []piece) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.setAside(built[0].First); err != nil {
		return err
	}
	var run []*segment
	if n := len(a.earlier); n > 0 {
		run, a.earlier = a.earlier[n-1], a.earlier[:n-1]
	}
	for _, p := range built {
		if err := p.write(a.dir, p.body); err != nil {
			return fmt.Errorf("seal events %d to %d anew: %w", p.First, p.Last, err)
		}
		s, err := open(path(a.dir, p.First, p.Last))
		if err != nil {
			return err
		}
		run = append(run, s)
	}
	a.all = slices.Concat(run, a.all)
	return nil
}

// rangeOf are the sequences that a segment's name tells; 0 and 0 when it tells none.
func rangeOf(name string) (first, last events.Seq) {
	var from, to uint64
	if n, _ := fmt.Sscanf(filepath.Base(name), "%d-%d", &from, &to); n != 2 {
		return 0, 0
	}
	return events.Seq(from), events.Seq(to)
}
