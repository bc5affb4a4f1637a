package logfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// newWriter opens a log that rotates at max bytes.
func newWriter(t *testing.T, max int64) (*Writer, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pod", "0.log")
	w, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w.max = max
	t.Cleanup(func() { w.Close() })
	return w, path
}

// read gives the lines that Read finds, partial ones joined with what follows.
func read(t *testing.T, path string, o ReadOptions) []string {
	t.Helper()
	var lines []string
	var partial string
	err := Read(t.Context(), path, o, func(l Line) error {
		partial += string(l.Text)
		if !l.Partial {
			lines = append(lines, partial)
			partial = ""
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if partial != "" {
		lines = append(lines, partial+"…")
	}
	return lines
}

func numbered(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("line %d", i))
	}
	return out
}

func write(t *testing.T, s *Stream, lines []string) {
	t.Helper()
	for _, l := range lines {
		if _, err := s.Write([]byte(l + "\n")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWriteRead(t *testing.T) {
	w, path := newWriter(t, MaxSize)
	out, errs := w.Stream(Stdout), w.Stream(Stderr)
	out.Write([]byte("be"))
	errs.Write([]byte("oops\n"))
	out.Write([]byte("gin\nprompt> "))
	out.Close()
	errs.Close()
	if got := read(t, path, ReadOptions{Tail: -1}); !slices.Equal(got, []string{"oops", "begin", "prompt> …"}) {
		t.Errorf("%q", got)
	}
	if got := read(t, path, ReadOptions{Tail: 1}); !slices.Equal(got, []string{"prompt> …"}) {
		t.Errorf("tail 1: %q", got)
	}
}

func TestRotation(t *testing.T) {
	w, path := newWriter(t, 1000)
	all := numbered(0, 200)
	write(t, w.Stream(Stdout), all)
	files, _ := filepath.Glob(path + "*")
	if len(files) != MaxFiles {
		t.Fatalf("%d files: %v", len(files), files)
	}
	for _, f := range files {
		if fi, err := os.Stat(f); err != nil || fi.Size() > 1000 {
			t.Errorf("%s: %v, %v", f, fi.Size(), err)
		}
	}
	kept := read(t, path, ReadOptions{Tail: -1})
	if len(kept) < 50 || !slices.Equal(kept, all[len(all)-len(kept):]) {
		t.Fatalf("%d lines kept, last %q", len(kept), kept[len(kept)-1])
	}
	for _, n := range []int{0, 1, 5, 20, len(kept) - 1, len(kept), len(kept) + 7} {
		want := kept[len(kept)-min(n, len(kept)):]
		if got := read(t, path, ReadOptions{Tail: n}); !slices.Equal(got, want) {
			t.Errorf("tail %d: %d lines, first %q, want %d", n, len(got), first(got), len(want))
		}
	}
}

func first(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return l[0]
}

// TestTailPartial counts a line of several entries once, also where it spans blocks and files.
func TestTailPartial(t *testing.T) {
	w, path := newWriter(t, 5*MaxLine)
	long := strings.Repeat("x", 6*MaxLine+5)
	write(t, w.Stream(Stdout), []string{"a", long, "b", long, "c"})
	if got := read(t, path, ReadOptions{Tail: 2}); len(got) != 2 || got[0] != long || got[1] != "c" {
		t.Errorf("%d lines", len(got))
	}
}

// TestTailReadsLittle is the promise that tail costs what it gives.
func TestTailReadsLittle(t *testing.T) {
	w, path := newWriter(t, MaxSize)
	write(t, w.Stream(Stdout), numbered(0, 50_000))
	f, err := seekTail(path, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at, _ := f.Seek(0, 1)
	if fi, _ := f.Stat(); fi.Size()-at > 1000 {
		t.Errorf("%d bytes for ten lines", fi.Size()-at)
	}
}

func TestSince(t *testing.T) {
	w, path := newWriter(t, MaxSize)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w.now = func() time.Time { now = now.Add(time.Second); return now }
	write(t, w.Stream(Stdout), numbered(0, 10))
	if got := read(t, path, ReadOptions{Tail: -1, Since: now.Add(-2 * time.Second)}); !slices.Equal(got, numbered(7, 10)) {
		t.Errorf("%q", got)
	}
}

// TestFollowRotation loses and repeats nothing while files rotate below a follower that keeps up.
func TestFollowRotation(t *testing.T) {
	w, path := newWriter(t, 2000)
	ended := make(chan struct{})
	s := w.Stream(Stdout)
	go func() {
		defer close(ended)
		for i := range 300 {
			fmt.Fprintf(s, "line %d\n", i)
			if i%25 == 0 {
				time.Sleep(2 * pollInterval)
			}
		}
	}()
	if got := read(t, path, ReadOptions{Tail: -1, Follow: true, Ended: ended}); !slices.Equal(got, numbered(0, 300)) {
		t.Errorf("%d lines, want 300", len(got))
	}
}

// TestFollowWaits begins before there is a file and ends with its context.
func TestFollowWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "0.log")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		time.Sleep(pollInterval)
		if w, err := Open(path); err == nil {
			fmt.Fprintln(w.Stream(Stdout), "here")
		}
	}()
	err := Read(ctx, path, ReadOptions{Follow: true, Tail: -1}, func(l Line) error {
		if string(l.Text) == "here" {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Read(t.Context(), path+"x", ReadOptions{Tail: 3}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestTornLine: a power cut in the middle of an entry costs that entry, not the next.
func TestTornLine(t *testing.T) {
	w, path := newWriter(t, MaxSize)
	write(t, w.Stream(Stdout), []string{"one"})
	w.Close()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("2026-01-02T15:04")
	f.Close()
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	write(t, again.Stream(Stdout), []string{"two"})
	if got := read(t, path, ReadOptions{Tail: -1}); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%q", got)
	}
}
