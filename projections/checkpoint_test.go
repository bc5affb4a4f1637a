package projections_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

func kept(t interface{ Fatal(...any) }, s projections.State) []byte {
	var b bytes.Buffer
	if err := s.Keep(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func restored(t interface{ Fatal(...any) }, b []byte) projections.State {
	s, err := projections.Restore(projections.KeptVersion, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Folding on from a checkpoint gives, to the byte, what folding the whole log
// gives: the state, the changes that readers are told of, and the next checkpoint.
func TestCheckpointAndTailEqualTheWholeLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := random(t)
		cut := rapid.IntRange(0, len(l.Events)).Draw(t, "cut")
		whole := refold(l.Events[:cut], projections.Empty())
		from := restored(t, kept(t, whole))
		for i, e := range l.Events[cut:] {
			if got, want := from.Dump(), whole.Dump(); !bytes.Equal(got, want) {
				t.Fatalf("%d events after the checkpoint of %d:\n%s\nwhole:\n%s", i, cut, got, want)
			}
			var one, other []projections.Change
			whole, one = projections.Apply(whole, e)
			from, other = projections.Apply(from, e)
			if got, want := changed(other), changed(one); got != want {
				t.Fatalf("event %d changed %s, whole: %s", e.Seq, got, want)
			}
		}
		if !bytes.Equal(from.Dump(), whole.Dump()) || !bytes.Equal(kept(t, from), kept(t, whole)) {
			t.Fatalf("cut at %d, the end:\n%s\nwhole:\n%s", cut, from.Dump(), whole.Dump())
		}
	})
}

// A Bulk gives what Apply gives, to the byte, wherever it begins and whenever it
// is asked; the states that it began with and gave stay what they were.
func TestBulkIsApply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := random(t)
		began := rapid.IntRange(0, len(l.Events)).Draw(t, "began")
		s := refold(l.Events[:began], projections.Empty())
		type given struct{ is, want projections.State }
		all := []given{{s, refold(l.Events[:began], projections.Empty())}}
		b := projections.NewBulk(s)
		for _, e := range l.Events[began:] {
			b.Apply(e)
			s, _ = projections.Apply(s, e)
			if rapid.IntRange(0, 5).Draw(t, "asked") == 0 {
				all = append(all, given{b.State(), s})
				if rapid.Bool().Draw(t, "another goes on from there") {
					b = projections.NewBulk(b.State())
				}
			}
		}
		for _, g := range append(all, given{b.State(), s}) {
			if !bytes.Equal(g.is.Dump(), g.want.Dump()) || !bytes.Equal(kept(t, g.is), kept(t, g.want)) {
				t.Fatalf("at %d:\n%s\nApply:\n%s", g.want.Seq, g.is.Dump(), g.want.Dump())
			}
		}
	})
}

func bulk(log []events.Envelope, s projections.State) projections.State {
	b := projections.NewBulk(s)
	for _, e := range log {
		b.Apply(e)
	}
	return b.State()
}

func changed(changes []projections.Change) string {
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprint(&b, c.Key, c.Position, c.Before == nil, c.After == nil, " ")
	}
	return b.String()
}

// A field that somebody adds to the state or a row is kept, or is named here as
// a function of others.
func TestCheckpointKnowsEveryField(t *testing.T) {
	known := map[string]string{
		"State":  "Seq Time Epoch Holder Void Unknown Horizon objects children dependents onNode nodes used crowds labelled minding templates selectors verdicts lastSpec ops oldOps wishes made oldMade edits kinds quotas ended",
		"Object": "Key UID Owner Created Changed Position Generation Deletion Template Raw Extras pod last body typed",
		"Extras": "Born Tally Rollout Budget Ration Job Cron Revisions Scaler Disk Applied Managed Set Status Over Owners",
	}
	for _, row := range []any{projections.State{}, projections.Object{}, projections.Extras{}} {
		at := reflect.TypeOf(row)
		for i := range at.NumField() {
			if !strings.Contains(" "+known[at.Name()]+" ", " "+at.Field(i).Name+" ") {
				t.Errorf("%s.%s is new: keep it in projections/checkpoint.go, or derive it in Restore", at.Name(), at.Field(i).Name)
			}
		}
	}
	for _, row := range []any{&projections.Pod{}, &projections.PodExtras{}, &projections.Verdict{}, &projections.Wish{}, &projections.Made{}} {
		for _, hidden := range unexported(reflect.TypeOf(row).Elem()) {
			t.Errorf("%s is not exported: the checkpoint would lose it", hidden)
		}
	}
}

