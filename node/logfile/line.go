// Package logfile writes and reads the files in which containers' output is kept, in the format of Kubernetes' container
// runtime interface, so that the collectors people already run can read them:
//
//	2006-01-02T15:04:05.000000000Z stdout F a whole line
//	2006-01-02T15:04:05.000000000Z stderr P the beginning of a line that goes on in the next entry of its stream
//
// A file that has grown to MaxSize becomes .1, the one before it .2, and so on; readers follow across that.
package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"
)

// Bounds of what is kept. A container that prints without end occupies MaxSize × MaxFiles.
const (
	// MaxSize is where a file is rotated, in bytes.
	MaxSize = 10 << 20
	// MaxFiles counts the file being written and the rotated ones.
	MaxFiles = 5
	// MaxLine is the longest text of one entry, in bytes; a longer line becomes several partial ones.
	MaxLine = 16 << 10
)

// Stdout and Stderr name the streams; a terminal has only the first.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// layout has all nine digits, so that entries sort as text.
const layout = "2006-01-02T15:04:05.000000000Z"

// Line is one entry.
type Line struct {
	At     time.Time
	Stream string
	// Partial says that the line goes on in the stream's next entry; Text lacks the newline either way.
	Partial bool
	Text    []byte
}

// ErrFormat means that a line of a file is no entry: the machine stopped while it was written, or another program wrote.
var ErrFormat = errors.New("not a log entry")

// Append adds the entry's line, with its newline, to buf.
func Append(buf []byte, l Line) []byte {
	buf = l.At.UTC().AppendFormat(buf, layout)
	buf = append(buf, ' ')
	buf = append(buf, l.Stream...)
	if l.Partial {
		buf = append(buf, " P "...)
	} else {
		buf = append(buf, " F "...)
	}
	buf = append(buf, l.Text...)
	return append(buf, '\n')
}

// Parse reads one line of a file, with or without its newline. Text is a part of raw, not a copy.
func Parse(raw []byte) (Line, error) {
	raw = bytes.TrimSuffix(raw, []byte("\n"))
	stamp, rest, ok1 := bytes.Cut(raw, []byte(" "))
	stream, rest, ok2 := bytes.Cut(rest, []byte(" "))
	tags, text, ok3 := bytes.Cut(rest, []byte(" "))
	if !ok1 || !ok2 || !ok3 {
		return Line{}, fmt.Errorf("parse %.60q: %w", raw, ErrFormat)
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Line{}, fmt.Errorf("parse time %q: %w", stamp, ErrFormat)
	}
	// Further tags may follow the first one after a colon; none is defined yet.
	tag, _, _ := bytes.Cut(tags, []byte(":"))
	return Line{At: at, Stream: string(stream), Partial: string(tag) == "P", Text: text}, nil
}

// Path is where the output of one run of a container lies below root: Kubernetes' layout of /var/log/pods.
func Path(root, namespace, pod, uid, container string, run int) string {
	return filepath.Join(root, namespace+"_"+pod+"_"+uid, container, strconv.Itoa(run)+".log")
}

// rotated names the i-th file of path, counting from the newest: 0 is path itself.
func rotated(path string, i int) string {
	if i == 0 {
		return path
	}
	return path + "." + strconv.Itoa(i)
}

// split cuts output into entries: it calls emit for each whole line of held+chunk and for each full MaxLine of a longer
// one, and returns the beginning of a line that is left, in held's memory.
func split(held, chunk []byte, emit func(text []byte, partial bool)) []byte {
	for len(chunk) > 0 {
		room := MaxLine - len(held)
		piece := chunk[:min(room, len(chunk))]
		end := bytes.IndexByte(piece, '\n')
		// A newline just behind a full piece ends that line: no partial entry followed by an empty one.
		if end < 0 && len(piece) == room && len(chunk) > room && chunk[room] == '\n' {
			end = room
		}
		switch {
		case end >= 0:
			held = emitAll(held, chunk[:end], false, emit)
			chunk = chunk[end+1:]
		case len(piece) == room:
			held = emitAll(held, piece, true, emit)
			chunk = chunk[room:]
		default:
			held = append(held, piece...)
			chunk = nil
		}
	}
	return held
}

// emitAll emits held and text as one entry and returns held emptied, without a copy where nothing was held.
func emitAll(held, text []byte, partial bool, emit func([]byte, bool)) []byte {
	if len(held) > 0 {
		held = append(held, text...)
		text = held
	}
	emit(text, partial)
	return held[:0]
}
