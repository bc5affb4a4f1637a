package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// terminal is where a verb reads and prints: files in life, buffers in tests.
type terminal struct {
	in    io.Reader
	out   io.Writer
	err   io.Writer
	tty   bool // out is a terminal: progress may be redrawn
	width int  // columns; 80 when it is not a terminal
}

func stdTerminal() *terminal {
	t := &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, width: 80}
	fd := int(os.Stdout.Fd())
	if t.tty = term.IsTerminal(fd); t.tty {
		if w, _, err := term.GetSize(fd); err == nil && w > 0 {
			t.width = w
		}
	}
	return t
}
