package gc

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/stage"
)

// keeper is a world in which the collector is asked for what it says concerns it.
type keeper struct {
	*stage.World
	asked []events.Key
}

func newKeeper() *keeper {
	k := &keeper{World: stage.New()}
	k.OnFold = func(_ events.Envelope, changes []projections.Change) {
		for _, c := range changes {
			k.asked = append(k.asked, Reconciler{}.Keys(k.State, c)...)
		}
	}
	return k
}

func (k *keeper) settle(t interface{ Fatal(...any) }) {
	for range 10_000 {
		if len(k.asked) == 0 {
			return
		}
		next := k.asked[0]
		k.asked = k.asked[1:]
		d := Reconciler{}.Decide(k.State, next, k.Now)
		if d.More {
			k.asked = append(k.asked, next)
		}
		k.Do(d.Events...)
	}
	t.Fatal("never quiet")
}

func (k *keeper) child(r events.Resource, name string, owner *projections.Object) *projections.Object {
	b := events.Created{Object: []byte(`{"metadata":{"name":"` + name + `"},"spec":{"containers":[{"name":"c"}]}}`)}
	if owner != nil {
		b.Owner = &events.Owner{Resource: owner.Key.Resource, Name: owner.Key.Name, UID: owner.UID}
	}
	k.Do(reconcilers.Create(stage.In(r, name), b))
	return k.Get(stage.In(r, name))
}

// family is a deployment, its replica set and pods, the first of which runs on n1.
func (k *keeper) family(pods int) (deployment, set *projections.Object) {
	k.Node("n1", "4", "8Gi")
	deployment = k.child(events.Deployments, "d", nil)
	set = k.child(events.ReplicaSets, "rs", deployment)
	for i := range pods {
		k.child(events.Pods, fmt.Sprintf("p%d", i), set)
	}
	if pods > 0 {
		k.Assign(k.Get(stage.PodKey("p0")), "n1")
	}
	return deployment, set
}

func (k *keeper) left() []string {
	var out []string
	for o := range k.State.All() {
		if o.Key.Resource != events.Nodes {
			out = append(out, o.Key.Name)
		}
	}
	return out
}

func TestCascades(t *testing.T) {
	for _, c := range []struct {
		name  string
		how   events.DeletionRequested
		first []string // left before the node answers
		then  []string // and after
	}{
		{"background", events.DeletionRequested{}, []string{"p0"}, nil},
		{"foreground", events.DeletionRequested{Foreground: true}, []string{"d", "p0", "rs"}, nil},
		{"orphan", events.DeletionRequested{Orphan: true}, []string{"p0", "p1", "p2", "rs"}, []string{"p0", "p1", "p2", "rs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper()
			d, set := k.family(3)
			k.DeleteWith(d.Key, c.how)
			k.settle(t)
			if got := k.left(); !slices.Equal(got, c.first) {
				t.Errorf("left %v, want %v", got, c.first)
			}
			k.Stopped(k.Get(stage.PodKey("p0")))
			k.settle(t)
			if got := k.left(); !slices.Equal(got, c.then) {
				t.Errorf("after the node's answer %v, want %v", got, c.then)
			}
			if o := k.Get(set.Key); o != nil && (o.Owner != nil || o.Deletion != nil) {
				t.Errorf("the orphan is %+v", o)
			}
		})
	}
}

func TestWhenAPodIsGone(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(k *keeper, o *projections.Object)
		gone bool
		code events.Code
	}{
		{"never assigned", func(*keeper, *projections.Object) {}, true, ""},
		{"its node has not answered", func(k *keeper, o *projections.Object) { k.Assign(o, "n1") }, false, "Stopping"},
		{"the deadline passed", func(k *keeper, o *projections.Object) { k.Assign(o, "n1"); k.Now = k.Now.Add(1e15) }, false, "Stopping"},
		{"its node is silent", func(k *keeper, o *projections.Object) { k.Assign(o, "n1"); k.Report("n1", false) }, false, "NodeSilent"},
		{"it stopped", func(k *keeper, o *projections.Object) { k.Assign(o, "n1"); k.Stopped(o) }, true, ""},
		{"its node was removed", func(k *keeper, o *projections.Object) {
			k.Assign(o, "n1")
			k.Do(reconcilers.Remove(k.Get(stage.NodeKey("n1"))))
		}, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKeeper()
			k.Node("n1", "4", "8Gi")
			o := k.child(events.Pods, "p", nil)
			k.Delete(o.Key)
			c.do(k, o)
			d := Reconciler{}.Decide(k.State, o.Key, k.Now)
			if c.code != "" && (len(d.Because) != 1 || d.Because[0].Code != c.code) {
				t.Errorf("because %v", d.Because)
			}
			k.settle(t)
			if gone := k.Get(o.Key) == nil; gone != c.gone {
				t.Errorf("gone %v", gone)
			}
		})
	}
}

