package schedule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

const (
	zone = "topology.kubernetes.io/zone"
	host = "kubernetes.io/hostname"
)

// drawn draws a world of nodes and pods for the slow scheduler and the real one.
type drawn struct {
	*rapid.T
	w     *stage.World
	slow  *slow
	asked *bool // something changed that asks for a pass
}

func (d drawn) one(what string, of ...string) string { return rapid.SampledFrom(of).Draw(d.T, what) }

func (d drawn) node(name string) {
	n := &slowNode{name: name, labels: map[string]string{}, milli: int64(1000 * rapid.IntRange(1, 6).Draw(d.T, "cpu"))}
	d.w.Node(name, fmt.Sprintf("%dm", n.milli), "8Gi")
	if d.one("hostname", "yes", "yes", "yes", "no") == "yes" {
		n.labels[host] = name
	}
	if z := d.one("zone", "a", "b", "c", ""); z != "" {
		n.labels[zone] = z
	}
	n.labels["disk"] = d.one("disk", "ssd", "ssd", "hdd")
	switch d.one("spec", "plain", "plain", "plain", "tainted", "cordoned") {
	case "tainted":
		n.taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
	case "cordoned":
		n.cordoned = true
	}
	spec := corev1.NodeSpec{Taints: n.taints, Unschedulable: n.cordoned}
	d.w.Apply(stage.NodeKey(name), string(events.MustBody(map[string]any{"metadata": map[string]any{"name": name, "labels": n.labels}, "spec": spec})))
	d.slow.nodes = append(d.slow.nodes, n)
}

func (d drawn) selector() string {
	return d.one("selector", `"labelSelector":{"matchLabels":{"app":"a"}}`, `"labelSelector":{"matchLabels":{"app":"b"}}`, `"labelSelector":{}`, `"x":0`,
		`"labelSelector":{"matchExpressions":[{"key":"app","operator":"In","values":["a","c"]}]}`,
		`"labelSelector":{"matchExpressions":[{"key":"app","operator":"NotIn","values":["a"]}]}`,
		`"labelSelector":{"matchExpressions":[{"key":"app","operator":"Exists"}]}`,
		`"labelSelector":{"matchExpressions":[{"key":"version","operator":"DoesNotExist"}]}`,
		`"labelSelector":{"matchLabels":{"app":"a"}},"matchLabelKeys":["version"]`)
}

func (d drawn) term() string {
	where := d.one("where", "", "", `,"namespaces":["other"]`, `,"namespaceSelector":{}`, `,"namespaceSelector":{"matchLabels":{"team":"x"}}`,
		`,"namespaces":["default"],"namespaceSelector":{"matchLabels":{"team":"y"}}`)
	s := d.selector()
	if strings.Contains(s, `"labelSelector":{"matchLabels":{"app":"b"}}`) {
		s += d.one("mismatch", "", `,"mismatchLabelKeys":["version"]`)
	}
	return fmt.Sprintf(`{"topologyKey":%q,%s%s}`, d.one("key", zone, zone, host, "disk"), s, where)
}

func (d drawn) constraint() string {
	more := d.one("min", "", "", `,"minDomains":3`) + d.one("affinity policy", "", `,"nodeAffinityPolicy":"Ignore"`) + d.one("taints policy", "", `,"nodeTaintsPolicy":"Honor"`)
	s := d.selector()
	return fmt.Sprintf(`{"topologyKey":%q,"maxSkew":%s,"whenUnsatisfiable":"DoNotSchedule",%s%s}`, d.one("key", zone, zone, host), d.one("skew", "1", "1", "2"), s, more)
}

// rules are what a pod says of where it wants to be, beside what a node has.
func (d drawn) rules() string {
	out := d.one("selects", "", "", "", `,"nodeSelector":{"disk":"ssd"}`) + d.one("tolerates", "", "", `,"tolerations":[{"key":"k","operator":"Exists"}]`)
	var affinity []string
	for _, kind := range []string{"podAffinity", "podAntiAffinity"} {
		if rapid.IntRange(0, 3).Draw(d.T, kind) != 0 {
			continue
		}
		terms := []string{d.term()}
		if rapid.IntRange(0, 3).Draw(d.T, "two") == 0 {
			terms = append(terms, d.term())
		}
		affinity = append(affinity, fmt.Sprintf(`%q:{"requiredDuringSchedulingIgnoredDuringExecution":[%s],"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":%d,"podAffinityTerm":%s}]}`,
			kind, strings.Join(terms, ","), rapid.IntRange(1, 100).Draw(d.T, "weight"), d.term()))
	}
	if len(affinity) > 0 {
		out += `,"affinity":{` + strings.Join(affinity, ",") + `}`
	}
	if rapid.IntRange(0, 2).Draw(d.T, "spreads") == 0 {
		constraints := []string{d.constraint()}
		if rapid.IntRange(0, 2).Draw(d.T, "twice") == 0 {
			constraints = append(constraints, d.constraint())
		}
		out += `,"topologySpreadConstraints":[` + strings.Join(constraints, ",") + `]`
	}
	return strings.ReplaceAll(out, `"x":0,`, "")
}