func unexported(at reflect.Type) []string {
	var out []string
	for i := range at.NumField() {
		if f := at.Field(i); !f.IsExported() {
			out = append(out, at.Name()+"."+f.Name)
		}
	}
	return out
}

func TestRestoreRefuses(t *testing.T) {
	b := kept(t, foldtest.Nginx(2).State)
	for what, broken := range map[string][]byte{"nothing": nil, "half": b[:len(b)/2], "but for the last byte": b[:len(b)-1], "and more": append(bytes.Clone(b), 0)} {
		if _, err := projections.Restore(projections.KeptVersion, bytes.NewReader(broken)); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	if _, err := projections.Restore(projections.KeptVersion+1, bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("rows of a newer program: %v", err)
	}
}

func TestDigestTellsEventsApart(t *testing.T) {
	e := foldtest.Nginx(1).Events[7]
	seen := map[events.Hash]string{projections.Digest(e): "itself"}
	for what, edit := range map[string]func(*events.Envelope){
		"seq": func(e *events.Envelope) { e.Seq++ }, "time": func(e *events.Envelope) { e.Time = e.Time.Add(1) }, "subject": func(e *events.Envelope) { e.Subject += "x" },
		"actor": func(e *events.Envelope) { e.Actor = "user:mallory" }, "body": func(e *events.Envelope) { e.Body = []byte(`{}`) },
	} {
		other := e
		edit(&other)
		if as, ok := seen[projections.Digest(other)]; ok {
			t.Errorf("another %s has the digest of %s", what, as)
		}
		seen[projections.Digest(other)] = what
	}
}

// BenchmarkRestore is a checkpoint of 100,000 pods.
func BenchmarkRestore(b *testing.B) {
	l := many(100_000)
	raw := kept(b, l.State)
	b.Run("keep", func(b *testing.B) {
		for b.Loop() {
			kept(b, l.State)
		}
		b.ReportMetric(float64(len(raw))/1e6, "MB")
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			restored(b, raw)
		}
	})
	for name, fold := range map[string]func([]events.Envelope, projections.State) projections.State{"fold": bulk, "apply": refold} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				fold(l.Events, projections.Empty())
			}
			b.ReportMetric(float64(b.N)*float64(len(l.Events))/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// many is a cluster of n ready pods on 100 nodes, a thousand to a replica set.
func many(n int) *foldtest.Log {
	l := foldtest.New()
	l.Lease("test")
	body := []byte(foldtest.Template(""))
	hash := events.HashOf(body)
	l.Add(events.Envelope{Subject: events.TemplateSubject(hash), Type: events.TemplateStored, Body: body})
	for i := range 100 {
		l.Node(fmt.Sprint("n", i), foldtest.Facts)
	}
	for i := range n {
		owner := foldtest.Key(events.ReplicaSets, fmt.Sprint("rs", i/1000))
		if i%1000 == 0 {
			l.Create(owner, foldtest.ReplicaSetJSON(1000, ""))
		}
		k := foldtest.Key(events.Pods, fmt.Sprintf("%s-%05d", owner.Name, i))
		l.Spec(k, events.VerbCreated, "controller:replicaset", 0, events.Created{UID: foldtest.UID(k, 1), Template: hash,
			Owner: &events.Owner{Resource: owner.Resource, Name: owner.Name, UID: foldtest.UID(owner, 1)}, Object: []byte(`{}`)})
		l.Assign(fmt.Sprint("n", i%100), k)
		l.Saw(k, foldtest.Up("nginx", "10.244.0.9", l.Now)...)
		l.Pass(time.Millisecond)
	}
	return l
}
