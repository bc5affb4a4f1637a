package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/api"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/deployment"
	"github.com/stave-run/stave/reconcilers/fork"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/nodelife"
	"github.com/stave-run/stave/reconcilers/replicaset"
	"github.com/stave-run/stave/reconcilers/schedule"
	"github.com/stave-run/stave/reconcilers/stage"
)

// forked is the fork of the tests' door.
func forked(_ context.Context, v projections.State, now time.Time, _ bool) (api.Fork, error) {
	return fork.New(v, now, []reconcilers.Reconciler{deployment.Reconciler{}, replicaset.Reconciler{}, schedule.Reconciler{}, nodelife.Reconciler{}, gc.Reconciler{}})
}

const webApp = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"default"},"spec":{"replicas":3,
	"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},
	"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"1"}}}]}}}}`

func TestForeseeAppendsNothing(t *testing.T) {
	h := open(t)
	end := h.end()
	foresee := func(req wire.ForeseeRequest) (wire.ForeseeReply, why.Difference) {
		t.Helper()
		var reply wire.ForeseeReply
		var d why.Difference
		h.ask("ann", wire.VerbForesee, req, &reply)
		if reply.Error != nil {
			t.Fatalf("%+v", reply.Error)
		}
		if err := json.Unmarshal(reply.JSON, &d); err != nil {
			t.Fatal(err)
		}
		if now := h.end(); now != end {
			t.Errorf("the log went from %d to %d", end, now)
		}
		return reply, d
	}
	items := []wire.Item{{Object: json.RawMessage(webApp)}}
	two := map[string]string{"cpu": "2", "memory": "4Gi", "pods": "110"}

	reply, d := foresee(wire.ForeseeRequest{Items: items, AddNodes: []map[string]string{two}})
	if len(d.Made) != 2 || len(d.Unplaced) != 1 || d.Made[0].Node != "new-1" || d.Made[0].Owner.Name != "web" {
		t.Errorf("%+v", d)
	}
	if reply.Results[0].Outcome != admit.Created || !strings.Contains(reply.Text, "2 made (new-1 2)") || !strings.Contains(reply.Text, "1 left without a node\n") {
		t.Errorf("%+v\n%s", reply.Results, reply.Text)
	}
	web := events.Key{Resource: events.Deployments, Namespace: "default", Name: "web"}
	_, d = foresee(wire.ForeseeRequest{Items: items, AddNodes: []map[string]string{two, two}, Scale: []wire.ScaleTo{{Key: web, Replicas: 4}}})
	if len(d.Made) != 4 || len(d.Unplaced) != 0 {
		t.Errorf("with two nodes: %+v", d)
	}
	h.change("1", wire.Apply, false, json.RawMessage(webApp))
	end = h.end()
	_, d = foresee(wire.ForeseeRequest{AddNodes: []map[string]string{two}})
	if len(d.Made) != 2 || len(d.Unplaced) != 1 || !d.Unplaced[0].Before {
		t.Errorf("what waits gets the new node: %+v", d)
	}
	_, d = foresee(wire.ForeseeRequest{At: wire.Moment{Seq: end - 1}, AddNodes: []map[string]string{two}})
	if !d.Empty() {
		t.Errorf("before it was applied: %+v", d)
	}
	if reply, _ = foresee(wire.ForeseeRequest{}); !strings.Contains(reply.Text, "as before") {
		t.Errorf("nothing is asked: %s", reply.Text)
	}
	h.ask("ann", wire.VerbForesee, wire.ForeseeRequest{Drain: []string{"nowhere"}}, &reply)
	if reply.Error == nil || !strings.Contains(reply.Error.Message, `nodes "nowhere" not found`) {
		t.Errorf("an unknown node: %+v", reply.Error)
	}
}

// TestForeseeDrainAsksBudgets: pods that a budget holds go when others have come; those that it holds for good are told.
func TestForeseeDrainAsksBudgets(t *testing.T) {
	budget := func(least int) string {
		return fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"keep","namespace":"default"},
			"spec":{"minAvailable":%d,"selector":{"matchLabels":{"app":"web"}}}}`, least)
	}
	for least, held := range map[int]int{0: 0, 2: 0, 3: 3} {
		w := stage.New()
		for _, n := range []string{"n1", "n2"} {
			w.Node(n, "8", "16Gi")
		}
		w.Apply(stage.In(events.Deployments, "web"), webApp)
		w.Apply(stage.In(events.Budgets, "keep"), budget(least))
		v := settled(t, w)
		wires := memory.NewWires()
		d, err := api.Serve(api.Options{Wires: wires, Log: memory.NewLog(time.Now), Views: still{v}, Cluster: "test", Now: func() time.Time { return w.Now }, Fork: forked, Explain: schedule.Explain})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		there := 0
		for range v.PodsOn("n1") {
			there++
		}
		raw, err := wires.Request(t.Context(), wire.Subject("ann", wire.VerbForesee), events.MustBody(wire.ForeseeRequest{Drain: []string{"n1"}}))
		var reply wire.ForeseeReply
		var got why.Difference
		if err := errors.Join(err, json.Unmarshal(raw, &reply), json.Unmarshal(reply.JSON, &got)); err != nil || reply.Error != nil {
			t.Fatal(err, reply.Error)
		}
		if held = min(held, there); there == 0 || len(got.Held) != held || len(got.Gone) != there-held || len(got.Made) != there-held {
			t.Errorf("at least %d, %d there: %+v", least, there, got)
		}
		if held > 0 && !strings.Contains(reply.Text, "a drain of n1 would wait for it: The disruption budget keep needs 3 healthy pods and has 3 currently") {
			t.Errorf("%s", reply.Text)
		}
	}
}

// settled is what becomes of a world by itself.
func settled(t *testing.T, w *stage.World) projections.State {
	t.Helper()
	f, err := forked(t.Context(), w.State, w.Now, false)
	if err == nil {
		err = f.Settle()
	}
	if err != nil {
		t.Fatal(err)
	}
	return f.View()
}
