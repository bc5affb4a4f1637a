package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A power cut is played by EXT4_IOC_SHUTDOWN without a flush of the journal: from
// then on nothing reaches the image, and the next mount replays the journal as
// after a real one.
const (
	ext4Shutdown = 0x8004587d
	withoutFlush = 2
)

// lossy is an ext4 in a file of its own, that can lose its power.
type lossy struct{ loop, at string }

// newLossy makes one and mounts it at a directory that it makes.
func newLossy(at string, size int64) (lossy, error) {
	l := lossy{at: at}
	image := at + ".image"
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close(), os.Mkdir(at, 0o700))
	}
	if err != nil {
		return l, err
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		return l, fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	loop, err := exec.Command("losetup", "-f", "--show", image).Output()
	if err != nil {
		return l, fmt.Errorf("losetup: %w", err)
	}
	l.loop = strings.TrimSpace(string(loop))
	if err := l.mount(); err != nil {
		return l, errors.Join(err, l.remove())
	}
	return l, nil
}

func (l lossy) mount() error {
	if err := unix.Mount(l.loop, l.at, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", l.loop, err)
	}
	return nil
}

// cut takes the power away.
func (l lossy) cut() error {
	f, err := os.Open(l.at)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, withoutFlush); err != nil {
		return errors.Join(fmt.Errorf("shut %s down: %w", l.at, err), f.Close())
	}
	return f.Close()
}

// restore gives it back, when nobody uses the disk any more. A container that is
// being made anywhere on the machine has for a moment a copy of all mounts: while it
// has one of the dead disk, mounting anew finds that one.
func (l lossy) restore() error {
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = unix.Unmount(l.at, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			continue // EINVAL: it is not mounted
		}
		if err = l.mount(); err != nil {
			continue
		}
		if err = l.lives(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("give %s its power back: %w", l.at, err)
}

// lives says whether what is written reaches the disk.
func (l lossy) lives() error {
	f, err := os.Create(filepath.Join(l.at, ".alive"))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), os.Remove(f.Name()))
}

func (l lossy) remove() error {
	_ = unix.Unmount(l.at, unix.MNT_DETACH) // it may not be mounted
	if out, err := exec.Command("losetup", "-d", l.loop).CombinedOutput(); err != nil {
		return fmt.Errorf("losetup: %w: %s", err, out)
	}
	return nil
}

// losesPower says whether a disk can be made here that loses its power.
var losesPower = sync.OnceValue(func() bool {
	dir, err := os.MkdirTemp("", "stave-power-")
	if err != nil {
		return false
	}
	defer os.RemoveAll(dir)
	l, err := newLossy(filepath.Join(dir, "disk"), 16<<20)
	if err != nil {
		return false
	}
	return errors.Join(l.cut(), l.remove()) == nil
})

// TestLossy: what was not synced is gone after a power cut, and what was is there.
func TestLossy(t *testing.T) {
	if os.Geteuid() != 0 || !losesPower() {
		t.Skip("needs root, mkfs.ext4 and loop devices")
	}
	l, err := newLossy(filepath.Join(t.TempDir(), "disk"), 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer l.remove()
	synced, lost := filepath.Join(l.at, "synced"), filepath.Join(l.at, "lost")
	f, err := os.Create(synced)
	if err == nil {
		_, err = f.WriteString("here")
	}
	if err = errors.Join(err, f.Sync(), f.Close(), os.WriteFile(lost, []byte("gone"), 0o600), l.cut(), l.restore()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(synced); string(b) != "here" {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := os.ReadFile(lost); err == nil && string(b) == "gone" {
		t.Errorf("%q survived without a sync", b)
	}
}