// kind makes equal pods that wait, of one template or each with a body of its own.
func (d drawn) kind(i int) {
	labels := d.one("labels", `{"app":"a"}`, `{"app":"a","version":"1"}`, `{"app":"a","version":"2"}`, `{"app":"b"}`, `{"app":"b","version":"1"}`, `{"other":"x"}`)
	spec := fmt.Sprintf(`"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":%q}}}]%s}`, d.one("ask", "100m", "100m", "1"), d.rules())
	raw := []byte(`{"metadata":{"labels":` + labels + `},` + spec + `}`)
	space, whole := d.one("namespace", "default", "default", "other"), rapid.Bool().Draw(d.T, "whole")
	if !whole {
		d.w.Do(reconcilers.StoreTemplate(raw))
	}
	for j := range rapid.IntRange(1, 5).Draw(d.T, "pods") {
		k := events.Key{Resource: events.Pods, Namespace: space, Name: fmt.Sprintf("p%d-%d", i, j)}
		full := fmt.Sprintf(`{"metadata":{"name":%q,"namespace":%q,"labels":%s},%s}`, k.Name, space, labels, spec)
		if whole {
			d.w.Apply(k, full)
		} else {
			d.w.Do(reconcilers.Create(k, events.Created{Template: events.HashOf(raw), Object: []byte(`{"metadata":{"name":"` + k.Name + `"}}`)}))
		}
		p := &slowPod{Pod: &corev1.Pod{}}
		if err := json.Unmarshal([]byte(full), p.Pod); err != nil {
			d.Fatal(err)
		}
		d.slow.pods = append(d.slow.pods, p)
	}
}

func (s *slow) pod(k events.Key) *slowPod {
	for _, p := range s.pods {
		if p.Namespace == k.Namespace && p.Name == k.Name {
			return p
		}
	}
	return nil
}

// order is the one in which a pass takes pods: those of the kind with the oldest
// pod first.
func order(w *stage.World) []*projections.Object {
	waiting := w.Pods()
	waiting = slices.DeleteFunc(waiting, func(o *projections.Object) bool { return w.Row(o).Node != "" || o.Deletion != nil })
	slices.SortFunc(waiting, func(a, b *projections.Object) int { return int(a.Created.Seq) - int(b.Created.Seq) })
	var out []*projections.Object
	for len(waiting) > 0 {
		first, rest := waiting[0], []*projections.Object(nil)
		for _, o := range waiting {
			if o == first || o.Template != nil && first.Template == o.Template && first.Key.Namespace == o.Key.Namespace {
				out = append(out, o)
			} else {
				rest = append(rest, o)
			}
		}
		waiting = rest
	}
	return out
}

// pass runs one pass and judges every assignment at its moment.
func (d drawn) pass() bool {
	before := order(d.w)
	decision := Reconciler{}.Decide(d.w.State, Pass, d.w.Now)
	d.w.Do(decision.Events...)
	for _, o := range before {
		p := d.slow.pod(o.Key)
		node := d.w.Row(d.w.Get(o.Key)).Node
		if node == "" {
			continue
		}
		if code := d.slow.refuses(p, d.slow.on(node)); code != "" {
			d.Fatalf("%s got %s, and should not: %s", o.Key, node, code)
		}
		p.node = node
	}
	return decision.More
}

// settle runs passes as they are asked for: by what changes, and by passes themselves.
func (d drawn) settle() {
	for range 20 {
		if !*d.asked {
			return
		}
		*d.asked = false
		more := d.pass()
		*d.asked = *d.asked || more
	}
	d.Fatal("never quiet")
}

// waits judges those that are left: no node could take them, and each node's first
// no is the one that people are told.
func (d drawn) waits() {
	for _, o := range order(d.w) {
		p, why := d.slow.pod(o.Key), Explain(d.w.State, o.Key)
		for i, n := range d.slow.nodes {
			code := d.slow.refuses(p, n)
			if code == "" {
				d.Fatalf("%s waits, and %s would take it; explained as %v", o.Key, n.name, why)
			}
			if len(why) != len(d.slow.nodes) || why[i].Code != code || why[i].About.Name != n.name {
				d.Fatalf("%s on %s: %s, explained as %v", o.Key, n.name, code, why)
			}
		}
	}
}

// leave lets some pods begin to leave, or go.
func (d drawn) leave() {
	for _, p := range slices.Clone(d.slow.pods) {
		k := events.Key{Resource: events.Pods, Namespace: p.Namespace, Name: p.Name}
		o := d.w.Get(k)
		if p.node == "" {
			continue
		}
		switch d.one("leaves", "no", "no", "yes", "gone") {
		case "yes":
			d.w.Delete(k)
			p.leaving = true
		case "gone":
			d.w.Stopped(o)
			d.slow.pods = slices.DeleteFunc(d.slow.pods, func(x *slowPod) bool { return x == p })
		}
	}
}

// Every assignment is right at its moment, as is every refusal, whatever pods ask
// of each other: a slow scheduler that looks at all pods each time says so.
func TestSlowAndFastAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawn{t, stage.New(), &slow{spaces: map[string]map[string]string{"default": {"team": "x"}, "other": {"team": "y"}}}, new(bool)}
		d.w.OnFold = func(_ events.Envelope, changes []projections.Change) {
			*d.asked = *d.asked || slices.ContainsFunc(changes, func(c projections.Change) bool { return len((Reconciler{}).Keys(d.w.State, c)) > 0 })
		}
		for _, name := range []string{"default", "other"} {
			d.w.Apply(events.Key{Resource: events.Namespaces, Name: name}, string(events.MustBody(map[string]any{"metadata": map[string]any{"name": name, "labels": d.slow.spaces[name]}})))
		}
		for i := range rapid.IntRange(1, 7).Draw(t, "nodes") {
			d.node(fmt.Sprintf("n%d", i))
		}
		for round := range rapid.IntRange(1, 2).Draw(t, "rounds") {
			for i := range rapid.IntRange(1, 5).Draw(t, "kinds") {
				d.kind(round*10 + i)
			}
			d.settle()
			d.waits()
			d.leave()
		}
		d.settle()
		d.waits()
		if d.w.State.Void != 0 {
			t.Fatal("void events")
		}
	})
}
