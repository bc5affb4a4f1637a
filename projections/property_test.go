package projections_test

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/foldtest"
)

// random draws a log over few names, so that lives, owners and nodes meet, with
// all kinds of events that come too late or name what is not there.
func random(t *rapid.T) *foldtest.Log {
	l := foldtest.New()
	l.Lease("a")
	l.Node("n1", foldtest.Facts)
	l.Node("n2", foldtest.Facts)
	l.Create(foldtest.Service, `{"spec":{"selector":{"app":"nginx"},"ports":[{"port":80,"targetPort":80}]}}`)
	g := &drawing{t: t, l: l}
	for range rapid.IntRange(5, 60).Draw(t, "events") {
		l.Pass(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
		g.step()
	}
	return l
}

type drawing struct {
	t     *rapid.T
	l     *foldtest.Log
	lives int
}

func (g *drawing) n(most int, what string) int { return rapid.IntRange(0, most).Draw(g.t, what) }

func (g *drawing) pod() events.Key { return foldtest.Pod(g.n(4, "pod")) }
func (g *drawing) node() string    { return fmt.Sprintf("n%d", g.n(1, "node")+1) }
func (g *drawing) set() events.Key {
	return foldtest.Key(events.ReplicaSets, fmt.Sprintf("rs%d", g.n(1, "rs")))
}
func (g *drawing) deployment() events.Key {
	return foldtest.Key(events.Deployments, fmt.Sprintf("d%d", g.n(1, "deployment")))
}

// owner names what a key controls from now on: its present life, or an older one.
func (g *drawing) owner(k events.Key) *events.Owner {
	w := &events.Owner{Resource: k.Resource, Name: k.Name, UID: "gone"}
	if o, ok := g.l.State.Get(k); ok && g.n(9, "old owner") > 0 {
		w.UID = o.UID
	}
	return w
}

func (g *drawing) create(k events.Key, w *events.Owner, object string) {
	g.lives++
	g.l.Spec(k, events.VerbCreated, foldtest.Person, 0, events.Created{UID: foldtest.UID(k, g.lives), Owner: w, Object: []byte(object)})
}

func (g *drawing) change(k events.Key, w *events.Owner, object string) {
	b := events.Changed{Owner: w, Object: []byte(object)}
	if o, ok := g.l.State.Get(k); ok {
		b.UID, b.Generation = o.UID, o.Generation+1
	}
	g.l.Spec(k, events.VerbChanged, foldtest.Person, 0, b)
}

func (g *drawing) step() {
	l := g.l
	switch g.n(18, "what") {
	case 0:
		g.create(g.deployment(), nil, foldtest.DeploymentJSON(g.n(3, "replicas"), ""))
	case 1:
		g.create(g.set(), g.owner(g.deployment()), foldtest.ReplicaSetJSON(2, ""))
	case 2:
		g.change(g.set(), g.owner(g.deployment()), foldtest.ReplicaSetJSON(g.n(3, "replicas"), ""))
	case 3, 4:
		g.create(g.pod(), g.owner(g.set()), foldtest.Template(""))
	case 5:
		g.change(g.pod(), g.owner(g.set()), foldtest.Template(`,"x":"y"`))
	case 6, 7:
		l.Assign(g.node(), g.pod(), g.pod())
	case 8, 9:
		g.facts()
	case 10:
		l.Delete(g.pod(), foldtest.Person, 30)
	case 11:
		l.Remove([]events.Key{g.pod(), g.set(), g.deployment(), g.service(), g.quota()}[g.n(4, "removed")])
	case 12:
		l.Heard(g.node(), g.n(1, "heard") == 1)
	case 13, 14:
		g.selecting()
	case 18:
		g.limiting()
	case 17:
		l.Cut(events.Seq(g.n(int(l.State.Seq)+1, "first")))
	case 15:
		l.Lease("b")
		l.Add(events.Envelope{Subject: events.SpecSubject(g.pod()), Type: "pods.created", Epoch: 1, Body: events.MustBody(events.Created{UID: "late"})})
	case 16:
		w := newWish(events.ChangeID(fmt.Sprint("w", l.State.Seq)), 3)
		w.ask(l, 2)
		w.goOn(l, g.n(3, "landed"))
	}
}

// service is one of two.
func (g *drawing) service() events.Key {
	return foldtest.Key(events.Services, []string{"nginx-service", "other"}[g.n(1, "service")])
}

// quota is one of two.
func (g *drawing) quota() events.Key {
	return foldtest.Key(events.Quotas, fmt.Sprintf("q%d", g.n(1, "quota")))
}

// limiting creates or changes a quota.
func (g *drawing) limiting() {
	hard := []string{`"pods":"3"`, `"count/pods":"1","count/replicasets.apps":"2"`, `"limits.cpu":"1","requests.memory":"1Gi","resourcequotas":"5"`,
		`"services":"1","services.nodeports":"2","count/deployments.apps":"3"`}[g.n(3, "hard")]
	scopes := []string{`[]`, `["BestEffort"]`}[g.n(1, "scopes")]
	k, object := g.quota(), `{"spec":{"hard":{`+hard+`},"scopes":`+scopes+`}}`
	if _, ok := g.l.State.Get(k); ok {
		g.change(k, nil, object)
		return
	}
	g.create(k, nil, object)
}

// selecting creates or changes a service by a selector.
func (g *drawing) selecting() {
	selector := []string{`{}`, `{"app":"nginx"}`, `{"app":"nginx","x":"y"}`, `{"x":"y"}`, `{"a":"b","app":"nginx"}`}[g.n(4, "selector")]
	k, object := g.service(), `{"spec":{"selector":`+selector+`,"ports":[{"port":80}]}}`
	if _, ok := g.l.State.Get(k); ok {
		g.change(k, nil, object)
		return
	}
	g.create(k, nil, object)
}

// facts has a node say something about a pod, often out of turn.
func (g *drawing) facts() {
	k := g.pod()
	p, ok := g.l.State.PodOf(k)
	if !ok {
		return
	}
	seen := events.PodSeen{Namespace: k.Namespace, Name: k.Name, UID: p.UID, Assigned: p.Assigned.Seq}
	if g.n(9, "stale") == 0 {
		seen.Assigned--
	}
	kinds := []events.FactKind{events.FactSandbox, events.FactPulled, events.FactPullFailed, events.FactStarted, events.FactStarted, events.FactReady,
		events.FactReady, events.FactUnready, events.FactExited, events.FactBackoff, events.FactNotStarted, events.FactStopping, events.FactStopped, events.FactFailed}
	for range g.n(4, "facts") + 1 {
		seen.Facts = append(seen.Facts, events.Fact{Kind: kinds[g.n(len(kinds)-1, "fact")], Container: "nginx", Run: g.n(3, "run"), IP: "10.244.0.9"})
	}
	g.l.Flush(g.node(), events.Seen{Pods: []events.PodSeen{seen}})
}

func refold(log []events.Envelope, s projections.State) projections.State {
	for _, e := range log {
		s, _ = projections.Apply(s, e)
	}
	return s
}

// The same log gives the same state, wherever it is cut, and a snapshot never changes.
func TestFoldIsAFunctionOfTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := random(t)
		whole := l.State.Dump()
		cut := rapid.IntRange(0, len(l.Events)).Draw(t, "cut")
		half := refold(l.Events[:cut], projections.Empty())
		before := half.Dump()
		if got := refold(l.Events[cut:], half).Dump(); !bytes.Equal(got, whole) {
			t.Fatalf("cut at %d:\n%s\nwhole:\n%s", cut, got, whole)
		}
		if !bytes.Equal(half.Dump(), before) {
			t.Fatal("folding on changed a snapshot")
		}
	})
}

