package jetstream

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/stave-run/stave/bus"
)

const (
	smallReserve = 8 << 20
	smallDisk    = 128 << 20
)

// eat leaves so much room on the disk.
func eat(t *testing.T, at string, leave int64) string {
	t.Helper()
	var s unix.Statfs_t
	if err := unix.Statfs(at, &s); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(at, "eaten")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	had, err := f.Seek(0, 2)
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), 0, 0, had+int64(s.Bavail)*s.Bsize-leave)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func roomIs(t *testing.T, l *Log, full bool) error {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err := l.Room(); (err != nil) == full {
			return err
		}
	}
	t.Fatalf("room: %v", l.Room())
	return nil
}

// While the disk fills, requests are refused and facts still land, also when
// somebody else eats the last byte; room heals it without anybody's help.
func TestFullDisk(t *testing.T) {
	d := newDiskOf(t, smallDisk)
	dir := filepath.Join(d.at, "log")
	open := func() *Server {
		s, err := Open(t.Context(), Options{Dir: dir, Name: "test", Reserve: smallReserve, OnFatal: func(err error) { t.Error(err) }, Warn: func(l string) { t.Log(l) }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	l := s.Log()
	roomIs(t, l, false)
	grow(t, l, 100)

	eaten := eat(t, d.at, smallReserve/4)
	err := roomIs(t, l, true)
	var full *bus.FullError
	if !errors.As(err, &full) || !errors.Is(err, bus.ErrFull) || full.Free > smallReserve/2 || full.Dir != dir {
		t.Errorf("refused with %v", err)
	}
	grow(t, l, 500)

	eat(t, d.at, 0)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(reservePath(dir)); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the reserve is not given away")
		}
	}
	grow(t, l, 2000)
	if l.Room() == nil {
		t.Error("requests are taken on a full disk")
	}

	if err := os.Remove(eaten); err != nil {
		t.Fatal(err)
	}
	roomIs(t, l, false)
	if at, err := os.Stat(reservePath(dir)); err != nil || at.Size() != smallReserve {
		t.Errorf("the reserve is not held again: %v", err)
	}
	grow(t, l, 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open()
	if b, err := s.Log().Bounds(t.Context()); err != nil || b != (bus.Bounds{First: 1, Last: 2700}) {
		t.Errorf("after it: %+v, %v", b, err)
	}

	// A start on a disk that is full already.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	eat(t, d.at, 1<<20)
	s = open()
	defer s.Close()
	if s.Log().Room() == nil {
		t.Error("requests are taken on a disk that was full at the start")
	}
	grow(t, s.Log(), 100)
}
