package projections_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// TestSourcesTellWhatAPodIs: whatever happens, a pod whose sources are as they were at any time before looks as it did then.
func TestSourcesTellWhatAPodIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := random(t)
		g := &drawing{t: t, l: l, lives: 1000}
		looked := map[projections.Sources]string{}
		for range rapid.IntRange(5, 60).Draw(t, "more") {
			for o := range l.State.List(events.Pods, "") {
				from, ok := l.State.SourcesOf(o)
				if !ok {
					t.Fatalf("%s has no sources", o.Key)
				}
				shown, err := json.Marshal(l.State.Peek(o, l.Now))
				if err != nil {
					t.Fatal(err)
				}
				if was, known := looked[from]; known && was != string(shown) {
					t.Fatalf("%s has the sources of\n%s\nand is\n%s", o.Key, was, shown)
				}
				looked[from] = string(shown)
			}
			if g.n(3, "beside") == 0 {
				g.beside()
			} else {
				g.step()
			}
		}
	})
}

// beside changes what pods are made of and have no part in.
func (g *drawing) beside() {
	l := g.l
	switch k := foldtest.Key(events.Accounts, projections.DefaultAccount); g.n(3, "beside what") {
	case 0:
		object := fmt.Sprintf(`{"imagePullSecrets":[{"name":"s%d"}],"automountServiceAccountToken":%t}`, g.n(1, "secret"), g.n(1, "mounts") == 1)
		if _, ok := l.State.Get(k); ok {
			g.change(k, nil, object)
			return
		}
		g.create(k, nil, object)
	case 1:
		l.Remove(k)
	case 2:
		if _, ok := l.State.Get(projections.RootKey); ok {
			l.Remove(projections.RootKey)
			return
		}
		g.create(projections.RootKey, nil, `{"data":{"ca.crt":"x"}}`)
	case 3:
		l.Conclude(g.pod(), events.Reason{Code: projections.Preempting, What: g.node()})
	}
}

// TestSourcesOutliveWhatIsBeside: what becomes of others does not take a pod's sources away, or nothing could be kept by them.
func TestSourcesOutliveWhatIsBeside(t *testing.T) {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	l.Create(foldtest.Pod(1), foldtest.Template(""))
	l.Assign("n1", foldtest.Pod(1))
	at := func() projections.Sources {
		o, _ := l.State.Get(foldtest.Pod(1))
		from, _ := l.State.SourcesOf(o)
		return from
	}
	before := at()
	l.Create(foldtest.Pod(2), foldtest.Template(""))
	l.Assign("n1", foldtest.Pod(2))
	l.Create(foldtest.Service, `{"spec":{"selector":{"other":"x"},"ports":[{"port":80}]}}`)
	if at() != before {
		t.Error("another pod and a service that does not select it changed a pod's sources")
	}
	l.Delete(foldtest.Pod(1), foldtest.Person, 30)
	if at() == before {
		t.Error("a pod that is to go has the sources that it had")
	}
	if o, _ := l.State.Get(foldtest.Service); o != nil {
		if _, ok := l.State.SourcesOf(o); ok {
			t.Error("a service has sources")
		}
	}
}
