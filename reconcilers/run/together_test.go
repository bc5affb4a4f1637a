package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
)

// asked is what one of many people wants at the same time.
type asked struct {
	id       string
	name     string // of the ConfigMap to make
	after    string // of one that has to be there, and is named as the cause
	together bool
	gone     bool // who asked does not wait any more
}

// most is how many ConfigMaps there may be.
const most = 40

func (a asked) submission() *submission {
	ctx := context.Background()
	if a.gone {
		left, leave := context.WithCancel(ctx)
		leave()
		ctx = left
	}
	r := Request{Actor: events.User("alice"), ID: a.id, Key: conf(a.name), Together: a.together}
	op := events.NewOpID("c", r.Actor, r.ID, r.Key, 0)
	r.Decide = func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
		d := reconcilers.Create(r.Key, events.Created{Object: []byte(`{}`)})
		_, again := v.Landed(op)
		switch _, there := v.Get(r.Key); {
		case again:
			return []reconcilers.Draft{d}, nil
		case there:
			return nil, errors.New("exists")
		case len(confs(v)) >= most:
			return nil, errors.New("too many")
		}
		if a.after != "" {
			o, ok := v.Get(conf(a.after))
			if !ok {
				return nil, errors.New("not yet")
			}
			d.Cause = o.Created.Seq
		}
		return []reconcilers.Draft{d}, nil
	}
	return &submission{Request: r, ctx: ctx, reply: make(chan submitted, 1)}
}

func confs(v reconcilers.View) []string {
	var out []string
	for o := range v.List(events.ConfigMaps, "default") {
		out = append(out, o.Key.Name)
	}
	return out
}

// outcomes lets a loop begin while all of them wait, and returns what each was told.
func outcomes(t *rapid.T, tt *testing.T, all []asked, fates ...mishap) []string {
	var waiting []*submission
	for _, a := range all {
		waiting = append(waiting, a.submission())
	}
	r := startWith(tt, Wall{}, waiting, fates)
	var told []string
	for i, s := range waiting {
		var got submitted
		select {
		case got = <-s.reply:
		case <-time.After(time.Minute):
			t.Fatalf("%+v was never answered", all[i])
		}
		word := "made"
		if got.err != nil {
			word = got.err.Error()
		} else if o, ok := r.src.Ahead().Get(s.Key); len(got.events) != 1 || !ok || o.Created.Seq != got.events[0].Seq {
			t.Fatalf("%+v was answered %+v, made is %+v", all[i], got.events, o)
		} else if all[i].after != "" && !repeats(all, i) {
			if want, _ := r.src.Ahead().Get(conf(all[i].after)); got.events[0].Cause != want.Created.Seq {
				t.Fatalf("%+v: the cause is %d, not %d", all[i], got.events[0].Cause, want.Created.Seq)
			}
		}
		told = append(told, word)
	}
	return told
}

// repeats tells whether somebody asked the same before.
func repeats(all []asked, i int) bool {
	return slices.ContainsFunc(all[:i], func(a asked) bool { return a.id == all[i].id && a.name == all[i].name })
}

// What many ask at once is decided as if they had asked one after the other, whatever becomes of an append.
func TestTogetherIsAsOneByOne(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []asked
		for i := range minTogether { // a group is there, whatever follows
			all = append(all, asked{id: fmt.Sprint(i), name: fmt.Sprint("c", i), together: true})
		}
		name := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("c", rapid.IntRange(0, 50).Draw(t, "n")) })
		all = append(all, rapid.SliceOfN(rapid.Custom(func(t *rapid.T) asked {
			a := asked{id: fmt.Sprint(rapid.IntRange(0, 60).Draw(t, "id")), name: name.Draw(t, "name"),
				together: rapid.IntRange(0, 30).Draw(t, "together") > 0, gone: rapid.IntRange(0, 30).Draw(t, "gone") == 0}
			if rapid.IntRange(0, 9).Draw(t, "dependent") == 0 {
				a.after = name.Draw(t, "after")
			}
			return a
		}), 1, 90).Draw(rt, "all")...)
		fates := []mishap{nil, rapid.SampledFrom([]mishap{nil, lost, silent, crossed}).Draw(rt, "first")} // after the lease
		fates = append(fates, rapid.SliceOfN(rapid.SampledFrom([]mishap{nil, lost, silent}), 0, 3).Draw(rt, "more")...)
		got := outcomes(rt, t, all, fates...)
		single := slices.Clone(all)
		for i := range single {
			single[i].together = false
		}
		if want := outcomes(rt, t, single); !slices.Equal(got, want) {
			rt.Fatalf("together: %q\none by one: %q", got, want)
		}
	})
}

// crossed is an append that somebody else's was before.
func crossed(func() (events.Seq, error)) (events.Seq, error) {
	return 0, &bus.ConflictError{Have: 1}
}

// Who asks at once costs one append; who has to see the log as it is, is decided alone.
func TestTogetherIsOneAppend(t *testing.T) {
	var waiting []*submission
	for i := range minTogether {
		waiting = append(waiting, asked{id: fmt.Sprint(i), name: fmt.Sprint("c", i), together: true}.submission())
	}
	alone := asked{id: "alone", name: "alone"}.submission()
	decide, seen := alone.Decide, events.Seq(0)
	alone.Decide = func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) {
		seen = v.Seq
		return decide(v, now)
	}
	r := startWith(t, Wall{}, append(waiting, alone), nil)
	for _, s := range waiting {
		if got := <-s.reply; got.err != nil {
			t.Error(got.err)
		}
	}
	if got := <-alone.reply; got.err != nil || got.events[0].Basis != seen {
		t.Errorf("decided alone at %d: %+v", seen, got)
	}
	if n := r.log.count(); n != 3 {
		t.Errorf("%d appends, want the lease's, one for all, and one", n)
	}
}
