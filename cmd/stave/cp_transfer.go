package main

import (
	"fmt"
	"io"
	"time"
)

// transfer shows on a terminal how far a long copy is: the file, and the bytes
// of it. Its lines are overwritten and gone at the end.
type transfer struct {
	to    io.Writer // nil: not shown
	name  string
	width int
	next  time.Time
	shown bool
}

// transferEvery is how often it is drawn, and how long a copy lasts before it is.
const transferEvery = 300 * time.Millisecond

func newTransfer(s *session, name string) *transfer {
	t := &transfer{name: name, width: s.width, next: time.Now().Add(transferEvery)}
	if s.tty {
		t.to = s.err
	}
	return t
}

// of counts what is read of one file.
func (t *transfer) of(name string, size int64, in io.Reader) io.Reader {
	if name != "." {
		t.name = name
	}
	return &transferred{t: t, in: in, size: size}
}

// end takes the line away.
func (t *transfer) end() {
	if t.shown {
		fmt.Fprint(t.to, "\r\x1b[K")
	}
}

type transferred struct {
	t    *transfer
	in   io.Reader
	done int64
	size int64
}

// Read counts.
func (r *transferred) Read(b []byte) (int, error) {
	n, err := r.in.Read(b)
	r.done += int64(n)
	if now := time.Now(); r.t.to != nil && now.After(r.t.next) {
		r.t.next, r.t.shown = now.Add(transferEvery), true
		line := fmt.Sprintf("%s of %s  %s", mebibytes(r.done), mebibytes(r.size), r.t.name)
		if len(line) >= r.t.width {
			line = line[:max(r.t.width-1, 0)]
		}
		fmt.Fprintf(r.t.to, "\r%s\x1b[K", line)
	}
	return n, err
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
