package undo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/undo"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// An undo beside an autoscaler brings back what the person changed, and leaves the number of pods to the autoscaler; not of what was
// stopped, and not when the autoscaler goes by the same undo.
func TestUndoLeavesTheCountToTheAutoscaler(t *testing.T) {
	k := stage.In(events.Deployments, "web")
	for _, c := range []struct {
		name          string
		before        int // replicas
		scaled        int // by the autoscaler, after the change that is undone; 0: not at all
		later, inside bool
		want          int
	}{
		{name: "scaled since", before: 2, scaled: 7, want: 7},
		{name: "no autoscaler", before: 2, scaled: 7, later: true, want: 2},
		{name: "not scaled", before: 2, want: 3},
		{name: "was stopped", before: 0, scaled: 7, want: 0},
		{name: "the autoscaler came with the change", before: 2, scaled: 7, inside: true, want: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			hpa := func() {
				w.Apply(stage.In(events.Autoscalers, "web"), `{"metadata":{"name":"web","namespace":"default"},"spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},"maxReplicas":9}}`)
			}
			deploy := func(n int, image string) {
				w.Apply(k, fmt.Sprintf(`{"metadata":{"name":"web","namespace":"default"},"spec":{"replicas":%d,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":%q}]}}}}`, n, image))
			}
			deploy(c.before, "one")
			if !c.inside && !c.later {
				hpa()
			}
			first := w.State.Seq + 1
			deploy(3, "two")
			if c.inside {
				hpa()
			}
			last := w.State.Seq
			if c.scaled > 0 {
				o := w.Get(k)
				b := reconcilers.Same(o)
				b.Object = reconcilers.Sized(o.Raw, []string{"spec", "replicas"}, int32(c.scaled))
				w.Do(reconcilers.Change(o, b))
				w.Log[len(w.Log)-1].Actor = events.Controller("autoscale")
			}
			steps, err := undo.Undo(from(w, first, last))
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				w.Do(s.Draft)
			}
			if raw := string(w.Get(k).Raw); !strings.Contains(raw, `"image":"one"`) || !strings.Contains(raw, fmt.Sprintf(`"replicas":%d,`, c.want)) {
				t.Errorf("want %d: %s", c.want, raw)
			}
		})
	}
}
