package api

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// lived are the ticks of the life of a deployment of five pods that becomes ready, is scaled, and goes.
func lived() []tick {
	l := foldtest.Nginx(5)
	l.Change(foldtest.Deployment, foldtest.Person, foldtest.DeploymentJSON(6, ""))
	l.Delete(foldtest.Pod(0), foldtest.Person, 0)
	l.Remove(foldtest.Pod(0))
	l.Delete(foldtest.Deployment, foldtest.Person, 0)
	var out []tick
	s := projections.Empty()
	for _, e := range l.Events {
		t := tick{event: e}
		t.view, t.changes = projections.Apply(s, e)
		s, out = t.view, append(out, t)
	}
	return out
}

// Whatever is left out, each row that is told goes on from the row that was told before it, and positions grow.
func TestNewsOfARowFollowOneAnother(t *testing.T) {
	for _, r := range []events.Resource{events.Deployments, events.ReplicaSets, events.Pods, events.Services} {
		w := &watcher{match: match{kind: events.Kind{Resource: r}}}
		var some []news
		all, last := 0, map[events.Key]*projections.Object{}
		for _, x := range lived() {
			for _, c := range x.changes {
				if c.Key.Resource == r {
					all, last[c.Key] = all+1, c.After
				}
			}
			some = w.gather(some, x)
		}
		told, at := map[events.Key]*projections.Object{}, events.Position(0)
		for _, n := range some {
			if n.Position <= at {
				t.Errorf("%s: %s at %s after %s", r, n.Key, n.Position, at)
			}
			if at = n.Position; n.Before != told[n.Key] {
				t.Errorf("%s at %s goes on from what was not told", n.Key, at)
			}
			told[n.Key] = n.After
		}
		for k, o := range last {
			if told[k] != o {
				t.Errorf("the last of %s is not told", k)
			}
		}
		switch few := len(some) < all; {
		case r == events.Pods && few:
			t.Errorf("%d of %d changes of pods are told", len(some), all)
		case r != events.Pods && !few:
			t.Errorf("all %d changes of %s are told one by one", all, r)
		}
	}
}

// sent keeps what a watcher sends, and when.
type sent struct {
	bus.Stream
	at  []time.Time
	got []wire.WatchEvent
}

// Send implements bus.Stream.
func (s *sent) Send(_ context.Context, f bus.Frame) error {
	var e wire.WatchEvent
	err := json.Unmarshal(f.Data, &e)
	s.at, s.got = append(s.at, time.Now()), append(s.got, e)
	return err
}

func TestTheFirstIsToldAtOnceAndTheLastSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := lived()
		ticks, to := make(chan tick, len(all)), &sent{}
		m, err := (&Server{}).matching(projections.State{}, wire.ReadRequest{Resource: events.Deployments})
		if err != nil {
			t.Fatal(err)
		}
		w := &watcher{match: m, stream: to, now: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = w.follow(ctx, ticks, 0) }()
		began := time.Now()
		for _, x := range all {
			ticks <- x
			synctest.Wait()
		}
		if len(to.got) != 1 || !to.at[0].Equal(began) || to.got[0].Type != "ADDED" {
			t.Fatalf("told at once: %d %+v", len(to.got), to.got)
		}
		time.Sleep(gatherFor)
		synctest.Wait()
		last := all[len(all)-1]
		if n := len(to.got); n < 2 || to.got[n-1].Position.Seq() != last.event.Seq {
			t.Errorf("told within %s: %d, the last at %s of %d", gatherFor, n, to.got[n-1].Position, last.event.Seq)
		}
	})
}
