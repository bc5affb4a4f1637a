package schedule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// zoned makes nodes, each "name zone", with a hostname label.
func zoned(w *stage.World, nodes ...string) {
	for _, n := range nodes {
		name, z, _ := strings.Cut(n, " ")
		w.Node(name, "16", "64Gi")
		labels := `"kubernetes.io/hostname":"` + name + `"`
		if z != "" {
			labels += `,"topology.kubernetes.io/zone":"` + z + `"`
		}
		w.Apply(stage.NodeKey(name), `{"metadata":{"name":"`+name+`","labels":{`+labels+`}}}`)
	}
}

// labelled makes a pod with labels ("app=web,tenant=a") and more of its spec.
func labelled(w *stage.World, k events.Key, labels, more string) {
	var pairs []string
	for _, l := range strings.Split(labels, ",") {
		key, value, _ := strings.Cut(l, "=")
		pairs = append(pairs, fmt.Sprintf("%q:%q", key, value))
	}
	if more != "" {
		more = "," + more
	}
	w.Apply(k, fmt.Sprintf(`{"metadata":{"name":%q,"namespace":%q,"labels":{%s}},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"100m","memory":"64Mi"}}}]%s}}`,
		k.Name, k.Namespace, strings.Join(pairs, ","), more))
}

// running makes pods that are there already, each "node labels".
func running(w *stage.World, pods ...string) {
	for i, p := range pods {
		node, labels, _ := strings.Cut(p, " ")
		k := stage.PodKey(fmt.Sprintf("old-%d", i))
		labelled(w, k, labels, "")
		w.Assign(w.Get(k), node)
	}
}

func spreads(constraints ...string) string {
	return `"topologySpreadConstraints":[` + strings.Join(constraints, ",") + `]`
}

func constraint(key string, skew int, when, more string) string {
	return fmt.Sprintf(`{"topologyKey":%q,"maxSkew":%d,"whenUnsatisfiable":%q,"labelSelector":{"matchLabels":{"foo":"bar"}}%s}`, key, skew, when, more)
}

func term(key, app, more string) string {
	return fmt.Sprintf(`{"topologyKey":%q,"labelSelector":{"matchLabels":{"app":%q}}%s}`, key, app, more)
}

const (
	hard     = "DoNotSchedule"
	soft     = "ScheduleAnyway"
	needed   = "requiredDuringSchedulingIgnoredDuringExecution"
	favoured = "preferredDuringSchedulingIgnoredDuringExecution"
)

func where(kind, list string) string { return fmt.Sprintf(`"affinity":{%q:{%s}}`, kind, list) }

