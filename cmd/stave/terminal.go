package main

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// terminal is where a verb reads and prints: files in life, buffers in tests.
type terminal struct {
	in    io.Reader
	out   io.Writer
	err   io.Writer
	tty   bool // out is a terminal: progress may be redrawn
	told  bool // err is one too: hints are for people
	width int  // columns; 80 when it is not a terminal
}

func stdTerminal() *terminal {
	t := &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, width: 80}
	fd := int(os.Stdout.Fd())
	t.told = term.IsTerminal(int(os.Stderr.Fd()))
	if t.tty = term.IsTerminal(fd); t.tty {
		if w, _, err := term.GetSize(fd); err == nil && w > 0 {
			t.width = w
		}
	}
	return t
}

// sink is standard output that remembers its first failure: a full disk must
// not pass for success, and who prints for ever has to end.
type sink struct {
	to   io.Writer
	stop func()

	mu  sync.Mutex
	err error
}

// Write implements io.Writer.
func (w *sink) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	if err != nil {
		w.mu.Lock()
		if w.err == nil {
			w.err = err
		}
		w.mu.Unlock()
		w.stop()
	}
	return n, err
}

// plainOut is standard output itself, for a program of ours or of somebody else
// that looks whether it is a terminal.
func (t *terminal) plainOut() io.Writer {
	if w, ok := t.out.(*sink); ok {
		return w.to
	}
	return t.out
}

func (w *sink) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
