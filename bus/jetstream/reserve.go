package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/bus"
)

// A full disk must not stop the nodes from telling what they see: a fact that
// cannot be stored is lost with the node that keeps it. So people's requests are
// refused while some room is left, and a file of that size is held on top, which
// gives its room away when something else eats the rest.
const (
	// reserveShare and maxReserve say how much is held: a part of the disk.
	reserveShare = 50
	maxReserve   = 64 << 20
	// reserveEvery is how often the room is looked at.
	reserveEvery = 500 * time.Millisecond
)

func reservePath(dir string) string { return filepath.Join(dir, "reserve") }

// reserve is the room that is held for facts.
type reserve struct {
	dir  string
	size int64 // bytes
	say  func(string)

	mu   sync.Mutex
	held bool
	full error // why requests are refused; nil while there is room
}

// openReserve begins to hold room; size 0 means a share of the disk.
func openReserve(dir string, size int64, say func(string)) (*reserve, error) {
	r := &reserve{dir: dir, size: size, say: say}
	_, total, err := r.room()
	if err != nil {
		return nil, err
	}
	if r.size == 0 {
		r.size = min(maxReserve, total/reserveShare)
	}
	info, err := os.Stat(reservePath(dir))
	r.held = err == nil && info.Size() == r.size
	return r, r.look()
}

// room is what is free for us, and what the disk has in all, in bytes.
func (r *reserve) room() (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(r.dir, &s); err != nil {
		return 0, 0, fmt.Errorf("look for room on the disk of %s: %w", r.dir, err)
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}

// look takes the reserve, gives it away, and opens or closes the door for requests.
func (r *reserve) look() error {
	free, _, err := r.room()
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.held && free < r.size/8:
		err = r.give()
	case !r.held && free >= r.size+r.need():
		err = r.take()
	}
	if free, _, err = r.after(err); err != nil {
		return err
	}
	was := r.full != nil
	switch {
	case !r.held || free < r.need():
		need := r.need()
		if !r.held {
			need += r.size // which is taken again first
		}
		r.full = &bus.FullError{Dir: r.dir, Free: free, Need: need}
	case free >= r.need()+r.need()/4: // a little more than enough, so that the door does not flap
		r.full = nil
	}
	if now := r.full != nil; now != was {
		r.tell(now)
	}
	return nil
}

// need is what has to be free besides the reserve for requests to be taken.
func (r *reserve) need() int64 { return r.size / 2 }

// after is room again, when what was done to the reserve did not fail.
func (r *reserve) after(err error) (int64, int64, error) {
	if err != nil {
		return 0, 0, err
	}
	return r.room()
}

func (r *reserve) tell(full bool) {
	if full {
		r.say(fmt.Sprintf("%v: requests are refused, what nodes report is still taken", r.full))
		return
	}
	r.say("there is room on the log's disk again: requests are taken")
}

func (r *reserve) give() error {
	if err := os.Remove(reservePath(r.dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give the reserve away: %w", err)
	}
	r.held = false
	return nil
}

func (r *reserve) take() error {
	f, err := os.OpenFile(reservePath(r.dir), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("take the reserve: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, r.size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = nil // a file system without it: the door alone keeps room
	}
	if err = errors.Join(err, f.Close()); err == nil {
		r.held = true
		return nil
	}
	if errors.Is(err, unix.ENOSPC) {
		return r.give() // somebody was faster
	}
	return fmt.Errorf("take the reserve: %w", err)
}

// watch looks until ctx ends.
func (r *reserve) watch(ctx context.Context) {
	every := time.NewTicker(reserveEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			if err := r.look(); err != nil {
				r.say(err.Error()) // what was decided before stays
			}
		}
	}
}

// Room says why requests cannot be taken: *bus.FullError; nil when they can.
func (l *Log) Room() error {
	if l.reserve == nil {
		return nil // the disk is somebody else's
	}
	l.reserve.mu.Lock()
	defer l.reserve.mu.Unlock()
	return l.reserve.full
}