// The examples of Kubernetes' pages "Pod Topology Spread Constraints" and "Assigning
// Pods to Nodes".
func TestDocumentedExamples(t *testing.T) {
	four := []string{"node1 A", "node2 A", "node3 B", "node4 B"}
	three := []string{"node1 foo=bar", "node2 foo=bar", "node3 foo=bar"}
	stores := []string{"node1 app=store", "node2 app=store", "node3 app=store"}
	for _, c := range []struct {
		name    string
		nodes   []string
		running []string
		labels  string
		pod     string
		want    string // nodes that may be chosen; empty: it waits
		says    string // of a node, when it waits
	}{
		{"one constraint", four, three, "foo=bar", spreads(constraint(zone, 1, hard, "")), "node3 node4", ""},
		{"maxSkew 2 lets it into either zone", four, three, "foo=bar", spreads(constraint(zone, 2, hard, "")), "node1 node2 node3 node4", ""},
		{"two constraints", four, three, "foo=bar", spreads(constraint(zone, 1, hard, ""), constraint(host, 1, hard, "")), "node4", ""},
		{"constraints in conflict", []string{"node1 A", "node2 A", "node3 B"}, []string{"node1 foo=bar", "node1 foo=bar", "node2 foo=bar", "node3 foo=bar", "node3 foo=bar"},
			"foo=bar", spreads(constraint(zone, 1, hard, ""), constraint(host, 1, hard, "")), "",
			"node3: TopologySkew kubernetes.io/hostname, have node3: skew would be 2, at most 1: node3 would have 3, node2 has 1 (make room in node2, or raise maxSkew to 2)"},
		{"a zone that node affinity leaves out does not count", append([]string{"node5 C"}, four...), three, "foo=bar",
			spreads(constraint(zone, 1, hard, "")) + `,"affinity":{"nodeAffinity":{"` + needed + `":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"NotIn","values":["C"]}]}]}}}`, "node3 node4", ""},
		{"but it does when the policy says so", append([]string{"node5 C"}, four...), three, "foo=bar",
			spreads(constraint(zone, 1, hard, `,"nodeAffinityPolicy":"Ignore"`)) + `,"affinity":{"nodeAffinity":{"` + needed + `":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"NotIn","values":["C"]}]}]}}}`, "",
			"node3: TopologySkew topology.kubernetes.io/zone, have B: skew would be 2, at most 1: B would have 2, C has 0 (make room in C, or raise maxSkew to 2)"},
		{"minDomains that are there", four, []string{"node1 foo=bar", "node2 foo=bar", "node3 foo=bar", "node4 foo=bar"}, "foo=bar", spreads(constraint(zone, 2, hard, `,"minDomains":2`)), "node1 node2 node3 node4", ""},
		{"minDomains that are not", four, []string{"node1 foo=bar", "node2 foo=bar", "node3 foo=bar", "node4 foo=bar"}, "foo=bar", spreads(constraint(zone, 2, hard, `,"minDomains":3`)), "",
			"node1: TopologySkew topology.kubernetes.io/zone, have A: skew would be 3, at most 2: of 3 domains there are 2 (add a node with another topology.kubernetes.io/zone, or lower minDomains to 2)"},
		{"a node without the label takes none", []string{"node1 A", "node2 "}, []string{"node1 foo=bar"}, "foo=bar", spreads(constraint(zone, 1, hard, "")), "node1", ""},
		{"preferred spread", four, three, "foo=bar", spreads(constraint(zone, 1, soft, "")), "node3 node4", ""},
		{"preferred spread over both", four, three, "foo=bar", spreads(constraint(zone, 1, soft, ""), constraint(host, 1, soft, "")), "node4", ""},
		{"preferred spread holds nothing up", []string{"node1 A"}, []string{"node1 foo=bar", "node1 foo=bar"}, "foo=bar", spreads(constraint(zone, 1, soft, "")), "node1", ""},
		{"one that the selector does not mean counts nothing itself", four, three, "foo=other", spreads(constraint(zone, 1, hard, "")), "node1 node2 node3 node4", ""},

		{"affinity: in the zone of its like", four, []string{"node3 app=store"}, "app=web", where("podAffinity", `"`+needed+`":[`+term(zone, "store", "")+`]`), "node3 node4", ""},
		{"affinity: nobody there", four, nil, "app=web", where("podAffinity", `"`+needed+`":[`+term(zone, "store", "")+`]`), "",
			"node1: PodAffinityMismatch topology.kubernetes.io/zone, need pods with app=store, have A: there is none (run one of the pods with app=store there)"},
		{"affinity: the first of its kind", four, nil, "app=web", where("podAffinity", `"`+needed+`":[`+term(zone, "web", "")+`]`), "node1 node2 node3 node4", ""},
		{"affinity wants all terms of one pod", four, []string{"node1 app=store", "node3 app=web"}, "app=web",
			where("podAffinity", `"`+needed+`":[`+term(zone, "store", "")+`,{"topologyKey":"`+zone+`","labelSelector":{"matchLabels":{"app":"web"}}}]`), "",
			"node1: PodAffinityMismatch topology.kubernetes.io/zone, need pods with app=store, have A: there is none (run one of the pods with app=store there)"},
		{"anti-affinity: its own", []string{"node1 A", "node2 A", "node3 B", "node4 B"}, stores, "app=store", where("podAntiAffinity", `"`+needed+`":[`+term(host, "store", "")+`]`), "node4", ""},
		{"anti-affinity: no node left", []string{"node1 A", "node2 A", "node3 B"}, stores, "app=store", where("podAntiAffinity", `"`+needed+`":[`+term(host, "store", "")+`]`), "",
			"node3: PodAntiAffinity kubernetes.io/hostname, have node3: old-2 runs there (add a node with another kubernetes.io/hostname, or delete old-2)"},
		{"anti-affinity by zone", four, stores, "app=store", where("podAntiAffinity", `"`+needed+`":[`+term(zone, "store", "")+`]`), "",
			"node4: PodAntiAffinity topology.kubernetes.io/zone, have B: old-2 runs there (add a node with another topology.kubernetes.io/zone, or delete old-2)"},
		{"anti-affinity asks nothing of a node without the label", []string{"node1 A", "node2 "}, []string{"node1 app=store", "node2 app=store"}, "app=store",
			where("podAntiAffinity", `"`+needed+`":[`+term(zone, "store", "")+`]`), "node2", ""},
		{"preferred anti-affinity", []string{"node1 A", "node2 A", "node3 B"}, []string{"node1 app=store", "node2 app=store"}, "app=store",
			where("podAntiAffinity", `"`+favoured+`":[{"weight":100,"podAffinityTerm":`+term(host, "store", "")+`}]`), "node3", ""},
		{"preferred affinity, the heavier one wins", four, []string{"node1 app=store", "node3 app=db"}, "app=web",
			where("podAffinity", `"`+favoured+`":[{"weight":20,"podAffinityTerm":`+term(zone, "store", "")+`},{"weight":80,"podAffinityTerm":`+term(zone, "db", "")+`}]`), "node3 node4", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			zoned(w, c.nodes...)
			running(w, c.running...)
			labelled(w, stage.PodKey("mypod"), c.labels, c.pod)
			schedule(t, w)
			got, why := nodeOf(w, "mypod"), fmt.Sprint(Explain(w.State, stage.PodKey("mypod")))
			if (got == "") != (c.want == "") || !strings.Contains(" "+c.want+" ", " "+got+" ") {
				t.Errorf("on %q, want one of %q: %s", got, c.want, why)
			}
			if c.says != "" && !strings.Contains(why, c.says) {
				t.Errorf("explained as %s", why)
			}
		})
	}
}

