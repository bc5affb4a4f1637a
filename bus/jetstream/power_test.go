package jetstream

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A power cut is played by EXT4_IOC_SHUTDOWN without a flush of the journal: from
// then on nothing reaches the image, and the next mount replays the journal as
// after a real one. A drive that lies about its cache is not covered.
const (
	ext4Shutdown = 0x8004587d
	withoutFlush = 2
)

// imageSize is enough for a few seconds of writing.
const imageSize = 1 << 30

func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), err
}

// disk is an ext4 in a file of its own.
type disk struct{ loop, at string }

// newDisk makes and mounts a disk, or skips the test where that cannot be done.
func newDisk(t *testing.T) disk { return newDiskOf(t, imageSize) }

func newDiskOf(t *testing.T, size int64) disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a file system that loses power")
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("needs mkfs.ext4")
	}
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close(), os.Mkdir(at, 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, "mkfs.ext4", "-q", "-F", image); err != nil {
		t.Fatal(err)
	}
	loop, err := run(t, "losetup", "-f", "--show", image)
	if err != nil {
		t.Skipf("needs loop devices: %v", err)
	}
	d := disk{loop, at}
	t.Cleanup(func() {
		_ = unix.Unmount(at, unix.MNT_DETACH) // fails when it isn't mounted
		if _, err := run(t, "losetup", "-d", loop); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount(loop, at, "ext4", 0, ""); err != nil {
		t.Skipf("needs to mount loop devices: %v", err)
	}
	return d
}

// cut takes the power away and gives it back when the writer is dead.
func (d disk) cut(t *testing.T, w *writer) {
	t.Helper()
	f, err := os.Open(d.at)
	if err != nil {
		t.Fatal(err)
	}
	err = unix.IoctlSetPointerInt(int(f.Fd()), ext4Shutdown, withoutFlush)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Skipf("needs a kernel whose ext4 can be shut down: %v", err)
	}
	time.Sleep(100 * time.Millisecond) // it may notice, and must not lie
	w.kill()
	if err := d.restore(); err != nil {
		t.Fatal(err)
	}
}

// restore gives the power back. A container that is being made anywhere on the
// machine has for a moment a copy of all mounts: while it has one of the dead disk,
// mounting anew finds that one, and nothing can be written to it.
func (d disk) restore() error {
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = unix.Unmount(d.at, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			continue // EINVAL: it is not mounted
		}
		if err = unix.Mount(d.loop, d.at, "ext4", 0, ""); err != nil {
			continue
		}
		if err = d.lives(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("give %s its power back: %w", d.at, err)
}

// lives says whether what is written reaches the disk.
func (d disk) lives() error {
	f, err := os.Create(filepath.Join(d.at, ".alive"))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), os.Remove(f.Name()))
}

// TestPowerCut cuts the power under load. With STAVE_SOAK=1 it does so many
// times, early and late.
func TestPowerCut(t *testing.T) {
	lives := []time.Duration{1200 * time.Millisecond}
	if os.Getenv("STAVE_SOAK") == "1" {
		for i := range 30 {
			lives = append(lives, 300*time.Millisecond+time.Duration(i*337%4000)*time.Millisecond)
		}
	}
	for _, life := range lives {
		t.Run(life.String(), func(t *testing.T) {
			d := newDisk(t)
			dir := filepath.Join(d.at, "log")
			w := startWriter(t, dir)
			time.Sleep(life)
			d.cut(t, w)
			verify(t, dir, <-w.said)
		})
	}
}
