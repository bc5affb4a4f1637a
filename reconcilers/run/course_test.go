package run

import (
	"testing"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

func TestTimeNeverRunsBack(t *testing.T) {
	var c Course
	for _, step := range []struct{ clock, logged, want, behind time.Duration }{
		{0, 0, 0, 0}, {5, 5, 5, 0}, {5, 5, 5, 0},
		{-3600, 5, 5, 3605}, {-3598, 5, 6, 3604}, {-3590, 5, 10, 3600}, // set back: it goes on at half speed
		{-3580, 20, 20, 3600},                                         // somebody wrote under a later time
		{3620, 30, 3620, 0}, {3621, 30, 3621, 0}, {9000, 40, 9000, 0}, // the clock has caught up
	} {
		now, behind, _ := c.Now(stage.Start.Add(step.clock*time.Second), stage.Start.Add(step.logged*time.Second))
		if got := now.Sub(stage.Start) / time.Second; got != step.want || behind != step.behind*time.Second {
			t.Errorf("the clock says %d, the log %d: it is %d, %s ahead; want %d, %ds", step.clock, step.logged, got, behind, step.want, step.behind)
		}
	}
}

// What is far behind is said once, and that it has caught up.
func TestClockBehindIsTold(t *testing.T) {
	var c Course
	var told []time.Duration
	for clock := range time.Duration(200) {
		if _, behind, news := c.Now(stage.Start.Add(clock*time.Second), stage.Start.Add(time.Minute)); news {
			told = append(told, clock)
			if (behind > 0) != (clock == 0) {
				t.Errorf("at %d: %s behind", clock, behind)
			}
		}
	}
	if len(told) != 2 || told[0] != 0 || told[1] != 120 { // a minute that is caught up at half speed
		t.Errorf("told at %v", told)
	}
}

// late is a wall clock that lags.
type late struct {
	Wall
	by time.Duration
}

func (l late) Now() time.Time { return l.Wall.Now().Add(-l.by) }

// A process that starts under a clock that was set back wakes keys when they ask for it, and its events say when that was.
func TestLoopStartsBehindTheLog(t *testing.T) {
	const wait = 200 * time.Millisecond
	p := &probe{name: "probe"}
	p.decide = func(v reconcilers.View, k events.Key, now time.Time) reconcilers.Decision {
		o, ok := v.Get(k)
		if !ok {
			return reconcilers.Decision{}
		}
		if at := o.Created.Time.Add(wait); now.Before(at) {
			return reconcilers.Decision{WakeAt: at}
		}
		return remove(v, k, now)
	}
	clock := time.Now
	log := memory.NewLog(func() time.Time { return clock() })
	if _, err := log.Append(t.Context(), []bus.Record{{Envelope: events.Envelope{Subject: "log.seen.n1", Type: "nodes.seen", Version: 1, Body: []byte(`{}`)}}}); err != nil {
		t.Fatal(err)
	}
	clock = late{by: time.Hour}.Now
	r := startOn(t, log, late{by: time.Hour}, nil, nil, p)
	if _, err := r.Submit(t.Context(), wish("1", conf("a"))); err != nil {
		t.Fatal(err)
	}
	before := r.src.Ahead()
	if o, ok := before.Get(conf("a")); !ok || time.Since(o.Created.Time) > time.Minute {
		t.Errorf("it was made at %s", o.Created.Time)
	}
	r.eventually(t, "woken", func(v projections.State) bool { _, ok := v.Get(conf("a")); return !ok })
	if after := r.src.Ahead(); after.Time.Sub(before.Time) < wait {
		t.Errorf("fold time stands still: it went on by %s", after.Time.Sub(before.Time))
	}
}
