// Package stage sets up worlds for the tests of reconcilers: a log in a slice,
// its fold, people who apply things, and nodes that say what a test wants.
package stage

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Start is when every world begins.
var Start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// World is a log and what it says. The zero World is not usable; New makes one.
type World struct {
	State  projections.State
	Log    []events.Envelope
	Now    time.Time
	OnFold func(events.Envelope, []projections.Change) // called after each event, may be nil
}

// New is an empty world.
func New() *World { return &World{State: projections.Empty(), Now: Start} }

// Append folds one event and returns its sequence. Sequence and time are the log's.
func (w *World) Append(e events.Envelope) events.Seq {
	e.Seq, e.Time = events.Seq(len(w.Log)+1), w.Now
	if e.Version == 0 {
		e.Version = 1
	}
	w.Log = append(w.Log, e)
	var changes []projections.Change
	w.State, changes = projections.Apply(w.State, e)
	if w.OnFold != nil {
		w.OnFold(e, changes)
	}
	return e.Seq
}

// Do appends what a person wants.
func (w *World) Do(drafts ...reconcilers.Draft) { w.as("user:test", drafts) }

// as appends drafts as Step would.
func (w *World) as(who events.Actor, drafts []reconcilers.Draft) {
	for _, d := range drafts {
		e := events.Envelope{Subject: d.Subject, Type: d.Type, Body: d.Body, Epoch: w.State.Epoch, Actor: who,
			Op: events.OpID("op-" + strconv.Itoa(len(w.Log)))}
		if d.Child != nil {
			b := d.Child.Body
			b.UID = events.NewUID(e.Op)
			e.Body = events.MustBody(b)
		}
		w.Append(e)
	}
}

// Run asks one reconciler for one key and appends what it says, until it says
// nothing more. It fails when that takes more than a hundred rounds.
func (w *World) Run(r reconcilers.Reconciler, k events.Key) (reconcilers.Decision, error) {
	for range 100 {
		d := r.Decide(w.State, k, w.Now)
		if len(d.Events) == 0 && d.More && len(d.Wishes) == 0 {
			return d, fmt.Errorf("run %s on %s: it does nothing and asks for another turn: so it will for ever", r.Name(), k)
		}
		if len(d.Events) == 0 {
			return d, nil
		}
		if most := reconcilers.StepsOf(r); len(d.Events) > most {
			return d, fmt.Errorf("run %s on %s: %d events, at most %d: Step appends nothing of it", r.Name(), k, len(d.Events), most)
		}
		if twice := doubled(d.Events); twice != "" {
			return d, fmt.Errorf("run %s on %s: %s is written twice: Step appends nothing of it", r.Name(), k, twice)
		}
		w.as(events.Controller(r.Name()), d.Events)
	}
	return reconcilers.Decision{}, fmt.Errorf("run %s on %s: never quiet", r.Name(), k)
}

// doubled is the first object that a decision writes twice, "" when there is none.
func doubled(drafts []reconcilers.Draft) events.Subject {
	once := map[events.Subject]bool{}
	for _, d := range drafts {
		if d.Subject.Class() == "spec" && once[d.Subject] {
			return d.Subject
		}
		once[d.Subject] = true
	}
	return ""
}

// Apply creates an object from JSON, or changes it when it is there.
func (w *World) Apply(k events.Key, object string) *projections.Object {
	o, ok := w.State.Get(k)
	if !ok {
		w.Do(reconcilers.Create(k, events.Created{Object: json.RawMessage(object)}))
	} else {
		b := reconcilers.Same(o)
		b.Object, b.Template, b.Generation = json.RawMessage(object), "", o.Generation+1
		w.Do(reconcilers.Change(o, b))
	}
	return w.Get(k)
}

// Get is an object's row, nil when it is not there.
func (w *World) Get(k events.Key) *projections.Object { o, _ := w.State.Get(k); return o }

// Delete asks for the deletion of an object, in the background.
func (w *World) Delete(k events.Key) { w.DeleteWith(k, events.DeletionRequested{Grace: 30}) }

