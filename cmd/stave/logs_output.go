package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

// maxLine is how much of a line is held back until its end comes, in bytes; a
// longer one is cut there, so that a container cannot fill our memory.
const maxLine = 1 << 20

// podColours are those of prefixes, a pod after the other.
var podColours = []string{"36", "33", "32", "35", "34", "96", "93", "92", "95", "94"}

// logOutput takes lines of several logs; each comes out whole.
type logOutput struct {
	mu     sync.Mutex
	to     io.Writer
	prefix bool
	whole  bool // several logs share the output: a last line without an end gets one
	colour bool
	pods   map[string]string // colours by pod
}

func newLogOutput(s *session, prefix, whole bool) *logOutput {
	return &logOutput{to: s.out, prefix: prefix, whole: whole, colour: s.colourful(), pods: map[string]string{}}
}

// colourful tells whether colours are wanted on the output.
func (t *terminal) colourful() bool {
	return t.tty && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// head is what a source's lines begin with.
func (o *logOutput) head(of source) []byte {
	if !o.prefix {
		return nil
	}
	head := fmt.Sprintf("[pod/%s/%s]", of.pod.Name, of.container)
	if !o.colour {
		return []byte(head + " ")
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pods[of.pod.Name] == "" {
		o.pods[of.pod.Name] = podColours[len(o.pods)%len(podColours)]
	}
	return []byte("\x1b[" + o.pods[of.pod.Name] + "m" + head + "\x1b[0m ")
}

// line writes one line, with its newline if it has one, in one piece.
func (o *logOutput) line(head, text []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	piece := append(append([]byte(nil), head...), text...)
	if o.whole && !bytes.HasSuffix(piece, []byte("\n")) {
		piece = append(piece, '\n')
	}
	if _, err := o.to.Write(piece); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// lines cuts what comes in pieces into lines.
type lines struct {
	held []byte
	emit func(line []byte) error
}

func (l *lines) take(data []byte) error {
	l.held = append(l.held, data...)
	rest := l.held
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 && len(rest) < maxLine {
			break
		}
		if i < 0 {
			i = len(rest) - 1
		}
		if err := l.emit(rest[:i+1]); err != nil {
			return err
		}
		rest = rest[i+1:]
	}
	l.held = append(l.held[:0], rest...)
	return nil
}

// end gives a last line that has no newline.
func (l *lines) end() error {
	if len(l.held) == 0 {
		return nil
	}
	rest := l.held
	l.held = nil
	return l.emit(rest)
}
