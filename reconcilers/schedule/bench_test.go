package schedule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// crowd is a world of nodes in three zones and pods that wait. The pods are of so
// many templates, which differ in a label, and say more of where they want to be.
func crowd(nodes, pods, templates int, more string) *stage.World {
	w := stage.New()
	for i := range nodes {
		name := fmt.Sprintf("n%04d", i)
		w.Node(name, "64", "256Gi")
		w.Apply(stage.NodeKey(name), fmt.Sprintf(`{"metadata":{"name":%q,"labels":{"kubernetes.io/hostname":%q,"topology.kubernetes.io/zone":"z%d"}}}`, name, name, i%3))
	}
	for i := range templates {
		raw := []byte(fmt.Sprintf(`{"metadata":{"labels":{"a":"b%d"}},"spec":{"containers":[{"name":"c","image":"i","resources":{"requests":{"cpu":"100m"}}}]%s}}`,
			i, strings.ReplaceAll(more, "LABELS", fmt.Sprintf(`{"matchLabels":{"a":"b%d"}}`, i))))
		w.Do(reconcilers.StoreTemplate(raw))
		for j := range pods / templates {
			name := fmt.Sprintf("p%05d-%05d", i, j)
			w.Do(reconcilers.Create(stage.PodKey(name), events.Created{Template: events.HashOf(raw), Object: []byte(`{"metadata":{"name":"` + name + `"}}`)}))
		}
	}
	return w
}

const (
	benchAnti = `,"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"kubernetes.io/hostname","labelSelector":LABELS}]}}`
	benchSoft = `,"affinity":{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"podAffinityTerm":{"topologyKey":"kubernetes.io/hostname","labelSelector":LABELS}}]}}`
	benchZone = `,"topologySpreadConstraints":[{"maxSkew":1,"whenUnsatisfiable":"DoNotSchedule","topologyKey":"topology.kubernetes.io/zone","labelSelector":LABELS}]`
	benchHost = `,"topologySpreadConstraints":[{"maxSkew":1,"whenUnsatisfiable":"DoNotSchedule","topologyKey":"topology.kubernetes.io/zone","labelSelector":LABELS},
		{"maxSkew":1,"whenUnsatisfiable":"DoNotSchedule","topologyKey":"kubernetes.io/hostname","labelSelector":LABELS}]`
)

// BenchmarkPass places a thousand pods in one pass, all of a kind or of many.
func BenchmarkPass(b *testing.B) {
	for _, kind := range []struct {
		name, more string
		templates  int
	}{
		{"plain", "", 1}, {"spread+anti", benchZone + benchAnti, 1}, {"zones+hosts", benchHost, 1}, {"spread+preferred-anti", benchZone + benchSoft, 1},
		{"plain,100-kinds", "", 100}, {"spread+anti,100-kinds", benchZone + benchAnti, 100},
	} {
		for _, nodes := range []int{100, 1000, 5000} {
			pods := 1000
			if strings.HasSuffix(kind.name, "+anti") && nodes < pods {
				continue // a thousand that keep apart need as many nodes
			}
			b.Run(fmt.Sprintf("%s/nodes=%d", kind.name, nodes), func(b *testing.B) { passes(b, crowd(nodes, pods, kind.templates, kind.more)) })
		}
	}
}

func passes(b *testing.B, w *stage.World) {
	placed := 0
	for b.Loop() {
		d := Reconciler{}.Decide(w.State, Pass, w.Now)
		for _, e := range d.Events {
			placed += strings.Count(string(e.Body), `"uid"`)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(placed), "ns/pod")
	b.ReportMetric(float64(placed)/b.Elapsed().Seconds(), "decisions/s")
	b.ReportMetric(float64(placed)/float64(b.N), "pods/pass")
}