// DeleteWith asks for the deletion of an object.
func (w *World) DeleteWith(k events.Key, b events.DeletionRequested) {
	if o := w.Get(k); o != nil {
		w.Do(reconcilers.RequestDeletion(o, b))
	}
}

// Pods are the rows of all pods, by namespace and name.
func (w *World) Pods() []*projections.Object {
	var out []*projections.Object
	for o := range w.State.List(events.Pods, "") {
		out = append(out, o)
	}
	return out
}

// Row is a pod's row; every pod has one.
func (w *World) Row(o *projections.Object) *projections.Pod { p, _ := w.State.PodOf(o.Key); return p }

// NodeKey is a node's key.
func NodeKey(name string) events.Key { return events.Key{Resource: events.Nodes, Name: name} }

// PodKey is a pod's key in the namespace default.
func PodKey(name string) events.Key { return In(events.Pods, name) }

// In is a key in the namespace default.
func In(r events.Resource, name string) events.Key {
	return events.Key{Resource: r, Namespace: "default", Name: name}
}

// Node makes a node that is ready and has cpu and memory to give.
func (w *World) Node(name, cpu, memory string) {
	w.Apply(NodeKey(name), `{"metadata":{"name":"`+name+`"}}`)
	w.Facts(name, map[string]string{"cpu": cpu, "memory": memory, "pods": "110"})
	w.Report(name, true)
}

// Facts says what a node has to give.
func (w *World) Facts(name string, allocatable map[string]string) {
	w.Append(events.Envelope{Subject: events.SeenSubject(name), Type: events.PodsSeen, Actor: events.NodeActor(name),
		Body: events.MustBody(events.Seen{Node: &events.NodeFacts{Hostname: name, Allocatable: allocatable, Capacity: allocatable, VolumesDir: "/var/lib/stave/claims"}})})
}

// Conditions says what a node judges of itself.
func (w *World) Conditions(name string, list ...events.NodeCondition) {
	w.Append(events.Envelope{Subject: events.SeenSubject(name), Type: events.PodsSeen, Actor: events.NodeActor(name),
		Body: events.MustBody(events.Seen{Node: &events.NodeFacts{Hostname: name, Conditions: list}})})
}

// Report says that a node is ready, or that it is silent.
func (w *World) Report(name string, ready bool) {
	o := w.Get(NodeKey(name))
	if o == nil {
		return
	}
	b := events.NodeReported{UID: o.UID, Ready: ready, Reason: "NodeStatusUnknown", Said: "Kubelet stopped posting node status."}
	if ready {
		b.Reason, b.Said = "KubeletReady", "kubelet is posting ready status"
	}
	w.Do(reconcilers.Report(o.Key, b))
}

// Assign gives a pod to a node.
func (w *World) Assign(o *projections.Object, node string) {
	w.Do(reconcilers.Assign(node, events.Assigned{Pods: []events.Ref{{Key: o.Key, UID: o.UID}}}))
}

// See appends what a pod's node saw of it. A pod without a node is not seen.
func (w *World) See(o *projections.Object, facts ...events.Fact) {
	p := w.Row(o)
	if p == nil || p.Node == "" {
		return
	}
	for i := range facts {
		facts[i].At = w.Now
	}
	w.Append(events.Envelope{Subject: events.SeenSubject(p.Node), Type: events.PodsSeen, Actor: events.NodeActor(p.Node),
		Body: events.MustBody(events.Seen{Pods: []events.PodSeen{{Namespace: o.Key.Namespace, Name: o.Key.Name, UID: o.UID,
			Assigned: p.Assigned.Seq, Facts: facts}}})})
}

// Ready starts all containers of a pod and says that they answer.
func (w *World) Ready(o *projections.Object) {
	facts := []events.Fact{{Kind: events.FactSandbox, IP: "10.0.0.1"}}
	for _, c := range o.PodSpec().Containers {
		facts = append(facts, events.Fact{Kind: events.FactStarted, Container: c.Name, Run: 1},
			events.Fact{Kind: events.FactReady, Container: c.Name, Run: 1})
	}
	w.See(o, facts...)
}

// Stopped says that nothing of a pod runs any more.
func (w *World) Stopped(o *projections.Object) { w.See(o, events.Fact{Kind: events.FactStopped}) }