// Three caches, each on a node of its own, and three web servers, each beside a
// cache: the example of "More practical use-cases".
func TestWebBesideItsCache(t *testing.T) {
	w := stage.New()
	zoned(w, "node1 ", "node2 ", "node3 ")
	for i := range 3 { // the web servers are older: they wait for the caches of the same pass
		labelled(w, stage.PodKey(fmt.Sprintf("web-%d", i)), "app=web-store",
			`"affinity":{"podAntiAffinity":{"`+needed+`":[`+term(host, "web-store", "")+`]},"podAffinity":{"`+needed+`":[`+term(host, "store", "")+`]}}`)
	}
	for i := range 3 {
		labelled(w, stage.PodKey(fmt.Sprintf("redis-%d", i)), "app=store", where("podAntiAffinity", `"`+needed+`":[`+term(host, "store", "")+`]`))
	}
	if d := (Reconciler{}).Decide(w.State, Pass, w.Now); !d.More || len(d.Events) != 3 {
		t.Errorf("%d events, more %v: no verdict before the last word", len(d.Events), d.More)
	}
	schedule(t, w)
	on := map[string]string{}
	for _, o := range w.Pods() {
		on[w.Row(o).Node] += o.Key.Name[:3] + " "
	}
	for _, n := range []string{"node1", "node2", "node3"} {
		if on[n] != "red web " {
			t.Errorf("%s has %q", n, on[n])
		}
	}
}