func TestOwnersAreMeantByUID(t *testing.T) {
	k := newKeeper()
	_, set := k.family(2)
	k.Do(reconcilers.Remove(set))
	k.child(events.ReplicaSets, "rs", nil) // another life of the name
	k.settle(t)
	if o := k.Get(stage.PodKey("p0")); o == nil || o.Deletion == nil {
		t.Error("the new object inherited the children")
	}
	stray := k.child(events.Pods, "stray", set) // made by somebody who did not know yet
	k.settle(t)
	if k.Get(stray.Key) != nil {
		t.Error("a child of a former life stays")
	}
}

// A node that somebody removed runs nothing: what it had is asked to go, so that
// controllers replace it.
func TestPodsOfARemovedNodeGo(t *testing.T) {
	k := newKeeper()
	k.family(3)
	k.Node("n2", "4", "8Gi")
	k.Assign(k.Get(stage.PodKey("p1")), "n2")
	k.Ready(k.Get(stage.PodKey("p0")))
	k.settle(t)
	k.Do(reconcilers.Remove(k.Get(stage.NodeKey("n1"))))
	k.settle(t)
	if got := k.left(); !slices.Equal(got, []string{"d", "p1", "p2", "rs"}) {
		t.Errorf("left %v", got)
	}
	lost := projections.Change{Key: stage.PodKey("p1"), Before: k.Get(stage.PodKey("p1")), After: k.Get(stage.PodKey("p1"))}
	lost.PodAfter = &projections.Pod{Node: "nobody"} // what a start finds
	if got := (Reconciler{}).Keys(k.State, lost); !slices.Equal(got, []events.Key{lost.Key}) {
		t.Errorf("after a start %v is asked for", got)
	}
}

func TestLeftoversAreNamedUpToALimit(t *testing.T) {
	k := newKeeper()
	_, set := k.family(40)
	for _, o := range k.Pods() {
		k.Assign(o, "n1")
	}
	k.DeleteWith(set.Key, events.DeletionRequested{Foreground: true})
	k.settle(t)
	if d := (Reconciler{}).Decide(k.State, set.Key, k.Now); len(d.Because) != maxNamed || len(d.Events) != 0 {
		t.Errorf("%d reasons, %d events", len(d.Because), len(d.Events))
	}
}

func TestNothingElseIsTouched(t *testing.T) {
	k := newKeeper()
	k.family(3)
	k.child(events.ConfigMaps, "conf", nil)
	before := len(k.Log)
	for o := range k.State.All() {
		k.asked = append(k.asked, o.Key)
	}
	k.asked = append(k.asked, stage.PodKey("nobody"))
	k.settle(t)
	if len(k.Log) != before {
		t.Errorf("%v", k.Log[before:])
	}
}

func TestManyOrphansInPasses(t *testing.T) {
	k := newKeeper()
	_, set := k.family(250)
	k.DeleteWith(set.Key, events.DeletionRequested{Orphan: true})
	d := Reconciler{}.Decide(k.State, set.Key, k.Now)
	if len(d.Events) != reconcilers.MaxSteps || !d.More {
		t.Fatalf("%d events, more %v", len(d.Events), d.More)
	}
	k.settle(t)
	free := 0
	for _, o := range k.Pods() {
		if o.Owner == nil && o.Deletion == nil {
			free++
		}
	}
	if free != 250 || k.Get(set.Key) != nil {
		t.Errorf("%d are free, the set is %v", free, k.Get(set.Key))
	}
}

// Whatever order of deletions and answers: nothing is left of what was deleted
// in the end, nothing runs whose owner is gone, and no pod of a node vanishes
// before its node said so.
func TestNothingLeaksNothingVanishes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKeeper()
		k.Node("n1", "4", "8Gi")
		d := k.child(events.Deployments, "d", nil)
		for i := range rapid.IntRange(0, 3).Draw(t, "sets") {
			rs := k.child(events.ReplicaSets, fmt.Sprintf("rs%d", i), d)
			for j := range rapid.IntRange(0, 4).Draw(t, "pods") {
				k.child(events.Pods, fmt.Sprintf("p%d-%d", i, j), rs)
			}
		}
		answered := map[events.UID]bool{}
		wrap := k.OnFold
		k.OnFold = func(e events.Envelope, changes []projections.Change) {
			for _, c := range changes {
				if c.After == nil && c.PodBefore != nil && c.PodBefore.Node != "" && !answered[c.Before.UID] {
					t.Fatalf("%s vanished", c.Key)
				}
			}
			wrap(e, changes)
		}
		for range rapid.IntRange(0, 15).Draw(t, "steps") {
			if pods := k.Pods(); len(pods) > 0 {
				o := pods[rapid.IntRange(0, len(pods)-1).Draw(t, "pod")]
				switch rapid.IntRange(0, 2).Draw(t, "op") {
				case 0:
					k.Assign(o, "n1")
				case 1:
					k.Delete(o.Key)
				case 2:
					if k.Row(o).Node != "" {
						answered[o.UID] = true
						k.Stopped(o)
					}
				}
			}
			if rapid.Bool().Draw(t, "settle") {
				k.settle(t)
			}
		}
		k.DeleteWith(d.Key, events.DeletionRequested{Foreground: rapid.Bool().Draw(t, "foreground")})
		k.settle(t)
		for _, o := range k.Pods() {
			if o.Deletion == nil {
				t.Fatalf("%s lives on", o.Key)
			}
			answered[o.UID] = true
			k.Stopped(o)
		}
		k.settle(t)
		if got := k.left(); len(got) != 0 {
			t.Fatalf("left %v", got)
		}
	})
}

