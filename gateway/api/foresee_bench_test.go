package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/api"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/fork"
	"github.com/stave-run/stave/reconcilers/schedule"
	"github.com/stave-run/stave/reconcilers/stage"
)

// still is a state that nothing happens to.
type still struct{ projections.State }

func (s still) Durable() projections.State { return s.State }
func (s still) WaitDurable(context.Context, events.Seq) (projections.State, error) {
	return s.State, nil
}
func (s still) OnDurable(func(projections.State, events.Envelope, []projections.Change)) func() {
	return func() {}
}

// crowded is a cluster of 100 nodes on which ten deployments have 1,000 pods each.
func crowded(b *testing.B) (projections.State, time.Time) {
	w := stage.New()
	w.Apply(events.Key{Resource: events.Namespaces, Name: "default"}, `{"metadata":{"name":"default"}}`)
	for i := range 100 {
		w.Node(fmt.Sprintf("n%d", i), "128", "512Gi")
		w.Facts(fmt.Sprintf("n%d", i), map[string]string{"cpu": "128", "memory": "512Gi", "pods": "250"})
	}
	f, err := forked(b.Context(), w.State, w.Now, false)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 10 {
		k := stage.In(events.Deployments, fmt.Sprint("web", i))
		f.Do("user:ann", events.OpID(fmt.Sprint(i)), []reconcilers.Draft{reconcilers.Create(k, events.Created{Object: webOf(i, 1000, "nginx:1")})})
	}
	if err := f.Settle(); err != nil {
		b.Fatal(err)
	}
	return f.View(), f.(*fork.Fork).Now()
}

func webOf(i, replicas int, image string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web%d","namespace":"default"},"spec":{"replicas":%d,
"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"25%%","maxUnavailable":"25%%"}},"selector":{"matchLabels":{"app":"web%d"}},
"template":{"metadata":{"labels":{"app":"web%d"}},"spec":{"containers":[{"name":"c","image":%q,"resources":{"requests":{"cpu":"100m"}}}]}}}}`, i, replicas, i, i, image))
}

// BenchmarkForesee is what plan and whatif take on a cluster of 10,000 pods, from
// the request to its answer; medians.
func BenchmarkForesee(b *testing.B) {
	v, now := crowded(b)
	wires := memory.NewWires()
	d, err := api.Serve(api.Options{Wires: wires, Log: memory.NewLog(time.Now), Views: still{v}, Cluster: "test", Now: func() time.Time { return now },
		Fork: forked, Explain: schedule.Explain})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	web := stage.In(events.Deployments, "web3")
	for _, q := range []struct {
		name string
		ask  wire.ForeseeRequest
	}{
		{"whatif --drain", wire.ForeseeRequest{Drain: []string{"n7"}}},
		{"whatif --lose", wire.ForeseeRequest{Lose: []string{"n7"}}},
		{"whatif --scale +1000", wire.ForeseeRequest{Scale: []wire.ScaleTo{{Key: web, Replicas: 2000}}}},
		{"whatif --add-node", wire.ForeseeRequest{AddNodes: []map[string]string{{"cpu": "8", "memory": "32Gi", "pods": "110"}}}},
		{"plan of a new image for 1000 pods", wire.ForeseeRequest{Items: []wire.Item{{Object: webOf(3, 1000, "nginx:2")}}}},
	} {
		b.Run(q.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				raw, err := wires.Request(b.Context(), wire.Subject("ann", wire.VerbForesee), events.MustBody(q.ask))
				took = append(took, time.Since(began))
				var reply wire.ForeseeReply
				if err == nil {
					err = json.Unmarshal(raw, &reply)
				}
				if err != nil || reply.Error != nil || reply.Text == "" {
					b.Fatal(err, reply.Error)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/median")
		})
	}
}
