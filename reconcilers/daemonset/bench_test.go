package daemonset

import (
	"fmt"
	"testing"

	"github.com/stave-run/stave/reconcilers/schedule"
	"github.com/stave-run/stave/reconcilers/stage"
)

// BenchmarkThousandNodes is what a DaemonSet on a thousand nodes costs: a look at it when
// nothing is to be done, its status, and a scheduler's pass that gives all pods their nodes.
func BenchmarkThousandNodes(b *testing.B) {
	w := stage.New()
	for i := range 1000 {
		w.Node(fmt.Sprintf("n%04d", i), "4", "8Gi")
	}
	w.Apply(logs, set("a", 1, rolling(0, 1), ""))
	run(b, w)
	waiting := w.State
	b.Run("pass", func(b *testing.B) {
		for b.Loop() {
			schedule.Reconciler{}.Decide(waiting, schedule.Pass, w.Now)
		}
	})
	up(b, w)
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			Reconciler{}.Decide(w.State, logs, w.Now)
		}
	})
	b.Run("status", func(b *testing.B) {
		for b.Loop() {
			status(w)
		}
	})
}
