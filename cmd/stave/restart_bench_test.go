package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stave-run/stave/bus/jetstream"
	"github.com/stave-run/stave/bus/segment"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/api"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/follow"
	"github.com/stave-run/stave/reconcilers/schedule"
)

// The log of BenchmarkRestart: this many ready pods, and the events behind the newest checkpoint.
const (
	restartPods = 100_000
	restartTail = 2 * yearsSegment
)

// readyPods is a cluster of n ready pods on a hundred nodes, a thousand to a replica set.
func readyPods(n int) []events.Envelope {
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
		l.Spec(k, events.VerbCreated, "reconciler:replicaset", 0, events.Created{UID: foldtest.UID(k, 1), Template: hash,
			Owner: &events.Owner{Resource: owner.Resource, Name: owner.Name, UID: foldtest.UID(owner, 1)}, Object: []byte(`{}`)})
		l.Assign(fmt.Sprint("n", i%100), k)
		l.Saw(k, foldtest.Up("nginx", "10.244.0.9", l.Now)...)
		l.Pass(time.Millisecond)
	}
	return l.Events
}

// BenchmarkRestart is a start on the log of 100,000 pods until the first question is answered: from the newest checkpoint and
// the events behind it, and without any checkpoint.
func BenchmarkRestart(b *testing.B) {
	dir, log := b.TempDir(), readyPods(restartPods)
	sealed, err := segment.Open(jetstream.Segments(dir), func(line string) { b.Error(line) })
	if err != nil {
		b.Fatal(err)
	}
	kept, err := follow.OpenCheckpoints(checkpointsIn(dir))
	if err != nil {
		b.Fatal(err)
	}
	fold, from := projections.NewBulk(projections.Empty()), len(log)-restartTail
	for i := range log {
		fold.Apply(log[i])
		if i+1 == from {
			if err := kept.Save(fold.State(), log[i]); err != nil {
				b.Fatal(err)
			}
		}
		if (i+1)%yearsSegment == 0 || i+1 == len(log) {
			if err := sealed.Seal(log[i/yearsSegment*yearsSegment : i+1]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("checkpoint and tail", func(b *testing.B) { restarts(b, dir, true, log[len(log)-1].Seq) })
	b.Run("whole log", func(b *testing.B) { restarts(b, dir, false, log[len(log)-1].Seq) })
}

// restarts reports the median; a start with checkpoints has those of the directory.
func restarts(b *testing.B, dir string, kept bool, end events.Seq) {
	cred, err := jetstream.LoadOrCreate(filepath.Join(b.TempDir(), "credentials"), personName)
	if err != nil {
		b.Fatal(err)
	}
	var took []float64
	for b.Loop() {
		var from *follow.Checkpoints
		if own := b.TempDir(); kept { // a copy: what a start leaves behind is not the next one's
			if err := os.CopyFS(own, os.DirFS(checkpointsIn(dir))); err != nil {
				b.Fatal(err)
			}
			if from, err = follow.OpenCheckpoints(own); err != nil {
				b.Fatal(err)
			}
		}
		began := time.Now()
		s, err := jetstream.Open(b.Context(), jetstream.Options{Dir: dir, Name: "restart", Credentials: []jetstream.Credential{cred}, Reserve: 1 << 20})
		if err != nil {
			b.Fatal(err)
		}
		whole := debug.SetGCPercent(foldingGC)
		view, err := follow.Open(b.Context(), s.Log(), follow.Options{Checkpoints: from})
		debug.SetGCPercent(whole)
		if err != nil {
			b.Fatal(err)
		}
		door, err := api.Serve(api.Options{Wires: s.Wires(), Log: s.Log(), Views: view, Writer: previewer{view}, Explain: schedule.Explain, Cluster: "restart", Now: time.Now})
		if err != nil {
			b.Fatal(err)
		}
		client, err := s.Connect(personName)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		_, err = client.Request(ctx, wire.Subject(personName, wire.VerbRead), events.MustBody(wire.ReadRequest{Resource: events.Nodes, MinSeq: end}))
		cancel()
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began).Seconds()*1000)
		door.Close()
		view.Close()
		s.Close()
	}
	b.ReportMetric(quantile(took, 0.5), "ms-p50")
}
