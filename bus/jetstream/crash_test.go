package jetstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// writerEnv makes the test binary a process that writes a log until it is killed.
const writerEnv = "STAVE_TEST_LOG_WRITER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		if err := writeForever(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(3)
	}
	for env, run := range map[string]func(string) error{serverEnv: serveForever, memberEnv: memberForever, notesEnv: noteForever} {
		if where := os.Getenv(env); where != "" {
			if err := run(where); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			os.Exit(3)
		}
	}
	os.Exit(m.Run())
}

// writeForever appends from several goroutines, batches among it, and says on
// stdout what is durable: outside the file system that may be cut off.
func writeForever(dir string) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	s, err := Open(ctx, Options{Dir: dir, Name: "writer", OnFatal: func(err error) { cancel(err) }})
	if err != nil {
		return err
	}
	var out sync.Mutex
	for w := range 4 {
		go func() {
			for i := 0; ; i++ {
				batch := writings(w, i)
				first, err := s.Log().Append(ctx, batch)
				if err == nil {
					err = s.Log().WaitDurable(ctx, first+events.Seq(len(batch)-1))
				}
				if err != nil {
					cancel(err)
					return
				}
				var lines strings.Builder
				for j, r := range batch {
					fmt.Fprintf(&lines, "%d %d %s\n", int(first)+j, crc32.ChecksumIEEE(r.Envelope.Body), r.Envelope.Subject)
				}
				out.Lock()
				_, _ = io.WriteString(os.Stdout, lines.String()) // the reader ends with its process
				out.Unlock()
			}
		}()
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// writings are one append: writer 0 makes batches, the others single events.
func writings(w, i int) []bus.Record {
	n := 1
	if w == 0 {
		n = 2 + i%40
	}
	var out []bus.Record
	for j := range n {
		k := events.Key{Resource: "pods", Namespace: "default", Name: fmt.Sprintf("w%d-%d-%d", w, i, j)}
		e := events.Envelope{Subject: events.SpecSubject(k), Type: "pods.created", Version: 1, Actor: "user:alice",
			Body: []byte(`"` + strings.Repeat(k.Name, 40+i%50) + `"`)}
		out = append(out, bus.Expecting(e, 0))
	}
	return out
}

// written is one event that was called durable.
type written struct {
	sum     uint32
	subject events.Subject
}

// writer is the process under test.
type writer struct {
	cmd   *exec.Cmd
	said  chan map[events.Seq]written
	began chan struct{} // closed when the first was said, or nothing will be
	ended sync.Once
}

// writes waits until the writer has said something: on a busy machine it starts for seconds.
func (w *writer) writes(t *testing.T) {
	t.Helper()
	select {
	case <-w.began:
	case <-time.After(2 * time.Minute):
		t.Fatal("the writer has said nothing")
	}
}

func startWriter(t *testing.T, dir string) *writer {
	t.Helper()
	return startWriting(t, writerEnv, dir)
}

func startWriting(t *testing.T, env, dir string) *writer {
	t.Helper()
	w := &writer{cmd: exec.Command(os.Args[0], "-test.run=^$"), said: make(chan map[events.Seq]written, 1), began: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), env+"="+dir)
	w.cmd.Stderr = os.Stderr
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.kill)
	go func() {
		said := map[events.Seq]written{}
		begin := sync.OnceFunc(func() { close(w.began) })
		defer begin()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var seq events.Seq
			var x written
			if n, _ := fmt.Sscanf(lines.Text(), "%d %d %s", &seq, &x.sum, &x.subject); n == 3 {
				said[seq] = x
				begin()
			}
		}
		w.said <- said
	}()
	return w
}

func (w *writer) kill() {
	w.ended.Do(func() {
		_ = w.cmd.Process.Kill() // it may have ended by itself
		_ = w.cmd.Wait()
	})
}

