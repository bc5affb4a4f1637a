package follow_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/bus/sealed"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/follow"
)

// history is a memory log of a deployment's life and of n more changes.
func history(t *testing.T, n int) (*memory.Log, *foldtest.Log) {
	t.Helper()
	story := foldtest.Nginx(3)
	for i := range n {
		story.Pass(time.Second).Change(foldtest.Deployment, foldtest.Person, foldtest.DeploymentJSON(3, fmt.Sprintf(`,"minReadySeconds":%d`, i)))
	}
	at := time.Time{}
	log := memory.NewLog(func() time.Time { return at })
	for _, e := range story.Events {
		at = e.Time
		if _, err := log.Append(t.Context(), []bus.Record{{Envelope: e}}); err != nil {
			t.Fatal(err)
		}
	}
	return log, story
}

func kept(t *testing.T, dir string) *follow.Checkpoints {
	t.Helper()
	c, err := follow.OpenCheckpoints(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// saveAt keeps the states after these events.
func saveAt(t *testing.T, c *follow.Checkpoints, story *foldtest.Log, seqs ...events.Seq) {
	t.Helper()
	s := projections.Empty()
	for _, e := range story.Events {
		s, _ = projections.Apply(s, e)
		if slices.Contains(seqs, e.Seq) {
			if err := c.Save(s, e); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// starting folds the log from a directory of checkpoints and gives what was said.
func starting(t *testing.T, dir string, log bus.Log) (projections.State, []string) {
	t.Helper()
	var said []string
	f, err := follow.Open(t.Context(), log, follow.Options{Checkpoints: kept(t, dir), Say: func(l string) { said = append(said, l) }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return f.Durable(), said
}

func TestStartsFromTheNewestGoodCheckpoint(t *testing.T) {
	for what, c := range map[string]struct {
		spoil func(t *testing.T, path string) // the checkpoint of 20
		says  string
	}{
		"good":        {func(*testing.T, string) {}, ""},
		"flipped bit": {flip, "checksum"},
		"truncated": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 200); err != nil {
				t.Fatal(err)
			}
		}, "checksum"},
		"empty": {func(t *testing.T, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		}, "first line"},
		"of a newer version": {func(t *testing.T, path string) { rewrite(t, path, "checkpoint v1", "checkpoint v9") }, "checksum"},
		"of another log": {func(t *testing.T, path string) {
			other := foldtest.New()
			for range 20 {
				other.Lease("somebody else")
			}
			saveAt(t, kept(t, filepath.Dir(path)), other, 20)
		}, "another log"},
		"ahead": {func(t *testing.T, path string) {
			if err := os.Rename(path, strings.Replace(path, "020.", "900.", 1)); err != nil {
				t.Fatal(err)
			}
			story := foldtest.New()
			for range 900 {
				story.Lease("x")
			}
			saveAt(t, kept(t, filepath.Dir(path)), story, 900)
		}, "ahead of the log"},
	} {
		t.Run(what, func(t *testing.T) {
			log, story := history(t, 20)
			dir := t.TempDir()
			saveAt(t, kept(t, dir), story, 10, 20)
			c.spoil(t, filepath.Join(dir, fmt.Sprintf("%020d.checkpoint", 20)))
			s, said := starting(t, dir, log)
			if !bytes.Equal(s.Dump(), story.State.Dump()) {
				t.Error("another state than the whole log's")
			}
			want := "folding from checkpoint 20"
			if c.says != "" {
				want = "folding from checkpoint 10"
				if !strings.Contains(said[0], c.says) || !strings.Contains(said[0], "not used") {
					t.Errorf("said %q, want something about %q", said, c.says)
				}
				if _, again := starting(t, dir, log); len(again) != 1 {
					t.Errorf("the next start says it again: %q", again)
				}
			}
			if said[len(said)-1] != want {
				t.Errorf("said %q, want %q", said, want)
			}
		})
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func rewrite(t *testing.T, path, old, now string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(old), []byte(now), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A checkpoint of a later version is passed over and stays where it is: that
// version is needed again, and then it needs the checkpoint.
func TestALaterVersionsCheckpointStays(t *testing.T) {
	log, story := history(t, 25)
	dir := t.TempDir()
	saveAt(t, kept(t, dir), story, 10, 20)
	at := filepath.Join(dir, fmt.Sprintf("%020d.checkpoint", 20))
	f, err := sealed.Read(at, "checkpoint")
	if err == nil {
		err = sealed.Write(at, f.Kind, projections.KeptVersion+1, f.Head, f.Body)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, said := starting(t, dir, log)
	if !bytes.Equal(s.Dump(), story.State.Dump()) || len(said) != 2 || !strings.Contains(said[0], "another version of stave") || said[1] != "folding from checkpoint 10" {
		t.Errorf("said %q", said)
	}
	if again, err := sealed.Read(at, "checkpoint"); err != nil || again.Version != projections.KeptVersion+1 {
		t.Errorf("then it is %v, %v", again.Version, err)
	}
}

func TestWithoutAGoodCheckpointTheWholeLogIsFolded(t *testing.T) {
	log, story := history(t, 20)
	dir := t.TempDir()
	saveAt(t, kept(t, dir), story, 10, 20)
	for _, seq := range []int{10, 20} {
		flip(t, filepath.Join(dir, fmt.Sprintf("%020d.checkpoint", seq)))
	}
	s, said := starting(t, dir, log)
	if !bytes.Equal(s.Dump(), story.State.Dump()) || len(said) != 2 {
		t.Errorf("said %q", said)
	}
	if err := log.Cut(t.Context(), 12); err != nil {
		t.Fatal(err)
	}
	if _, err := follow.Open(t.Context(), log, follow.Options{Checkpoints: kept(t, t.TempDir())}); err == nil || !strings.Contains(err.Error(), "begins at 12") {
		t.Errorf("a log that was cut folds from nothing: %v", err)
	}
}

// A clean end leaves a checkpoint, and a start after it reads nothing else.
func TestCloseLeavesACheckpoint(t *testing.T) {
	log, story := history(t, 5)
	dir := t.TempDir()
	f, err := follow.Open(t.Context(), log, follow.Options{Checkpoints: kept(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	seq, err := log.Append(t.Context(), []bus.Record{{Envelope: events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken, Version: 1, Body: []byte(`{"holder":"b"}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WaitDurable(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := log.Cut(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
	s, said := starting(t, dir, log)
	if want := fmt.Sprintf("folding from checkpoint %d", seq); s.Holder != "b" || len(said) != 1 || said[0] != want {
		t.Errorf("said %q, want %q", said, want)
	}
	if o, ok := s.Get(foldtest.Deployment); !ok || o.Position != position(story) {
		t.Errorf("the deployment is %+v", o)
	}
}

// However many are saved, a bounded number is kept: the newest, the oldest, and
// others spread between them.
func TestCheckpointsAreThinned(t *testing.T) {
	dir := t.TempDir()
	c := kept(t, dir)
	story := foldtest.New()
	for range 300 {
		story.Lease("x")
		if err := c.Save(story.State, story.Events[len(story.Events)-1]); err != nil {
			t.Fatal(err)
		}
	}
	var left []events.Seq
	for _, one := range kept(t, dir).All() {
		left = append(left, one.Seq)
	}
	if len(left) != 32 || left[0] != 1 || !slices.Equal(left[29:], []events.Seq{298, 299, 300}) {
		t.Fatalf("kept %v", left)
	}
	for i := 1; i < len(left); i++ {
		if gap := left[i] - left[i-1]; gap > 40 {
			t.Errorf("nothing between %d and %d", left[i-1], left[i])
		}
	}
	s, ok := c.Before(func(seq events.Seq, _ time.Time) bool { return seq <= 150 })
	if !ok || s.Seq > 150 || s.Seq < 110 {
		t.Errorf("nearest below 150 is %d", s.Seq)
	}
}

func position(story *foldtest.Log) events.Position {
	o, _ := story.State.Get(foldtest.Deployment)
	return o.Position
}