// hold puts a finalizer on an object, or takes what it has off.
func (k *keeper) hold(o *projections.Object, finalizers string) {
	b := reconcilers.Same(k.Get(o.Key))
	b.Object = []byte(`{"metadata":{"name":"` + o.Key.Name + `","finalizers":[` + finalizers + `]},"spec":{"containers":[{"name":"c"}]}}`)
	k.Do(reconcilers.Change(k.Get(o.Key), b))
}

// Whatever a deletion has to see to first, the finalizers of others come after it.
func TestFinalizersComeLast(t *testing.T) {
	for _, how := range []events.DeletionRequested{{}, {Foreground: true}, {Orphan: true}} {
		k := newKeeper()
		d, set := k.family(2)
		k.hold(d, `"x.io/one"`)
		k.DeleteWith(d.Key, how)
		k.Stopped(k.Get(stage.PodKey("p0")))
		k.settle(t)
		o := k.Get(d.Key)
		if o == nil {
			t.Fatalf("%+v: it is gone", how)
		}
		if o.Deletion.Foreground || o.Deletion.Orphan {
			t.Errorf("%+v: it shows what is done: %+v", how, o.Deletion)
		}
		// In the background the owner goes before its children, so these stay while it does.
		if s := k.Get(set.Key); (s == nil) != how.Foreground || how.Orphan && s.Owner != nil {
			t.Errorf("%+v: its child is %+v", how, s)
		}
		if b := (Reconciler{}).Decide(k.State, d.Key, k.Now).Because; len(b) != 1 || b[0].Code != "FinalizersRemaining" || b[0].What != "x.io/one" {
			t.Errorf("%+v: because %v", how, b)
		}
		k.hold(d, "")
		k.settle(t)
		if k.Get(d.Key) != nil {
			t.Errorf("%+v: nothing keeps it", how)
		}
	}
}

func TestAKeptPodWaitsForBoth(t *testing.T) {
	k := newKeeper()
	k.Node("n1", "4", "8Gi")
	o := k.child(events.Pods, "p", nil)
	k.hold(o, `"x.io/one"`)
	k.Assign(o, "n1")
	k.Delete(o.Key)
	code := func() events.Code { return Reconciler{}.Decide(k.State, o.Key, k.Now).Because[0].Code }
	if got := code(); got != "Stopping" {
		t.Errorf("because %s", got)
	}
	k.Stopped(o)
	k.settle(t)
	if got := code(); got != "FinalizersRemaining" {
		t.Errorf("because %s", got)
	}
	k.hold(o, "")
	k.settle(t)
	if k.Get(o.Key) != nil {
		t.Error("nothing keeps it")
	}
	forced := k.child(events.Pods, "q", nil)
	k.Assign(forced, "n1")
	k.DeleteWith(forced.Key, events.DeletionRequested{Force: true})
	k.settle(t)
	if k.Get(forced.Key) != nil {
		t.Error("nobody was to wait for its node")
	}
}

// Services take the Endpoints of their name with them: however many go at once, a decision holds no more than it may.
func TestManyServicesInPasses(t *testing.T) {
	k := newKeeper()
	owner := k.child(events.ConfigMaps, "owner", nil)
	k.child(events.ConfigMaps, "first", owner)
	for i := range 120 {
		name := fmt.Sprintf("s%d", i)
		k.child(events.Services, name, owner)
		k.Apply(stage.In(events.Endpoints, name), `{"metadata":{"name":"`+name+`"}}`)
	}
	k.DeleteWith(owner.Key, events.DeletionRequested{Foreground: true})
	if d := (Reconciler{}).Decide(k.State, owner.Key, k.Now); len(d.Events) > reconcilers.MaxSteps || !d.More {
		t.Fatalf("%d events, more %v", len(d.Events), d.More)
	}
	k.settle(t)
	if left := k.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