func TestWhoKeepsWhomOut(t *testing.T) {
	anti := func(more string) string {
		return where("podAntiAffinity", `"`+needed+`":[`+term(host, "web", more)+`]`)
	}
	space := func(w *stage.World, name, labels string) {
		w.Apply(events.Key{Resource: events.Namespaces, Name: name}, `{"metadata":{"name":"`+name+`","labels":{`+labels+`}}}`)
	}
	for _, c := range []struct {
		name, there, comes string // labels and rules of a pod of "default" that is there; of one of "team" that comes
		in                 string
		labels, mine       string
		kept               bool
	}{
		{"an old pod's rule", anti(""), "", "default", "app=db", "app=web", true},
		{"not about others", anti(""), "", "default", "app=db", "app=api", false},
		{"its namespace only", anti(""), "", "team", "app=db", "app=web", false},
		{"a named namespace", anti(`,"namespaces":["team"]`), "", "team", "app=db", "app=web", true},
		{"a chosen one", anti(`,"namespaceSelector":{"matchLabels":{"kind":"team"}}`), "", "team", "app=db", "app=web", true},
		{"one that is not", anti(`,"namespaceSelector":{"matchLabels":{"kind":"shop"}}`), "", "team", "app=db", "app=web", false},
		{"all of them", anti(`,"namespaceSelector":{}`), "", "team", "app=db", "app=web", true},
		{"the new pod's rule about another namespace", "", anti(`,"namespaces":["default"]`), "team", "app=web", "app=db", true},
		{"and of its own by default", "", anti(""), "team", "app=web", "app=db", false},
		{"the same version only", anti(`,"matchLabelKeys":["version"]`), "", "default", "app=web,version=1", "app=web,version=2", false},
		{"the same version", anti(`,"matchLabelKeys":["version"]`), "", "default", "app=web,version=1", "app=web,version=1", true},
		{"other tenants", anti(`,"mismatchLabelKeys":["tenant"]`), "", "default", "app=web,tenant=a", "app=web,tenant=b", true},
		{"the same tenant", anti(`,"mismatchLabelKeys":["tenant"]`), "", "default", "app=web,tenant=a", "app=web,tenant=a", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			zoned(w, "node1 ")
			space(w, "default", "")
			space(w, "team", `"kind":"team"`)
			labelled(w, stage.PodKey("old"), c.labels, c.there)
			w.Assign(w.Get(stage.PodKey("old")), "node1")
			k := events.Key{Resource: events.Pods, Namespace: c.in, Name: "new"}
			labelled(w, k, c.mine, c.comes)
			schedule(t, w)
			why := Explain(w.State, k)
			if kept := w.Row(w.Get(k)).Node == ""; kept != c.kept {
				t.Fatalf("kept out: %v, %v", kept, why)
			}
			name := map[string]string{"default": "old", "team": "default/old"}[c.in]
			if c.kept && !strings.HasPrefix(why[0].Said, name+" runs there") {
				t.Errorf("said %q", why[0].Said)
			}
			if !c.kept {
				return
			}
			v, _ := w.State.Verdict(k)
			want := map[bool]string{true: "node(s) didn't satisfy existing pods anti-affinity rules", false: "node(s) didn't match pod anti-affinity rules"}[c.comes == ""]
			if v == nil || v.Reasons[0].Said != "0/1 nodes are available: 1 "+want+"." || v.Reasons[1].Said != why[0].Said {
				t.Errorf("verdict %+v", v)
			}
			w.Stopped(w.Get(stage.PodKey("old")))
			schedule(t, w)
			if w.Row(w.Get(k)).Node != "node1" {
				t.Error("the other one is gone, and it still waits")
			}
		})
	}
}

