package fork_test

import (
	"fmt"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/fork"
	"github.com/stave-run/stave/reconcilers/stage"
)

// BenchmarkDrain is what `whatif --drain` costs on a cluster of 10,000 pods and
// 100 nodes: a fork that settles, loses one node's pods, and settles again.
func BenchmarkDrain(b *testing.B) {
	w := stage.New()
	for i := range 100 {
		w.Node(fmt.Sprintf("n%d", i), "128", "512Gi")
	}
	f, err := fork.New(w.State, w.Now, everyone())
	if err != nil {
		b.Fatal(err)
	}
	create(10_000)(f)
	if err := f.Settle(); err != nil {
		b.Fatal(err)
	}
	v, now := f.View(), f.Now()
	b.ResetTimer()
	for range b.N {
		f, err := fork.New(v, now, everyone())
		if err != nil {
			b.Fatal(err)
		}
		if err := f.Settle(); err != nil {
			b.Fatal(err)
		}
		var drafts []reconcilers.Draft
		for p := range f.View().PodsOn("n7") {
			if o, ok := f.View().Get(p.Key); ok {
				drafts = append(drafts, reconcilers.RequestDeletion(o, events.DeletionRequested{Grace: 30}))
			}
		}
		f.Do("user:test", "drain", drafts)
		if err := f.Settle(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(drafts)), "drained")
	}
}