// verify opens the log and wants everything in it that was called durable, and
// every batch whole.
func verify(t *testing.T, dir string, said map[events.Seq]written) {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir, Name: "verify", Warn: func(line string) { t.Log(line) }, Progress: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	b, err := s.Log().Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	missing, parts := len(said), map[string]int{}
	err = s.Log().Read(t.Context(), 1, func(e events.Envelope) error {
		if want, ok := said[e.Seq]; ok {
			missing--
			if want.subject != e.Subject || want.sum != crc32.ChecksumIEEE(e.Body) {
				t.Errorf("event %d is another: %s", e.Seq, e.Subject)
			}
		}
		if k, err := e.Subject.Key(); err == nil && strings.HasPrefix(k.Name, "w0-") {
			parts[k.Name[:strings.LastIndexByte(k.Name, '-')]]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range parts {
		var i int
		if _, err := fmt.Sscanf(name, "w0-%d", &i); err != nil || n%(2+i%40) != 0 {
			t.Errorf("batch %s has %d events of %d", name, n, 2+i%40)
		}
	}
	t.Logf("%d events were called durable, %d missing; the log is %d..%d", len(said), missing, b.First, b.Last)
	if missing != 0 || len(said) == 0 {
		t.Errorf("%d of %d durable events are missing", missing, len(said))
	}
}

// TestKilled kills the process under load and looks at what it left.
func TestKilled(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	for round := range 3 {
		w := startWriter(t, filepath.Join(dir, fmt.Sprint(round)))
		time.Sleep(time.Second)
		w.kill()
		verify(t, filepath.Join(dir, fmt.Sprint(round)), <-w.said)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	var address string
	for round := range 3 {
		s, err := Open(t.Context(), Options{Dir: dir, Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if round > 0 && s.Address() != address {
			t.Errorf("address was %s, is %s", address, s.Address())
		}
		address = s.Address()
		if d := s.Log().Durable(); d != events.Seq(round) {
			t.Errorf("watermark %d at start %d", d, round)
		}
		if seq, err := s.Log().Append(t.Context(), writings(1, round)); err != nil || seq != events.Seq(round+1) {
			t.Errorf("append: %d, %v", seq, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// damaged writes a log of a hundred, lets somebody at the store, and opens it.
func damaged(t *testing.T, damage func(dir string, l *Log)) error {
	t.Helper()
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := s.Log().Append(t.Context(), writings(1, i)); err != nil {
			t.Fatal(err)
		}
	}
	damage(dir, s.Log())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damage(dir, nil)
	s, err = Open(t.Context(), Options{Dir: dir, Name: "test"})
	if err == nil {
		err = s.Log().Read(t.Context(), 1, func(events.Envelope) error { return nil })
		_, bad := s.Log().Append(t.Context(), writings(2, 0))
		err = errors.Join(err, bad, s.Close())
	}
	return err
}

func TestDamage(t *testing.T) {
	remove := func(seqs ...uint64) func(string, *Log) {
		return func(_ string, l *Log) {
			for _, seq := range seqs {
				if l == nil {
					return
				}
				if err := l.context.DeleteMsg(streamName, seq); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	mark := func(seq events.Seq) func(string, *Log) {
		return func(dir string, l *Log) {
			if l != nil {
				return
			}
			m, _, err := openMark(dir)
			if err == nil {
				err = errors.Join(os.Remove(markPath(dir)), m.close())
			}
			if err == nil {
				m, _, err = openMark(dir)
			}
			if err == nil {
				err = errors.Join(m.put(seq), m.close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	both := func(f, g func(string, *Log)) func(string, *Log) {
		return func(d string, l *Log) { f(d, l); g(d, l) }
	}
	var damage *DamageError
	if err := damaged(t, func(dir string, l *Log) {
		if l == nil && os.RemoveAll(filepath.Join(dir, "jetstream")) != nil {
			t.Fatal("not removed")
		}
	}); !errors.As(err, &damage) || damage.Mark != 100 {
		t.Errorf("a removed store: %v", err)
	}
	if err := damaged(t, mark(120)); !errors.As(err, &damage) || damage.Bounds.Last != 100 {
		t.Errorf("a store that was set back: %v", err)
	}
	if err := damaged(t, remove(50)); !errors.As(err, &damage) || damage.Hole != 50 {
		t.Errorf("a hole below the mark: %v", err)
	}
	if err := damaged(t, both(remove(91, 92), mark(80))); err != nil {
		t.Errorf("a hole above the mark: %v", err)
	}
}

// A batch is there whole or not at all, also where the power cut left a hole in its middle.
func TestHoleInABatch(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := s.Log().Append(t.Context(), writings(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	// The mark of a server that died before it synced what follows.
	before, err := os.ReadFile(markPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Log().Append(t.Context(), writings(0, 3)); err != nil {
		t.Fatal(err)
	}
	if err := s.Log().context.DeleteMsg(streamName, uint64(whole)+3); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), os.WriteFile(markPath(dir), before, 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err = Open(t.Context(), Options{Dir: dir, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var last events.Seq
	if err := s.Log().Read(t.Context(), 1, func(e events.Envelope) error { last = e.Seq; return nil }); err != nil || last != whole {
		t.Errorf("the log ends at %d, not at %d: %v", last, whole, err)
	}
}