// What the fold keeps up to date is what a count from scratch gives.
func TestSumsEqualARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := random(t).State
		tally, used := map[events.Key]projections.Tally{}, map[string]projections.Usage{}
		for o := range s.List(events.Pods, "") {
			p, ok := s.PodOf(o.Key)
			if !ok || p.UID != o.UID {
				t.Fatalf("%s has no row of its node, or another life's", o.Key)
			}
			if p.Holds(o) {
				used[p.Node] = used[p.Node].Add(projections.Asks(o.PodSpec()), 1)
			}
			countUp(s, o, p, tally)
		}
		for o := range s.All() {
			if o.Key.Resource != events.Pods && o.Tally != tally[o.Key] {
				t.Fatalf("tally of %s is %+v, recount %+v", o.Key, o.Tally, tally[o.Key])
			}
		}
		for _, n := range []string{"n1", "n2"} {
			if s.Used(n) != used[n] {
				t.Fatalf("usage of %s is %+v, recount %+v", n, s.Used(n), used[n])
			}
		}
	})
}

// countUp adds a pod to everything above it.
func countUp(s projections.State, o *projections.Object, p *projections.Pod, tally map[events.Key]projections.Tally) {
	one := projections.Tally{Pods: 1}
	over := !p.Stopped.IsZero() || p.Failed != nil
	switch {
	case over && o.Deletion != nil:
		return
	case o.Deletion != nil:
		one = projections.Tally{Terminating: 1}
	case p.Failed != nil:
		one = projections.Tally{Failed: 1}
	case over:
		one = projections.Tally{}
	case !p.ReadySince.IsZero() && !p.Lost:
		one.Ready = 1
	}
	if own := projections.As[*corev1.Pod](o).Labels; o.Deletion == nil && (o.Template == nil || !maps.Equal(own, o.Template.Pod().Labels)) {
		one.Apart = 1
	}
	for o.Owner != nil {
		k := foldtest.Key(o.Owner.Resource, o.Owner.Name)
		owner, ok := s.Get(k)
		if !ok || owner.UID != o.Owner.UID {
			return
		}
		sum := tally[k]
		tally[k] = projections.Tally{Pods: sum.Pods + one.Pods, Ready: sum.Ready + one.Ready, Terminating: sum.Terminating + one.Terminating,
			Failed: sum.Failed + one.Failed, Apart: sum.Apart + one.Apart}
		o = owner
	}
}