// owned makes pods of a replica set.
func owned(w *stage.World, set string, pods int, more string) {
	w.Apply(stage.In(events.ReplicaSets, set), `{"metadata":{"name":"`+set+`","namespace":"default"},"spec":{"selector":{"matchLabels":{"app":"`+set+`"}}}}`)
	rs := w.Get(stage.In(events.ReplicaSets, set))
	for i := range pods {
		name := fmt.Sprintf("%s-%d", set, i)
		w.Do(reconcilers.Create(stage.PodKey(name), events.Created{Owner: &events.Owner{Resource: events.ReplicaSets, Name: set, UID: rs.UID},
			Object: []byte(`{"metadata":{"name":"` + name + `","labels":{"app":"` + set + `"}},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"100m"}}}]` + more + `}}`)}))
	}
}

// Pods of a set, and of a service, go to where none of their like are, even when
// others have more room; Kubernetes calls that the default constraints.
func TestSpreadByDefault(t *testing.T) {
	world := func() *stage.World {
		w := stage.New()
		zoned(w, "n1 A", "n2 A", "n3 A", "n4 B")
		labelled(w, stage.PodKey("big"), "app=other", "") // n4 is the fullest
		w.Apply(stage.PodKey("big"), `{"metadata":{"name":"big","namespace":"default"},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"2","memory":"8Gi"}}}]}}`)
		w.Assign(w.Get(stage.PodKey("big")), "n4")
		return w
	}
	t.Run("a set", func(t *testing.T) {
		w := world()
		owned(w, "web", 4, "")
		schedule(t, w)
		for _, n := range []string{"n1", "n2", "n3", "n4"} {
			if u := w.State.Used(n); u.Pods != map[string]int{"n4": 2}[n]+map[string]int{"n1": 1, "n2": 1, "n3": 1}[n] {
				t.Errorf("%s has %d", n, u.Pods)
			}
		}
	})
	t.Run("a service", func(t *testing.T) {
		w := world()
		w.Apply(stage.In(events.Services, "web"), `{"metadata":{"name":"web","namespace":"default"},"spec":{"selector":{"app":"web"}}}`)
		for i := range 4 {
			labelled(w, stage.PodKey(fmt.Sprintf("p%d", i)), "app=web", "")
		}
		schedule(t, w)
		if u := w.State.Used("n4"); u.Pods != 2 {
			t.Errorf("n4 has %d", u.Pods)
		}
	})
	t.Run("neither", func(t *testing.T) {
		w := world()
		for i := range 4 {
			labelled(w, stage.PodKey(fmt.Sprintf("p%d", i)), "app=web", "")
		}
		schedule(t, w)
		if u := w.State.Used("n4"); u.Pods != 1 {
			t.Errorf("n4 has %d", u.Pods)
		}
	})
}

// What is only preferred is made even: over zones of different sizes, and over
// nodes, however many pods there are.
func TestPreferredSpreadIsEven(t *testing.T) {
	for _, c := range []struct {
		name, rules string
		zones       [2]int // pods of each zone
	}{
		{"zones", spreads(`{"topologyKey":"` + zone + `","maxSkew":1,"whenUnsatisfiable":"ScheduleAnyway","labelSelector":{"matchLabels":{"app":"web"}}}`), [2]int{15, 15}},
		{"hosts", where("podAntiAffinity", `"`+favoured+`":[{"weight":100,"podAffinityTerm":`+term(host, "web", "")+`}]`), [2]int{20, 10}},
		{"together", where("podAffinity", `"`+favoured+`":[{"weight":100,"podAffinityTerm":`+term(zone, "web", "")+`}]`), [2]int{30, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := stage.New()
			zoned(w, "n1 A", "n2 A", "n3 A", "n4 A", "n5 B", "n6 B")
			for i := range 30 {
				labelled(w, stage.PodKey(fmt.Sprintf("p%02d", i)), "app=web", c.rules)
			}
			schedule(t, w)
			var got [2]int
			for i, n := range []string{"n1", "n2", "n3", "n4", "n5", "n6"} {
				got[i/4] += w.State.Used(n).Pods
			}
			if got != c.zones {
				t.Errorf("zones have %v, want %v", got, c.zones)
			}
		})
	}
}
