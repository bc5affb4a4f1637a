package jetstream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// blocks makes what the server has written to its stream durable, with as few
// calls as that takes. It knows one thing about the server's files: messages go
// to the end of the newest of msgs/<n>.blk.
//
// It syncs those files rather than the file system: beside an image pull a
// syncfs waits for somebody else's gigabytes.
type blocks struct {
	dir     *os.File
	current *os.File // the newest block that was synced
	number  int
}

func openBlocks(store string) (*blocks, error) {
	d, err := os.Open(filepath.Join(store, "msgs"))
	if err != nil {
		return nil, fmt.Errorf("open blocks: %w", err)
	}
	return &blocks{dir: d}, nil
}

// dirTries bounds the attempts at a directory that the server is replacing,
// dirPause is what lies between them.
const (
	dirTries = 100
	dirPause = time.Millisecond
)

// sync returns when everything written before the call is durable.
func (b *blocks) sync() error {
	err := b.attempt()
	for i := 0; i < dirTries && errors.Is(err, fs.ErrNotExist); i++ {
		time.Sleep(dirPause) // the server moves the old directory away first
		err = b.attempt()
	}
	return err
}

func (b *blocks) attempt() error {
	if err := b.sameDirectory(); err != nil {
		return err
	}
	if err := b.syncCurrent(); err != nil {
		return err
	}
	newer, err := b.newer()
	if err != nil || len(newer) == 0 {
		return err
	}
	// A message may have landed in the old block after the sync above and
	// before the server left it for the next.
	if err := b.syncCurrent(); err != nil {
		return err
	}
	for _, n := range newer {
		if err := b.enter(n); err != nil {
			return err
		}
	}
	if err := b.dir.Sync(); err != nil {
		return fmt.Errorf("sync directory of blocks: %w", err)
	}
	return nil
}

// sameDirectory opens the directory anew when the server has made another, as
// it does when all there was is cut off. What changed then is more than blocks.
func (b *blocks) sameDirectory() error {
	old, err := b.dir.Stat()
	if err != nil {
		return fmt.Errorf("look at directory of blocks: %w", err)
	}
	now, err := os.Stat(b.dir.Name())
	if err != nil {
		return fmt.Errorf("look at directory of blocks: %w", err)
	}
	if os.SameFile(old, now) {
		return nil
	}
	anew, err := openBlocks(filepath.Dir(b.dir.Name()))
	if err != nil {
		return err
	}
	b.close()
	*b = *anew
	return syncFileSystem(b.dir.Name())
}

// syncCurrent syncs the newest known block, and the file of that name too when
// the janitor has put another in its place. The descriptor is kept open so that
// no failed write-back goes unreported.
func (b *blocks) syncCurrent() error {
	if b.current == nil {
		return nil
	}
	if err := unix.Fdatasync(int(b.current.Fd())); err != nil {
		return fmt.Errorf("sync block %d: %w", b.number, err)
	}
	old, err := b.current.Stat()
	if err != nil {
		return fmt.Errorf("look at block %d: %w", b.number, err)
	}
	now, err := os.Stat(b.path(b.number))
	if errors.Is(err, fs.ErrNotExist) || err == nil && os.SameFile(old, now) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at block %d: %w", b.number, err)
	}
	if err := b.enter(b.number); err != nil {
		return err
	}
	if err := b.dir.Sync(); err != nil {
		return fmt.Errorf("sync directory of blocks: %w", err)
	}
	return nil
}

// enter syncs a block and makes it the current one. One that is gone again was
// emptied by the janitor.
func (b *blocks) enter(n int) error {
	f, err := os.Open(b.path(n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open block %d: %w", n, err)
	}
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		_ = f.Close()
		return fmt.Errorf("sync block %d: %w", n, err)
	}
	if b.current != nil {
		_ = b.current.Close() // it was synced
	}
	b.current, b.number = f, n
	return nil
}

// newer lists the blocks after the current one, oldest first. It lists instead
// of looking for the next number: the janitor may have removed that one.
func (b *blocks) newer() ([]int, error) {
	if _, err := b.dir.Seek(0, 0); err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	names, err := b.dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	var out []int
	for _, name := range names {
		stem, ok := strings.CutSuffix(name, ".blk")
		n, err := strconv.Atoi(stem)
		if ok && err == nil && n > b.number {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (b *blocks) path(n int) string { return filepath.Join(b.dir.Name(), strconv.Itoa(n)+".blk") }

func (b *blocks) close() {
	if b.current != nil {
		_ = b.current.Close()
	}
	_ = b.dir.Close()
}

// syncFileSystem makes everything below dir durable: the store's metadata, which
// the server never syncs, lies in many files.
func syncFileSystem(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync file system of store: %w", err)
	}
	return nil
}
