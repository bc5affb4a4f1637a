package logfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Writer appends the streams of one container to its file and rotates it.
type Writer struct {
	path string
	max  int64
	now  func() time.Time

	// mu makes the entries of two streams whole and keeps rotation out of their middle.
	mu   sync.Mutex
	file *os.File
	size int64
}

// Open opens the file at path for appending; its directory is made.
func Open(path string) (*Writer, error) {
	w := &Writer{path: path, max: MaxSize, now: time.Now}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if err := w.open(); err != nil {
		return nil, err
	}
	return w, nil
}

// open begins or continues the file. The end of a line that a power cut tore off is closed with a newline, or the next
// entry would be lost with it.
func (w *Writer) open() error {
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(fmt.Errorf("open log: %w", err), f.Close())
	}
	last := []byte{'\n'}
	if size > 0 {
		if _, err := f.ReadAt(last, size-1); err != nil {
			return errors.Join(fmt.Errorf("open log: %w", err), f.Close())
		}
	}
	if last[0] != '\n' {
		n, err := f.Write([]byte{'\n'})
		if err != nil {
			return errors.Join(fmt.Errorf("open log: %w", err), f.Close())
		}
		size += int64(n)
	}
	w.file, w.size = f, size
	return nil
}

// Stream returns a writer for the raw output of one stream. Its Write may be called by one goroutine at a time.
func (w *Writer) Stream(name string) *Stream { return &Stream{to: w, name: name} }

// Close closes the file; streams should have been closed before.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// append writes whole entries.
func (w *Writer) append(entries []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return fmt.Errorf("write log: %w", os.ErrClosed)
	}
	if w.size > 0 && w.size+int64(len(entries)) > w.max {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	n, err := w.file.Write(entries)
	w.size += int64(n)
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// rotate moves every file one number up, the oldest out, and begins a new one. Readers recognise files by inode.
func (w *Writer) rotate() error {
	for i := MaxFiles - 1; i > 0; i-- {
		err := os.Rename(rotated(w.path, i-1), rotated(w.path, i))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	old := w.file
	if err := w.open(); err != nil {
		return err
	}
	return old.Close()
}

// Stream takes raw output and writes it as entries.
type Stream struct {
	to   *Writer
	name string
	// held is the beginning of a line whose end has not come; out is memory used again for each write.
	held, out []byte
}

// Write adds output; the beginning of a line is kept until its end comes or MaxLine is full. All of p is always taken:
// an error says that the file could not be written to, and the output it speaks of is lost.
func (s *Stream) Write(p []byte) (int, error) {
	s.out = s.out[:0]
	s.held = split(s.held, p, s.entry)
	return len(p), s.flush()
}

// Close writes what is left of a line without an end, as a partial entry: readers then print no newline either.
func (s *Stream) Close() error {
	s.out = s.out[:0]
	if len(s.held) > 0 {
		s.entry(s.held, true)
		s.held = nil
	}
	return s.flush()
}

func (s *Stream) entry(text []byte, partial bool) {
	s.out = Append(s.out, Line{At: s.to.now(), Stream: s.name, Partial: partial, Text: text})
}

func (s *Stream) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	return s.to.append(s.out)
}
