// Package fork continues a state in memory, in virtual time, with the same
// reconcilers that decide for the live cluster and with pretend nodes that run
// at once whatever they are given. The live log never hears of it: that is how
// a plan and a what-if are decided by the code that would carry them out.
package fork

import (
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/run"
)

const (
	// Horizon is how far virtual time goes: evictions from a lost node come after
	// five minutes, and what waits longer than an hour is not what was asked about.
	Horizon = time.Hour
	// maxEvents bounds a fork: a reconciler that never rests ends here.
	maxEvents = 1_000_000
)

// ErrRestless says that the fork was still busy at its bounds.
var ErrRestless = errors.New("the fork does not come to rest")

// Fork is a continuation of a state. It is not safe for concurrent use.
type Fork struct {
	state projections.State
	now   time.Time
	step  *run.Step
	moved []events.Key // pods that changed since the pretend nodes looked
	made  int          // events of the fork
	most  int          // how many it may have

	ask   Asker
	asked map[question]birth.Answer
}

// question is what is the same for all wishes of one that look alike.
type question struct {
	of    events.Key
	about events.Hash
}

// Asker is what those say who are asked first about what a kind's controller wishes for, in a state of the fork.
type Asker func(v projections.State, of events.Resource, w reconcilers.Wish) birth.Answer

// New begins a fork at a state and a time. Schedules are not among its controllers: what is made when its time comes follows from no
// change, and Jobs do not end on pretend nodes, so that an hour of them would fill the fork.
func New(v projections.State, now time.Time, rs []reconcilers.Reconciler) (*Fork, error) {
	step, err := run.NewStep("fork", slices.DeleteFunc(slices.Clone(rs), scheduled)...)
	if err != nil {
		return nil, err
	}
	if v.Time.After(now) {
		now = v.Time
	}
	step.Grant(true)
	f := &Fork{state: v, now: now, step: step, most: maxEvents}
	step.Lease(f.add(events.Envelope{Subject: events.LeaseSubject, Type: events.LeaseTaken,
		Body: events.MustBody(events.Lease{Holder: "fork"})}))
	step.Prime(f.state)
	for o := range f.state.List(events.Pods, "") {
		f.moved = append(f.moved, o.Key)
	}
	return f, nil
}

// scheduled tells of the controller that makes Jobs when their time comes.
func scheduled(r reconcilers.Reconciler) bool {
	return slices.Contains(r.Writes(), events.TypeOf(events.Jobs, events.VerbCreated))
}

// Ask has controllers' wishes asked about; without it each is granted. What was answered once holds for all that look the same.
func (f *Fork) Ask(a Asker) {
	f.ask, f.asked = a, map[question]birth.Answer{}
	f.step.Grant(false)
}

// View is the state as far as the fork has come.
func (f *Fork) View() projections.State { return f.state }

// Now is the fork's time.
func (f *Fork) Now() time.Time { return f.now }

// add appends an event to the fork: it is folded, and the reconcilers hear of it.
func (f *Fork) add(e events.Envelope) events.Seq {
	e.Seq, e.Time, e.Version = f.state.Seq+1, f.now, events.Version
	f.made++
	var changes []projections.Change
	f.state, changes = projections.Apply(f.state, e)
	f.step.Changed(f.state, e, changes)
	for _, c := range changes {
		if c.Key.Resource == events.Pods && c.After != nil {
			f.moved = append(f.moved, c.Key)
		}
	}
	return e.Seq
}

// Do appends what somebody would do. op makes the uids of what is created.
func (f *Fork) Do(actor events.Actor, op events.OpID, drafts []reconcilers.Draft) {
	for i, d := range drafts {
		e := events.Envelope{Subject: d.Subject, Type: d.Type, Body: d.Body, Actor: actor, Now: f.now, Epoch: f.state.Epoch,
			Op: events.OpID(fmt.Sprintf("%s/%d", op, i))}
		if d.Child != nil {
			body := d.Child.Body
			body.UID = events.NewUID(e.Op)
			e.Body = events.MustBody(body)
		}
		f.add(e)
	}
}

// AddNode adds a node that is ready and has this to give.
func (f *Fork) AddNode(name string, allocatable map[string]string) {
	k := events.Key{Resource: events.Nodes, Name: name}
	object := events.MustBody(map[string]any{"apiVersion": "v1", "kind": "Node", "spec": map[string]any{},
		"metadata": map[string]any{"name": name, "labels": map[string]string{corev1.LabelHostname: name}}})
	f.Do("user:fork", events.OpID("node/"+name), []reconcilers.Draft{reconcilers.Create(k, events.Created{Object: object})})
	f.add(events.Envelope{Subject: events.SeenSubject(name), Type: events.PodsSeen, Actor: events.NodeActor(name),
		Body: events.MustBody(events.Seen{Node: &events.NodeFacts{Hostname: name, Capacity: allocatable, Allocatable: allocatable, VolumesDir: "/" + name}})})
	f.report(k, true, "KubeletReady", "kubelet is posting ready status")
}

// Lose lets a node fall silent.
func (f *Fork) Lose(name string) {
	f.report(events.Key{Resource: events.Nodes, Name: name}, false, "NodeStatusUnknown", "Kubelet stopped posting node status.")
}

