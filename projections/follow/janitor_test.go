package follow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/follow"
	"github.com/stave-run/stave/projections/why"
)

func janitor(t *testing.T, log *memory.Log, dir string, keep time.Duration) (*follow.Janitor, *[]string) {
	t.Helper()
	var said []string
	return &follow.Janitor{Log: log, Kept: kept(t, dir), Keep: keep, Say: func(l string) { said = append(said, l) }}, &said
}

// blamed is what Blame says of the deployment: of the whole story, or of what the
// log still has and the origins of its horizon.
func blamed(t *testing.T, story *foldtest.Log, from *why.Origin, first events.Seq) string {
	t.Helper()
	f := why.For(story.State, foldtest.Deployment)
	var about []events.Envelope
	for _, e := range story.Events {
		if e.Seq >= first && f.Keep(e) {
			about = append(about, e)
		}
	}
	b, ok := why.Blame(story.State, from, about, foldtest.Deployment)
	if !ok {
		t.Fatal("nothing is known of the deployment")
	}
	return string(b.JSON()) + b.String()
}

// After each cut the log folds to the same state, and blame says the same to the
// byte as if nothing had been cut.
func TestTheJanitorKeepsWhatTheRestNeeds(t *testing.T) {
	log, story := history(t, 60)
	end := story.Events[len(story.Events)-1].Time
	dir := t.TempDir()
	whole := blamed(t, story, nil, 1)
	begins := events.Seq(1)
	for _, keep := range []time.Duration{50 * time.Second, 30 * time.Second, 29 * time.Second, 2 * time.Second} {
		j, said := janitor(t, log, dir, keep)
		first, err := j.Pass(t.Context(), end)
		if err != nil {
			t.Fatal(err)
		}
		if first <= begins || len(*said) != 1 || !strings.Contains((*said)[0], fmt.Sprint("before ", first)) {
			t.Errorf("cut from %d to %d, said %q", begins, first, *said)
		}
		begins = first
		if b, _ := log.Bounds(t.Context()); b.First != first {
			t.Errorf("the log begins at %d, want %d", b.First, first)
		}
		if at := story.Events[first-1].Time; at.After(end.Add(-keep)) || at.Before(end.Add(-keep-2*time.Second)) {
			t.Errorf("keeping %s it begins %s ago", keep, end.Sub(at))
		}
		// Only the checkpoint of the beginning is there: it is enough.
		if all := kept(t, dir).All(); len(all) != 1 || all[0].Seq != first {
			t.Errorf("checkpoints %+v, the log begins at %d", all, first)
		}
		s, _ := starting(t, dir, log)
		if !bytes.Equal(s.Dump(), story.State.Dump()) {
			t.Error("what is left folds to another state")
		}
		from, err := kept(t, dir).Origin(first, foldtest.Deployment)
		if err != nil || from == nil {
			t.Fatalf("origin %v, %v", from, err)
		}
		if got := blamed(t, story, from, first); got != whole {
			t.Errorf("cut at %d, blame says\n%s\nof the whole log\n%s", first, got, whole)
		}
		if again, err := j.Pass(t.Context(), end); err != nil || again != first || len(*said) != 1 {
			t.Errorf("a second pass cut from %d to %d, %v", first, again, err)
		}
	}
	if none, err := kept(t, dir).Origin(begins, foldtest.Key(events.ConfigMaps, "nobody")); none != nil || err != nil {
		t.Errorf("an object that never was has the origin %v, %v", none, err)
	}
}

// What is younger than the horizon stays, whatever the pass.
func TestTheJanitorLeavesWhatIsYoung(t *testing.T) {
	log, story := history(t, 5)
	j, said := janitor(t, log, t.TempDir(), time.Hour)
	if first, err := j.Pass(t.Context(), story.Now); first != 1 || err != nil || len(*said) != 0 {
		t.Errorf("cut to %d, %v, said %q", first, err, *said)
	}
}

// dying is a log that is cut, and then the process ends.
type dying struct{ *memory.Log }

var errDied = errors.New("died")

func (d dying) Cut(ctx context.Context, first events.Seq) error {
	return errors.Join(d.Log.Cut(ctx, first), errDied)
}

// A pass that ended anywhere in the middle is finished by the next.
func TestAPassThatWasBrokenOff(t *testing.T) {
	log, story := history(t, 60)
	end := story.Events[len(story.Events)-1].Time
	dir := t.TempDir()
	saveAt(t, kept(t, dir), story, 3, 9)
	j, _ := janitor(t, log, dir, 40*time.Second)
	j.Log = dying{log}
	if _, err := j.Pass(t.Context(), end); !errors.Is(err, errDied) {
		t.Fatal(err)
	}
	b, err := log.Bounds(t.Context())
	if err != nil || b.First < 10 {
		t.Fatalf("begins at %d, %v", b.First, err)
	}
	j, _ = janitor(t, log, dir, time.Hour)
	if first, err := j.Pass(t.Context(), end); first != b.First || err != nil {
		t.Fatalf("begins at %d, %v", first, err)
	}
	if all := kept(t, dir).All(); len(all) != 1 || all[0].Seq != b.First {
		t.Errorf("left %+v", all)
	}
}

// Damaged origins are named and not used; what was set since is still told.
func TestDamagedOrigins(t *testing.T) {
	log, story := history(t, 60)
	dir := t.TempDir()
	j, said := janitor(t, log, dir, 30*time.Second)
	first, err := j.Pass(t.Context(), story.Now)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%020d.origins", first))
	flip(t, path)
	c := kept(t, dir)
	if err := c.CheckOrigins(first); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a flipped bit: %v", err)
	}
	if _, err := c.Origin(first, foldtest.Deployment); err == nil {
		t.Error("it is served")
	}
	j.Keep = 10 * time.Second
	later, err := j.Pass(t.Context(), story.Now)
	if err != nil || later <= first || !strings.Contains(strings.Join(*said, "\n"), "is lost") {
		t.Fatalf("begins at %d, %v, said %q", later, err, *said)
	}
	from, err := kept(t, dir).Origin(later, foldtest.Deployment)
	if err != nil || from == nil || from.By[0].Seq < first {
		t.Errorf("after it: %+v, %v", from, err)
	}
}

// A log whose first segments were lost, and may be put back, keeps what its real
// beginning needs.
func TestTheJanitorLeavesALogAloneThatLostItsBeginning(t *testing.T) {
	log, story := history(t, 60)
	end := story.Events[len(story.Events)-1].Time
	dir := t.TempDir()
	j, _ := janitor(t, log, dir, 40*time.Second)
	first, err := j.Pass(t.Context(), end)
	if err != nil {
		t.Fatal(err)
	}
	before, err := filepath.Glob(dir + "/*")
	if err == nil {
		err = log.Cut(t.Context(), first+5)
	}
	if err != nil || len(before) != 2 {
		t.Fatal(before, err)
	}
	j, _ = janitor(t, log, dir, time.Hour)
	var lost *follow.NotCutError
	if _, err := j.Pass(t.Context(), end); !errors.As(err, &lost) || lost.First != first+5 {
		t.Errorf("it says %v", err)
	}
	if after, _ := filepath.Glob(dir + "/*"); !slices.Equal(after, before) {
		t.Errorf("%v are left of %v", after, before)
	}
}