func TestIndexesEqualARecount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := random(t).State
		children, placed := map[events.UID][]events.Key{}, map[string][]events.Key{}
		for o := range s.All() {
			var owner events.UID
			if o.Owner != nil {
				owner = o.Owner.UID
			}
			children[owner] = append(children[owner], o.Key)
			if p, ok := s.PodOf(o.Key); ok && o.Key.Resource == events.Pods {
				placed[p.Node] = append(placed[p.Node], o.Key)
			}
		}
		for _, uid := range slices.Sorted(maps.Keys(children)) {
			var got []events.Key
			for o := range s.Children(uid) {
				got = append(got, o.Key)
			}
			if !slices.Equal(got, children[uid]) {
				t.Fatalf("children of %s: %v, recount %v", uid, got, children[uid])
			}
		}
		for o := range s.List(events.Pods, "default") {
			var selecting []*projections.Object
			for svc := range s.List(events.Services, "default") {
				if sel := projections.As[*corev1.Service](svc).Spec.Selector; len(sel) > 0 && labels.SelectorFromSet(sel).Matches(labels.Set(o.PodLabels())) {
					selecting = append(selecting, svc)
				}
			}
			got := slices.SortedFunc(s.ServicesOf(o), func(a, b *projections.Object) int { return strings.Compare(a.Key.Name, b.Key.Name) })
			if !slices.Equal(got, selecting) {
				t.Fatalf("services of %s: %v, recount %v", o.Key, got, selecting)
			}
			if o.Owner == nil && !slices.Contains(slices.Collect(s.Orphans(events.Pods, "default")), o) {
				t.Fatalf("%s is not among the orphans", o.Key)
			}
		}
		for _, n := range []string{"", "n1", "n2"} {
			var got []events.Key
			for p := range s.PodsOn(n) {
				got = append(got, p.Key)
			}
			if !slices.Equal(got, placed[n]) {
				t.Fatalf("pods on %q: %v, recount %v", n, got, placed[n])
			}
		}
	})
}