func (f *Fork) report(k events.Key, ready bool, reason, said string) {
	o, ok := f.state.Get(k)
	if !ok {
		return
	}
	f.Do(events.Controller("observer"), "", []reconcilers.Draft{
		reconcilers.Report(k, events.NodeReported{UID: o.UID, Ready: ready, Reason: reason, Said: said})})
}

// Settle runs decisions, pretend nodes and time until nothing happens any more within the horizon, which begins anew each
// time: what was under way before a change must not use up the change's time.
func (f *Fork) Settle() error {
	for until := f.now.Add(Horizon); f.made < f.most; {
		before := f.state.Seq
		if err := f.decide(); err != nil {
			return err
		}
		f.live()
		if f.state.Seq != before {
			continue
		}
		at := f.step.WakeAt()
		if at.IsZero() || at.After(until) {
			return nil
		}
		if at.After(f.now) {
			f.now = at
		}
	}
	return fmt.Errorf("settle after %d events: %w", f.made, ErrRestless)
}

// decide lets the reconcilers work until they rest at the present time.
func (f *Fork) decide() error {
	for f.made < f.most {
		w, ok := f.step.Next(f.state, f.now)
		if !ok {
			return nil
		}
		if w.Refused != nil {
			return fmt.Errorf("decide %s for %s: %w", w.Reconciler, w.Key, w.Refused)
		}
		first := f.state.Seq + 1
		f.append(w.Records)
		f.step.Done(w, first, nil)
		f.answer(f.step.By(w), w)
	}
	return fmt.Errorf("decide after %d events: %w", f.made, ErrRestless)
}

// answer makes of a decision's wishes what they who are asked make of them.
func (f *Fork) answer(by reconcilers.Reconciler, w run.Work) {
	refused := map[question]bool{}
	for i, wish := range w.Decision.Wishes {
		id := question{w.Key, birth.SumOf(wish)}
		a, known := f.asked[id]
		if !known {
			a = f.ask(f.state, w.Key.Resource, wish)
			f.asked[id] = a
		}
		if refused[id] {
			continue // it is said once
		}
		refused[id] = a.Said != ""
		op := fmt.Sprintf("answer/%d/%d", f.state.Seq, i)
		f.Do(events.Controller(by.Name()), events.OpID(op), birth.Answered(by, f.state, w.Key, a, f.now))
	}
}

// append needs no expectations: nobody else writes here.
func (f *Fork) append(records []bus.Record) {
	for _, r := range records {
		f.add(r.Envelope)
	}
}

// live lets the nodes that are not silent start and stop what they were given.
func (f *Fork) live() {
	moved := f.moved
	f.moved = nil
	for _, k := range moved {
		o, ok := f.state.Get(k)
		p, has := f.state.PodOf(k)
		if !ok || !has || p.Node == "" || p.Lost || !p.Stopped.IsZero() {
			continue
		}
		switch {
		case o.Deletion != nil:
			f.see(o, p, events.Fact{Kind: events.FactStopped})
		case starting(p):
			f.see(o, p, f.start(o)...)
		}
	}
}

// starting tells whether a pod only needs its node's work. One that crashed, or
// whose image cannot be had, stays as it is: no fork knows better.
func starting(p *projections.Pod) bool {
	if !p.ReadySince.IsZero() || p.Failed != nil {
		return false
	}
	for _, c := range p.Containers {
		if c.Exit != nil || c.Phase != projections.Waiting || c.Reason != "" && c.Reason != "ContainerCreating" {
			return false
		}
	}
	return true
}

// start is what a node says that has all it needs. The address is one of the
// range for benchmarks: nothing of the fork is ever reached.
func (f *Fork) start(o *projections.Object) []events.Fact {
	facts := []events.Fact{{Kind: events.FactSandbox, IP: fmt.Sprintf("198.18.%d.%d", f.made>>8&0xff, f.made&0xff)}}
	for i := range o.PodSpec().InitContainers {
		c := &o.PodSpec().InitContainers[i]
		then := []events.Fact{{Kind: events.FactExited, Container: c.Name, Run: 1, Reason: "Completed"}}
		if projections.Sidecar(c) {
			then = []events.Fact{{Kind: events.FactUp, Container: c.Name, Run: 1}, {Kind: events.FactReady, Container: c.Name, Run: 1}}
		}
		facts = append(append(facts, events.Fact{Kind: events.FactStarted, Container: c.Name, Run: 1}), then...)
	}
	for _, c := range o.PodSpec().Containers {
		facts = append(facts, events.Fact{Kind: events.FactStarted, Container: c.Name, Run: 1},
			events.Fact{Kind: events.FactReady, Container: c.Name, Run: 1})
	}
	return facts
}

func (f *Fork) see(o *projections.Object, p *projections.Pod, facts ...events.Fact) {
	for i := range facts {
		facts[i].At = f.now
	}
	f.add(events.Envelope{Subject: events.SeenSubject(p.Node), Type: events.PodsSeen, Actor: events.NodeActor(p.Node),
		Body: events.MustBody(events.Seen{Pods: []events.PodSeen{{Namespace: o.Key.Namespace, Name: o.Key.Name, UID: o.UID,
			Assigned: p.Assigned.Seq, Facts: facts}}})})
}
