package jetstream

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
)

// notesEnv makes the test binary a process that writes notes until it is killed.
const notesEnv = "STAVE_TEST_NOTE_WRITER"

// noteForever replaces a few notes over and over, so that the server writes its
// files anew all the time, and says on stdout what is durable.
func noteForever(dir string) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	s, err := Open(ctx, Options{Dir: dir, Name: "writer", OnFatal: func(err error) { cancel(err) }})
	if err != nil {
		return err
	}
	for w := range 4 {
		go func() {
			last := map[events.Subject]events.Seq{}
			for i := 0; ; i++ {
				subject := events.NoteSubject(events.Key{Resource: events.Leases, Namespace: "default", Name: fmt.Sprintf("w%d-%d", w, i%7)})
				body := []byte(strings.Repeat(fmt.Sprint(i), 500*(i%9)))
				seq, err := s.Notes().Put(ctx, subject, body, last[subject])
				if err != nil {
					cancel(err)
					return
				}
				last[subject] = seq
				fmt.Printf("%d %d %s\n", seq, crc32.ChecksumIEEE(body), subject) // one write: lines do not mix
			}
		}()
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// verifyNotes opens the notes and wants for each subject the last that was called
// durable, or one after it.
func verifyNotes(t *testing.T, dir string, said map[events.Seq]written) {
	t.Helper()
	newest := map[events.Subject]events.Seq{}
	for seq, x := range said {
		newest[x.subject] = max(newest[x.subject], seq)
	}
	if len(newest) == 0 {
		t.Fatal("nothing was called durable") // and there may be nothing to wait for
	}
	s, err := Open(t.Context(), Options{Dir: dir, Name: "verify", Warn: func(line string) { t.Log(line) }, Progress: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	end, err := s.Notes().Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[events.Subject]bool{}
	errEnd := errors.New("end")
	err = s.Notes().Follow(t.Context(), func(n bus.Note) error {
		want := newest[n.Subject]
		found[n.Subject] = true
		if n.Seq < want || n.Seq == want && crc32.ChecksumIEEE(n.Body) != said[want].sum {
			t.Errorf("%s is of %d, want %d", n.Subject, n.Seq, want)
		}
		if n.Seq == end {
			return errEnd
		}
		return nil
	})
	if !errors.Is(err, errEnd) {
		t.Fatal(err)
	}
	t.Logf("%d notes on %d subjects were called durable", len(said), len(newest))
	if len(found) < len(newest) {
		t.Errorf("%d of %d subjects are there", len(found), len(newest))
	}
}

func TestNotesOutliveTheProcess(t *testing.T) {
	for round := range 2 {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(round))
		w := startWriting(t, notesEnv, dir)
		w.writes(t)
		time.Sleep(time.Second)
		w.kill()
		verifyNotes(t, dir, <-w.said)
	}
}

// TestNotesOutliveThePower cuts the power under load, many times with STAVE_SOAK=1.
func TestNotesOutliveThePower(t *testing.T) {
	lives := []time.Duration{1200 * time.Millisecond}
	if os.Getenv("STAVE_SOAK") == "1" {
		for i := range 20 {
			lives = append(lives, 700*time.Millisecond+time.Duration(i*337%4000)*time.Millisecond)
		}
	}
	for _, life := range lives {
		t.Run(life.String(), func(t *testing.T) {
			d := newDisk(t)
			dir := filepath.Join(d.at, "log")
			w := startWriting(t, notesEnv, dir)
			w.writes(t)
			time.Sleep(life)
			d.cut(t, w)
			verifyNotes(t, dir, <-w.said)
		})
	}
}
