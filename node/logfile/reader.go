package logfile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// pollInterval is how long a follower waits at the end of a file before it looks again.
const pollInterval = 50 * time.Millisecond

// ReadOptions choose what Read gives.
type ReadOptions struct {
	// Tail is how many lines to begin before the end; negative means all.
	Tail int
	// Since leaves out what was written before it.
	Since time.Time
	// Follow waits at the end for more, until ctx is done or Ended is closed and all that was written has been read.
	Follow bool
	// Ended is closed when nothing more will be written; nil never is.
	Ended <-chan struct{}
}

// Read gives the entries of the log at path, oldest first, over all its rotated files, to emit; what emit returns ends
// it. The Text it gets is valid during the call only. Lines that are no entries are skipped. A file that is not there is
// an error unless Follow waits for it.
func Read(ctx context.Context, path string, o ReadOptions, emit func(Line) error) error {
	r := &reader{path: path, options: o, emit: emit}
	defer r.close()
	if err := r.begin(ctx); err != nil {
		return err
	}
	for {
		// Asked before the end is looked for: what was written before the closing is read.
		ended := r.ended()
		if err := r.drain(ctx); err != nil {
			return err
		}
		moved, err := r.next()
		if err != nil {
			return err
		}
		if moved {
			continue
		}
		if !o.Follow || ended {
			return nil
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

// reader is one Read under way.
type reader struct {
	path    string
	options ReadOptions
	emit    func(Line) error

	file *os.File
	in   *bufio.Reader
	// torn is the beginning of a line whose end was not yet in the file.
	torn []byte
}

func (r *reader) close() {
	if r.file != nil {
		r.file.Close()
	}
}

func (r *reader) ended() bool {
	select {
	case <-r.options.Ended:
		return true
	default:
		return false
	}
}

// wait pauses at the end of the file; a follower whose client went away ends without an error of its own.
func (r *reader) wait(ctx context.Context) error {
	timer := time.NewTimer(pollInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.options.Ended:
	case <-timer.C:
	}
	return nil
}

// begin opens the file, and finds the place in it, that the options ask for.
func (r *reader) begin(ctx context.Context) error {
	for {
		err := r.open()
		if !errors.Is(err, os.ErrNotExist) || !r.options.Follow || r.ended() {
			return err
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

func (r *reader) open() error {
	if _, err := os.Stat(r.path); err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if r.options.Tail >= 0 {
		f, err := seekTail(r.path, r.options.Tail)
		if err != nil {
			return err
		}
		r.use(f)
		return nil
	}
	f, err := oldest(r.path)
	if err != nil {
		return err
	}
	r.use(f)
	return nil
}

func (r *reader) use(f *os.File) {
	r.close()
	r.file, r.in, r.torn = f, bufio.NewReaderSize(f, 64<<10), nil
}

// drain gives what the current file holds.
func (r *reader) drain(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := r.in.ReadBytes('\n')
		if len(r.torn) > 0 {
			raw = append(r.torn, raw...)
			r.torn = nil
		}
		if errors.Is(err, io.EOF) {
			r.torn = raw
			return nil
		}
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		line, err := Parse(raw)
		if err != nil || line.At.Before(r.options.Since) {
			continue
		}
		if err := r.emit(line); err != nil {
			return err
		}
	}
}

// next moves to the file that follows the current one, if it has been rotated away, and says whether it did.
func (r *reader) next() (bool, error) {
	mine, err := r.file.Stat()
	if err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	for i := range MaxFiles {
		fi, err := os.Stat(rotated(r.path, i))
		if err != nil {
			continue
		}
		if os.SameFile(mine, fi) {
			return i > 0 && r.moveTo(rotated(r.path, i-1)), nil
		}
	}
	// Rotated out of existence under a slow reader, or removed with its pod.
	f, err := oldest(r.path)
	if err != nil {
		return false, nil
	}
	r.use(f)
	return true, nil
}

// moveTo opens the next file. Between two renames of a rotation the name is missing for a moment: the reader then stays
// where it is and looks again.
func (r *reader) moveTo(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	// What was written to the old file between the last read and its rotation comes first.
	if rest, err := io.ReadAll(r.file); err == nil && len(rest) > 0 {
		f.Close()
		r.in.Reset(io.MultiReader(bytes.NewReader(rest), r.file))
		return true
	}
	r.use(f)
	return true
}

// oldest opens the oldest file of the log.
func oldest(path string) (*os.File, error) {
	for i := MaxFiles - 1; i > 0; i-- {
		if f, err := os.Open(rotated(path, i)); err == nil {
			return f, nil
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}
