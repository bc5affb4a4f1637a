package projections_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

var defaultNamespace = events.Key{Resource: events.Namespaces, Name: "default"}

// isolating creates, changes or removes a policy, or gives the namespace other labels.
func (g *drawing) isolating() {
	k := foldtest.Key(events.NetworkPolicies, fmt.Sprintf("p%d", g.n(1, "policy")))
	peers := []string{`[]`, `[{"podSelector":{"matchLabels":{"app":"nginx"}}}]`, `[{"podSelector":{"matchLabels":{"x":"y"}}},{"ipBlock":{"cidr":"10.0.0.0/8"}}]`,
		`[{"namespaceSelector":{"matchLabels":{"team":"a"}}}]`, `[{"namespaceSelector":{},"podSelector":{"matchExpressions":[{"key":"x","operator":"DoesNotExist"}]}}]`}[g.n(4, "peers")]
	object := []string{`{"spec":{"podSelector":{},"policyTypes":["Ingress"],"ingress":[{"from":` + peers + `}]}}`,
		`{"spec":{"podSelector":{},"policyTypes":["Egress"],"egress":[{"to":` + peers + `,"ports":[{"protocol":"TCP","port":"web"}]}]}}`,
		`{"metadata":{"labels":{"team":"a"}}}`, `{"metadata":{"labels":{"team":"b"}}}`}[g.n(3, "object")]
	if object[2:6] == "meta" {
		k = defaultNamespace
	} else if g.n(5, "removed") == 0 {
		g.l.Remove(k)
		return
	}
	if _, ok := g.l.State.Get(k); ok {
		g.change(k, nil, object)
		return
	}
	g.create(k, nil, object)
}

// addressing makes a pod with an address, or gives one other labels, ends it or takes it away.
func (g *drawing) addressing() {
	i := g.n(3, "addressed")
	k := foldtest.Pod(i)
	body := foldtest.Template([]string{``, `,"x":"y"`}[g.n(1, "labels")])
	p, ok := g.l.State.PodOf(k)
	if !ok {
		g.create(k, nil, body)
		g.l.Assign("n1", k)
		p, _ = g.l.State.PodOf(k)
	}
	say := func(f events.Fact) {
		g.l.Flush("n1", events.Seen{Pods: []events.PodSeen{{Namespace: k.Namespace, Name: k.Name, UID: p.UID, Assigned: p.Assigned.Seq, Facts: []events.Fact{f}}}})
	}
	switch g.n(5, "address") {
	case 0, 1:
		g.change(k, nil, body)
	case 2:
		say(events.Fact{Kind: events.FactStopped})
	case 3:
		g.l.Remove(k)
	default:
		say(events.Fact{Kind: events.FactSandbox, IP: fmt.Sprintf("10.244.0.%d", 10+i)})
	}
}

// TestPolicyRowsFollow: whoever puts and drops the rows that changes are said to concern, however many of them at once, has
// the rows that there are.
func TestPolicyRowsFollow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := foldtest.New()
		l.Lease("a")
		l.Node("n1", foldtest.Facts)
		l.Node("n2", foldtest.Facts)
		g := &drawing{t: t, l: l}
		g.create(defaultNamespace, nil, `{}`)
		for range rapid.IntRange(5, 60).Draw(t, "events") {
			l.Pass(time.Second)
			switch g.n(5, "isolating") {
			case 0, 1:
				g.isolating()
			case 2:
				g.step()
			default:
				g.addressing()
			}
		}
		s, kept := projections.Empty(), map[events.Key]projections.NetPolicy{}
		var gathered []projections.Change
		for i, e := range l.Events {
			var changes []projections.Change
			s, changes = projections.Apply(s, e)
			gathered = append(gathered, changes...)
			if i < len(l.Events)-1 && rapid.IntRange(0, 2).Draw(t, "gather") == 0 {
				continue
			}
			changed, dropped := projections.PolicyChanges(s, gathered)
			gathered = nil
			for _, k := range changed {
				kept[k], _ = projections.PolicyRow(s, k)
			}
			for _, k := range dropped {
				delete(kept, k)
			}
			all := projections.NetAll(s).Policies
			if len(all) != len(kept) {
				t.Fatalf("event %d: %d kept of %d", e.Seq, len(kept), len(all))
			}
			for _, row := range all {
				if !reflect.DeepEqual(kept[row.Key], row) {
					t.Fatalf("event %d, %s: kept %+v, is %+v", e.Seq, row.Key, kept[row.Key], row)
				}
			}
		}
	})
}

// TestPolicyRow: peers are those that have an address of their own and run; ports are ranges, or names for whoever has them.
func TestPolicyRow(t *testing.T) {
	l := foldtest.Nginx(3)
	l.Create(defaultNamespace, `{"metadata":{"labels":{"team":"a"}}}`)
	k := foldtest.Key(events.NetworkPolicies, "web")
	l.Create(k, `{"spec":{"podSelector":{"matchLabels":{"app":"db"}},"policyTypes":["Ingress","Egress"],
		"ingress":[{"from":[{"podSelector":{"matchLabels":{"app":"nginx"}}},{"ipBlock":{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}}],
			"ports":[{"port":80},{"protocol":"UDP","port":1000,"endPort":2000},{"protocol":"SCTP"},{"port":"web"}]},{}]}}`)
	row, ok := projections.PolicyRow(l.State, k)
	raw, err := json.Marshal(row.Ingress)
	if !ok || err != nil || row.Egress == nil || len(row.Egress.Rules) != 0 || row.Selector.MatchLabels["app"] != "db" {
		t.Fatalf("%+v, %v", row, err)
	}
	const want = `{"rules":[{"ports":[{"protocol":"TCP","first":80,"last":80},{"protocol":"UDP","first":1000,"last":2000},{"protocol":"SCTP","last":65535},{"protocol":"TCP","name":"web"}],` +
		`"hosts":[{"ip":"10.244.0.5"},{"ip":"10.244.0.6"},{"ip":"10.244.0.7"}],"blocks":[{"cidr":"10.0.0.0/8","except":["10.1.0.0/16"]}]},{"anyone":true}]}`
	if string(raw) != want {
		t.Errorf("%s", raw)
	}
	if _, ok := projections.PolicyRow(l.State, foldtest.Service); ok {
		t.Error("a service is a policy")
	}
}
