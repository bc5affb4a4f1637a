package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// tailBlock is how much is read at a time when a file is searched from its end, in bytes.
const tailBlock = 64 << 10

// seekTail opens the file in which the last n lines begin, at the place where they do. It reads backwards, so that its
// cost is that of the lines it is asked for and not that of the file.
func seekTail(path string, n int) (*os.File, error) {
	t := tail{want: n}
	var last *os.File
	for i := range MaxFiles {
		f, err := os.Open(rotated(path, i))
		if errors.Is(err, os.ErrNotExist) && last != nil {
			break
		}
		if err != nil {
			closeIf(last)
			return nil, fmt.Errorf("open log: %w", err)
		}
		// Rotated meanwhile: this is the file that was searched just now, under its next name.
		if sameFile(last, f) {
			f.Close()
			continue
		}
		offset, found, err := t.search(f)
		if err == nil {
			_, err = f.Seek(offset, io.SeekStart)
		}
		if err != nil {
			closeIf(last)
			f.Close()
			return nil, fmt.Errorf("search log: %w", err)
		}
		closeIf(last)
		last = f
		if found {
			break
		}
	}
	return last, nil
}

func sameFile(a, b *os.File) bool {
	if a == nil {
		return false
	}
	ai, aErr := a.Stat()
	bi, bErr := b.Stat()
	return aErr == nil && bErr == nil && os.SameFile(ai, bi)
}

func closeIf(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// tail counts lines from the end, over several files.
type tail struct {
	want, seen int
	// any says that an entry was met: a partial one at the very end is a line too.
	any bool
}

// search walks back through a file and returns where the wanted lines begin in it; 0 and false if in an older file.
func (t *tail) search(f *os.File) (int64, bool, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, false, err
	}
	// rest is the part of the file from the block's begin on that no whole line was cut from yet.
	var rest []byte
	for pos := end; pos > 0; {
		block := make([]byte, min(tailBlock, pos), min(tailBlock, pos)+int64(len(rest)))
		pos -= int64(len(block))
		if _, err := f.ReadAt(block, pos); err != nil {
			return 0, false, err
		}
		rest = append(block, rest...)
		for {
			cut := bytes.LastIndexByte(bytes.TrimSuffix(rest, []byte("\n")), '\n')
			if cut < 0 && pos > 0 {
				break
			}
			if t.count(rest[cut+1:]) {
				return pos + int64(len(rest)), true, nil
			}
			rest = rest[:cut+1]
			if cut < 0 {
				break
			}
		}
	}
	return 0, false, nil
}

// count takes the next older entry and says whether it is one too many. A line ends with its whole entry; partial ones
// before it belong to it.
func (t *tail) count(raw []byte) bool {
	line, err := Parse(raw)
	if err != nil || !bytes.HasSuffix(raw, []byte("\n")) {
		return false
	}
	if line.Partial && t.any {
		return false
	}
	t.any = true
	if t.seen == t.want {
		return true
	}
	t.seen++
	return false
}
