package table_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections/foldtest"
	"github.com/stave-run/stave/projections/table"
)

func treeLines(b *table.Branch, in string) string {
	line := strings.TrimRight(fmt.Sprintf("%s%s %s %s", in, b.Name, b.Ready, b.State), " ")
	if b.Asked {
		line += " <"
	}
	if b.Left > 0 {
		line += fmt.Sprintf(" +%d", b.Left)
	}
	for _, x := range b.Branches {
		line += "\n" + treeLines(x, in+"  ")
	}
	return line
}

func TestTree(t *testing.T) {
	l := foldtest.Nginx(2)
	rest := foldtest.Key(events.ReplicaSets, "nginx-aaa")
	l.CreateChild(rest, foldtest.Deployment, 1, foldtest.ReplicaSetJSON(0, ""))
	l.Saw(foldtest.Pod(1), events.Fact{Kind: events.FactExited, Container: "nginx", Run: 1, Code: 3, Reason: "Error", StartedAt: l.Now, At: l.Now},
		events.Fact{Kind: events.FactBackoff, Container: "nginx", Run: 2, Reason: "CrashLoopBackOff", Until: l.Now})
	pods := `Pod/nginx-76769d88f7-00000 1/1 Running
IN  container nginx 1/1 Running
INPod/nginx-76769d88f7-00001 0/1 CrashLoopBackOff
IN  container nginx 0/1 CrashLoopBackOff`
	in := func(n int) string { return strings.ReplaceAll("IN"+pods, "IN", strings.Repeat(" ", n)) }
	for k, want := range map[events.Key]string{
		foldtest.Deployment: "Deployment/nginx 1/2 <\n  ReplicaSet/nginx-76769d88f7 1/2\n" + in(4) + "\n  ReplicaSet/nginx-aaa 0/0",
		foldtest.Pod(0): "Deployment/nginx 1/2 +1\n  ReplicaSet/nginx-76769d88f7 1/2 +1\n    Pod/nginx-76769d88f7-00000 1/1 Running <\n" +
			"      container nginx 1/1 Running",
		foldtest.Service: "Service/nginx-service  ClusterIP <\n  Endpoints/nginx-service 1/2\n    Pod/nginx-76769d88f7-00000 1/1 Running, 10.244.0.5\n" +
			"    Pod/nginx-76769d88f7-00001 0/1 CrashLoopBackOff, gets no connections",
		foldtest.Key(events.Nodes, "n1"): "Node/n1  Ready <\n  Pod/default/nginx-76769d88f7-00000 1/1 Running\n  Pod/default/nginx-76769d88f7-00001 0/1 CrashLoopBackOff",
	} {
		b, ok := table.TreeOf(l.State, k, l.Now)
		if !ok || treeLines(b, "") != want {
			t.Errorf("%s is\n%s\nwant\n%s", k, treeLines(b, ""), want)
		}
	}
	whole, ok := table.TreeOf(l.State, foldtest.Key(events.Namespaces, "default"), l.Now)
	if text := treeLines(whole, ""); !ok || !strings.HasPrefix(text, "Namespace/default  Active <\n  Service/nginx-service") || !strings.Contains(text, "\n  Deployment/nginx 1/2\n    ReplicaSet") || strings.Contains(text, "\n  Pod/") {
		t.Errorf("namespace:\n%s", text)
	}
	if _, ok := table.TreeOf(l.State, foldtest.Pod(7), l.Now); ok {
		t.Error("a tree of nothing")
	}
}