// Positions grow, every changed row gets one of its own, and a change tells
// what the row was and is.
func TestChangesTellTheTruth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := random(t)
		s := projections.Empty()
		for _, e := range l.Events {
			before := s
			var changes []projections.Change
			s, changes = projections.Apply(s, e)
			last := events.Position(0)
			told := map[events.Key]bool{}
			for _, c := range changes {
				if c.Position <= last || c.Position.Seq() != e.Seq {
					t.Fatalf("event %d: position %d after %d", e.Seq, c.Position, last)
				}
				last = c.Position
				if now, ok := s.Get(c.Key); ok != (c.After != nil) || ok && now.Position != c.Position && !told[c.Key] && len(told) == len(changes) {
					t.Fatalf("event %d: %s is %v, told %v", e.Seq, c.Key, now, c.After)
				}
				if was, ok := before.Get(c.Key); !told[c.Key] && ok != (c.Before != nil) || ok && !told[c.Key] && was.Position != c.Before.Position {
					t.Fatalf("event %d: %s was %v, told %v", e.Seq, c.Key, was, c.Before)
				}
				told[c.Key] = true
			}
			unchanged(t, before, s, told)
		}
	})
}

// unchanged holds that nothing changed that was not told of.
func unchanged(t *rapid.T, before, after projections.State, told map[events.Key]bool) {
	for o := range after.All() {
		was, ok := before.Get(o.Key)
		if !told[o.Key] && (!ok || was.Position != o.Position || was.Tally != o.Tally) {
			t.Fatalf("%s changed without being told of", o.Key)
		}
	}
}

// What people look at is decoded once and shared: nothing may write to it.
func TestLookingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := random(t)
		typed := map[events.Key]string{}
		for o := range l.State.All() {
			typed[o.Key] = string(events.MustBody(o.Typed()))
			if v := o.Typed(); v.GetResourceVersion() != o.Position.String() || v.GetName() != o.Key.Name {
				t.Fatalf("%s at %d is shown as %s at %s", o.Key, o.Position, v.GetName(), v.GetResourceVersion())
			}
		}
		dump := l.State.Dump()
		var shown [2][]string
		for i := range shown {
			for _, kind := range events.Kinds {
				for v := range l.State.Objects(kind.Resource, "", l.Now) {
					shown[i] = append(shown[i], string(events.MustBody(v)))
					v.SetName("spoiled") // the caller's own
				}
			}
			for o := range l.State.All() {
				peeked, v := l.State.Peek(o, l.Now), l.State.ObjectOf(o, l.Now)
				if got, want := string(events.MustBody(peeked)), string(events.MustBody(v)); got != want {
					t.Fatalf("%s is at a glance\n%s\nand is\n%s", o.Key, got, want)
				}
				if m := v.GetLabels(); m != nil {
					m["spoiled"] = "yes" // all of it is the caller's
				}
			}
			projections.DesiredFor(l.State, "n1")
			projections.NetAll(l.State)
		}
		if !slices.Equal(shown[0], shown[1]) {
			t.Fatalf("the second look differs:\n%s\n%s", shown[0], shown[1])
		}
		for o := range l.State.All() {
			if got := string(events.MustBody(o.Typed())); got != typed[o.Key] {
				t.Fatalf("%s was spoiled: %s", o.Key, got)
			}
		}
		if !bytes.Equal(l.State.Dump(), dump) {
			t.Fatal("looking changed the state")
		}
	})
}

// The extras that rows share have nothing in them, whatever happened: who changes a row's has a copy of its own.
func TestSharedExtrasAreNobodys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := random(t)
		rows := map[*projections.Extras][]events.Key{}
		for o := range l.State.All() {
			rows[o.Extras] = append(rows[o.Extras], o.Key)
		}
		for x, of := range rows {
			if len(of) > 1 && !reflect.ValueOf(*x).IsZero() {
				t.Fatalf("%v share %+v", of, *x)
			}
		}
		pods := map[*projections.PodExtras][]events.Key{}
		for o := range l.State.List(events.Pods, "") {
			if p, ok := l.State.PodOf(o.Key); ok {
				pods[p.PodExtras] = append(pods[p.PodExtras], o.Key)
			}
		}
		for x, of := range pods {
			if len(of) > 1 && *x != (projections.PodExtras{}) {
				t.Fatalf("%v share %+v", of, *x)
			}
		}
	})
}
