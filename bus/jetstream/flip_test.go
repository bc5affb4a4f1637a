package jetstream

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// spoiled are ways in which a file of the stream can be another than it was written.
var spoiled = map[string]func(b []byte) []byte{
	"a bit flipped at the start":   func(b []byte) []byte { b[30] ^= 4; return b },
	"a bit flipped in the middle":  func(b []byte) []byte { b[len(b)/2] ^= 4; return b },
	"a bit flipped near the end":   func(b []byte) []byte { b[len(b)-40] ^= 4; return b },
	"truncated in the middle":      func(b []byte) []byte { return b[:len(b)/2] },
	"the last bytes missing":       func(b []byte) []byte { return b[:len(b)-3] },
	"empty":                        func([]byte) []byte { return nil },
	"zeroes from the middle on":    func(b []byte) []byte { clear(b[len(b)/2:]); return b },
	"the first half written twice": func(b []byte) []byte { return append(b[:len(b)/2:len(b)/2], b[:len(b)/2]...) },
}

// streamFiles are what the stream is read from at a start.
var streamFiles = []string{"*.blk", "index.db"}

// TestSpoiledStream spoils the files of the stream in every way, with and
// without the server's index of them. What comes of it is named, or all that was
// durable is there: nothing is served that was not written, nothing is left out
// in silence, and no sequence is given twice.
func TestSpoiledStream(t *testing.T) {
	whole := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: whole, Name: "test", Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var wrote []events.Envelope
	for i := range 300 {
		if _, err := s.Log().Append(t.Context(), writings(1, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Log().Read(t.Context(), 1, func(e events.Envelope) error { wrote = append(wrote, e); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range spoiled {
		for _, file := range streamFiles {
			for _, indexed := range []bool{true, false} {
				if !indexed && file != streamFiles[0] {
					continue
				}
				t.Run(fmt.Sprintf("%s: %s, indexed %v", file, what, indexed), func(t *testing.T) {
					dir := t.TempDir()
					if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
						t.Fatal(err)
					}
					if !indexed {
						if err := os.Remove(filepath.Join(storeDir(dir), "msgs/index.db")); err != nil {
							t.Fatal(err)
						}
					}
					at := one(t, filepath.Join(storeDir(dir), "msgs", file))
					b, err := os.ReadFile(at)
					if err == nil {
						err = os.WriteFile(at, spoil(bytes.Clone(b)), 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
					judgeSpoiled(t, dir, wrote)
				})
			}
		}
	}
}

// TestSpoiledDescription spoils or removes what says that there is a stream: its
// blocks have all.
func TestSpoiledDescription(t *testing.T) {
	whole := t.TempDir()
	s := openTest(t, whole, nil)
	grow(t, s.Log(), 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"meta.inf", "meta.sum"} {
		for what, spoil := range map[string]func(string) error{
			"flipped": func(at string) error {
				b, err := os.ReadFile(at)
				b[len(b)/2] ^= 4
				return errors.Join(err, os.WriteFile(at, b, 0o600))
			},
			"truncated": func(at string) error { return os.Truncate(at, 5) },
			"empty":     func(at string) error { return os.Truncate(at, 0) },
			"missing":   os.Remove,
		} {
			t.Run(file+" "+what, func(t *testing.T) {
				dir := t.TempDir()
				if err := errors.Join(os.CopyFS(dir, os.DirFS(whole)), spoil(filepath.Join(storeDir(dir), file))); err != nil {
					t.Fatal(err)
				}
				for turn := range events.Seq(2) {
					s := openTest(t, dir, nil)
					if got := seqs(t, s.Log(), 1); !slices.Equal(got, upTo(1, 100+turn)) {
						t.Errorf("start %d: %d events are read", turn, len(got))
					}
					grow(t, s.Log(), 1)
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// A log whose watermark is gone cannot be judged by it, and says so.
func TestSpoiledWatermark(t *testing.T) {
	dir := t.TempDir()
	s := openTest(t, dir, nil)
	grow(t, s.Log(), 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for turn, spoil := range []func(string) error{os.Remove, func(at string) error { return os.Truncate(at, 0) }, func(string) error { return nil }} {
		if err := spoil(markPath(dir)); err != nil {
			t.Fatal(err)
		}
		var said []string
		s := sealing(t, dir, &said)
		named := slices.ContainsFunc(said, func(l string) bool { return strings.Contains(l, markPath(dir)) })
		if got := seqs(t, s.Log(), 1); !slices.Equal(got, upTo(1, 10)) || named != (turn < 2) {
			t.Errorf("start %d: %d events are read; said %q", turn, len(got), said)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// one is the only file that fits.
func one(t *testing.T, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) != 1 {
		t.Fatalf("%s: %q, %v", pattern, names, err)
	}
	return names[0]
}

func judgeSpoiled(t *testing.T, dir string, wrote []events.Envelope) {
	s, err := Open(t.Context(), Options{Dir: dir, Name: "test", Reserve: 1 << 20, Warn: func(string) {}})
	n := 0
	if err == nil {
		defer s.Close()
		err = s.Log().Read(t.Context(), 1, func(e events.Envelope) error {
			if n >= len(wrote) || e.Seq != wrote[n].Seq || e.Subject != wrote[n].Subject || !bytes.Equal(e.Body, wrote[n].Body) {
				return fmt.Errorf("event %d is served as another", e.Seq)
			}
			n++
			return nil
		})
	}
	var damage *DamageError
	switch {
	case errors.As(err, &damage) && strings.Contains(err.Error(), dir):
		t.Logf("named: %v", err)
		return
	case err != nil:
		t.Fatalf("not named: %v", err)
	case n != len(wrote):
		t.Fatalf("%d of %d events are left, and nobody says so", n, len(wrote))
	}
	seq, err := s.Log().Append(t.Context(), []bus.Record{{Envelope: events.Envelope{Subject: events.SeenSubject("n1"), Type: events.PodsSeen, Version: 1, Body: []byte(`{}`)}}})
	if err != nil || seq <= wrote[len(wrote)-1].Seq {
		t.Errorf("the next event has sequence %d, %v", seq, err)
	}
}

// What is spoiled in the stream and sealed besides is read from the segments; a
// stream that is damaged or gone is made anew behind them when they have all.
func TestSpoiledStreamBehindSegments(t *testing.T) {
	whole := t.TempDir()
	s := sealing(t, whole, nil)
	grow(t, s.Log(), 100)
	sealedTo(t, s.Log(), 100)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range spoiled {
		for _, indexed := range []bool{true, false} {
			t.Run(fmt.Sprint(what, ", indexed ", indexed), func(t *testing.T) {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
					t.Fatal(err)
				}
				if !indexed {
					if err := os.Remove(filepath.Join(storeDir(dir), "msgs/index.db")); err != nil {
						t.Fatal(err)
					}
				}
				blocks, err := filepath.Glob(filepath.Join(storeDir(dir), "msgs/*.blk"))
				if err != nil || len(blocks) == 0 {
					t.Fatalf("%v, %v", blocks, err)
				}
				for _, at := range blocks {
					b, err := os.ReadFile(at)
					if err == nil && len(b) > 100 {
						err = os.WriteFile(at, spoil(b), 0o600)
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				goesOn(t, dir)
			})
		}
	}
	t.Run("gone", func(t *testing.T) {
		dir := t.TempDir()
		if err := errors.Join(os.CopyFS(dir, os.DirFS(whole)), os.RemoveAll(filepath.Join(dir, "jetstream"))); err != nil {
			t.Fatal(err)
		}
		goesOn(t, dir)
	})
}

// goesOn wants a log of 100 events that takes more, also after another start,
// and from a writer who knows the last sequence of what it writes to.
func goesOn(t *testing.T, dir string) {
	t.Helper()
	var said []string
	for turn := range events.Seq(2) {
		s := sealing(t, dir, &said)
		if got := seqs(t, s.Log(), 1); !slices.Equal(got, upTo(1, 100+turn)) {
			t.Errorf("start %d: %d events are read; said %q", turn, len(got), said)
		}
		known := events.SpecSubject(events.Key{Resource: events.Pods, Namespace: "default", Name: fmt.Sprint("p", 5+turn)}) // see grow
		seq, err := s.Log().Append(t.Context(), []bus.Record{bus.Expecting(events.Envelope{Subject: known, Type: "pods.changed", Version: 1, Body: []byte(`{}`)}, 96+turn)})
		if err != nil || seq != 101+turn {
			t.Errorf("start %d: a writer who knows %s: %d, %v; said %q", turn, known, seq, err, said)
		}
		if b, err := s.Log().Bounds(t.Context()); err != nil || b.Last != 101+turn {
			t.Errorf("start %d: it ends at %d, %v; said %q", turn, b.Last, err, said)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
