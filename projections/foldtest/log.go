// Package foldtest writes logs for tests of everything that reads folds: a few
// words make an object, an assignment or a fact, and the state follows.
package foldtest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
)

// Start is the time of the first event of a Log.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Log is a log under test with its fold.
type Log struct {
	Events []events.Envelope
	State  projections.State
	// Changes are those of the last event.
	Changes []projections.Change
	// Now is the next event's time; Add does not move it, Pass does.
	Now time.Time
}

// New is an empty log.
func New() *Log { return &Log{State: projections.Empty(), Now: Start} }

// Pass lets time go by.
func (l *Log) Pass(d time.Duration) *Log { l.Now = l.Now.Add(d); return l }

// Add appends an event and folds it. Sequence, time and version are filled in.
func (l *Log) Add(e events.Envelope) events.Seq {
	e.Seq, e.Time, e.Version = l.State.Seq+1, l.Now, 1
	if e.Epoch == 0 {
		e.Epoch = l.State.Epoch
	}
	l.Events = append(l.Events, e)
	l.State, l.Changes = projections.Apply(l.State, e)
	return e.Seq
}

// At finds an event, for following causes.
func (l *Log) At(seq events.Seq) (events.Envelope, bool) {
	if seq == 0 || int(seq) > len(l.Events) {
		return events.Envelope{}, false
	}
	return l.Events[seq-1], true
}

// Lease takes the lease.
func (l *Log) Lease(holder string) events.Seq {
	return l.Add(events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken, Body: events.MustBody(events.Lease{Holder: holder})})
}

// Cut says that history begins at a sequence.
func (l *Log) Cut(first events.Seq) events.Seq {
	return l.Add(events.Envelope{Subject: events.CutSubject, Type: events.HistoryCut, Actor: events.Controller("janitor"), Body: events.MustBody(events.Cut{First: first})})
}

// UID is the uid that Create gives the nth life of a key; the first is 1.
func UID(k events.Key, life int) events.UID {
	return events.NewUID(events.NewOpID("test", "user:test", fmt.Sprint(life), k, 0))
}

// Spec appends an event on an object's spec subject.
func (l *Log) Spec(k events.Key, verb string, actor events.Actor, cause events.Seq, body any) events.Seq {
	return l.Add(events.Envelope{Subject: events.SpecSubject(k), Type: events.TypeOf(k.Resource, verb), Actor: actor, Cause: cause,
		Body: events.MustBody(body)})
}

// Person is who Create says it was.
const Person events.Actor = "user:ann"

// Create makes an object of its JSON: metadata and spec.
func (l *Log) Create(k events.Key, object string) events.Seq {
	return l.Spec(k, events.VerbCreated, Person, 0, events.Created{UID: UID(k, 1), Object: json.RawMessage(object)})
}

// CreateChild makes an object for its controller.
func (l *Log) CreateChild(k, owner events.Key, cause events.Seq, object string) events.Seq {
	return l.Spec(k, events.VerbCreated, controllerOf(owner), cause, events.Created{UID: UID(k, 1), Object: json.RawMessage(object),
		Owner: &events.Owner{Resource: owner.Resource, Name: owner.Name, UID: UID(owner, 1)}})
}

func controllerOf(owner events.Key) events.Actor {
	kind, _ := events.KindOf(owner.Resource)
	return events.Controller(kind.Singular)
}

// Change replaces an object's body, keeping its owner.
func (l *Log) Change(k events.Key, actor events.Actor, object string) events.Seq {
	b := events.Changed{UID: UID(k, 1), Generation: 2, Object: json.RawMessage(object)}
	if o, ok := l.State.Get(k); ok {
		b.UID, b.Generation, b.Owner = o.UID, o.Generation+1, o.Owner
	}
	return l.Spec(k, events.VerbChanged, actor, 0, b)
}

// Delete asks for an object's deletion.
func (l *Log) Delete(k events.Key, actor events.Actor, grace int64) events.Seq {
	return l.Spec(k, events.VerbDeletionRequested, actor, 0, events.DeletionRequested{UID: l.uid(k), Grace: grace})
}

// Remove says that an object is gone.
func (l *Log) Remove(k events.Key) events.Seq {
	return l.Spec(k, events.VerbRemoved, events.Controller("gc"), 0, events.Removed{UID: l.uid(k)})
}

func (l *Log) uid(k events.Key) events.UID {
	if o, ok := l.State.Get(k); ok {
		return o.UID
	}
	return UID(k, 1)
}

// Assign gives pods to a node.
func (l *Log) Assign(node string, pods ...events.Key) events.Seq {
	return l.AssignFor(0, node, pods...)
}

// AssignFor gives pods to a node, for a cause.
func (l *Log) AssignFor(cause events.Seq, node string, pods ...events.Key) events.Seq {
	var b events.Assigned
	for _, k := range pods {
		b.Pods = append(b.Pods, events.Ref{Key: k, UID: l.uid(k)})
	}
	return l.Add(events.Envelope{Subject: events.AssignSubject(node), Type: events.PodsAssigned, Actor: events.Controller("schedule"), Cause: cause,
		Body: events.MustBody(b)})
}

// Saw appends what a pod's node saw of it.
func (l *Log) Saw(k events.Key, facts ...events.Fact) events.Seq {
	p, _ := l.State.PodOf(k)
	seen := events.PodSeen{Namespace: k.Namespace, Name: k.Name, UID: p.UID, Assigned: p.Assigned.Seq, Facts: facts}
	return l.Flush(p.Node, events.Seen{Pods: []events.PodSeen{seen}})
}

// Flush appends a node's flush.
func (l *Log) Flush(node string, b events.Seen) events.Seq {
	return l.Add(events.Envelope{Subject: events.SeenSubject(node), Type: events.PodsSeen, Actor: events.NodeActor(node), Body: events.MustBody(b)})
}

// Node makes a node that is ready.
func (l *Log) Node(name string, facts events.NodeFacts) {
	k := Key(events.Nodes, name)
	l.Create(k, `{"metadata":{"labels":{"kubernetes.io/hostname":"`+name+`","node-role.kubernetes.io/control-plane":""}}}`)
	l.Flush(name, events.Seen{Node: &facts})
	l.Heard(name, true)
}

// Heard says that a node is ready, or silent.
func (l *Log) Heard(name string, ready bool) events.Seq {
	k := Key(events.Nodes, name)
	r := events.NodeReported{UID: UID(k, 1), Ready: ready, Reason: "KubeletReady", Said: "kubelet is posting ready status"}
	if !ready {
		r.Reason, r.Said = "NodeStatusUnknown", "Kubelet stopped posting node status."
	}
	return l.Add(events.Envelope{Subject: events.StatusSubject(k), Type: events.TypeOf(events.Nodes, events.VerbStatus),
		Actor: events.Controller("nodelife"), Body: events.MustBody(r)})
}

// Conclude appends a verdict.
func (l *Log) Conclude(k events.Key, reasons ...events.Reason) events.Seq {
	return l.Add(events.Envelope{Subject: events.VerdictSubject(k), Type: events.TypeOf(k.Resource, events.VerbVerdict),
		Actor: events.Controller("schedule"), Body: events.MustBody(events.Verdict{UID: l.uid(k), Reasons: reasons})})
}

// Key names an object of namespace default, or one without a namespace.
func Key(r events.Resource, name string) events.Key {
	k := events.Key{Resource: r, Name: name}
	if kind, ok := events.KindOf(r); ok && kind.Namespaced {
		k.Namespace = "default"
	}
	return k
}

// Up are the facts of a container that came up well: address, start, ready.
func Up(container, ip string, at time.Time) []events.Fact {
	return []events.Fact{
		{Kind: events.FactSandbox, At: at, IP: ip, HostIP: "10.0.0.1"},
		{Kind: events.FactPulled, At: at, Container: container, Run: 1, Image: "docker.io/library/nginx:1.14", ImageID: "docker.io/library/nginx@sha256:aa", Took: 1200},
		{Kind: events.FactStarted, At: at, Container: container, Run: 1, ContainerID: "c1"},
		{Kind: events.FactReady, At: at, Container: container, Run: 1},
	}
}
