package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
	"github.com/stave-run/stave/reconcilers"
)

// Fork is a continuation of a state that the live log never hears of;
// reconcilers/fork is one.
type Fork interface {
	View() projections.State
	Now() time.Time
	// Do appends what somebody would do.
	Do(actor events.Actor, op events.OpID, drafts []reconcilers.Draft)
	// AddNode adds a ready node; Lose lets one fall silent.
	AddNode(name string, allocatable map[string]string)
	Lose(name string)
	// Settle runs decisions, nodes and time until nothing happens any more.
	Settle() error
}

// Forker begins a fork at a state and a time.
type Forker func(v projections.State, now time.Time) (Fork, error)

// maxAddedNodes bounds how many nodes one question may add.
const maxAddedNodes = 1000

// foresee decides changes on a fork and tells what would become of the pods.
func (s *Server) foresee(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.ForeseeRequest](r)
	if err != nil {
		return nil, err
	}
	if s.Fork == nil {
		return nil, errors.New("this server has nothing to fork with")
	}
	v, now, err := s.viewAt(ctx, req.At, 0)
	if err != nil {
		return nil, err
	}
	if err := sensible(v, req); err != nil {
		return nil, badRequest{err}
	}
	f, err := s.Fork(v, now)
	if err != nil {
		return nil, fmt.Errorf("fork at %d: %w", v.Seq, err)
	}
	// What is under way by itself is no answer to the question: it settles first.
	if err := f.Settle(); err != nil {
		return nil, fmt.Errorf("fork at %d: %w", v.Seq, err)
	}
	before := f.View()
	results := imagined{f, events.User(r.From)}.all(req)
	if err := f.Settle(); err != nil {
		return nil, fmt.Errorf("fork at %d: %w", v.Seq, err)
	}
	d := why.Compare(before, f.View(), s.Explain)
	return wire.ForeseeReply{Results: results, Text: d.String(), JSON: events.MustBody(d)}, nil
}

// sensible refuses questions about nodes that are not there.
func sensible(v projections.State, req wire.ForeseeRequest) error {
	for _, list := range [][]string{req.Drain, req.Lose} {
		for _, n := range list {
			if _, ok := v.Get(events.Key{Resource: events.Nodes, Name: n}); !ok {
				return fmt.Errorf("nodes %q not found", n)
			}
		}
	}
	if len(req.AddNodes) > maxAddedNodes {
		return fmt.Errorf("%d nodes to add, at most %d", len(req.AddNodes), maxAddedNodes)
	}
	return nil
}

// imagined makes changes on a fork.
type imagined struct {
	Fork
	actor events.Actor
}

func (f imagined) all(req wire.ForeseeRequest) []wire.Result {
	for i, has := range req.AddNodes {
		f.AddNode(f.unusedName(i+1), has)
	}
	var out []wire.Result
	for i, item := range req.Items {
		out = append(out, f.change(fmt.Sprintf("apply/%d", i), wire.ChangeRequest{Operation: wire.Apply}, item))
	}
	for i, to := range req.Scale {
		out = append(out, f.change(fmt.Sprintf("scale/%d", i), wire.ChangeRequest{Operation: wire.Scale, Replicas: to.Replicas}, wire.Item{Key: to.Key}))
	}
	for _, n := range req.Drain {
		f.drain(n)
	}
	for _, n := range req.Lose {
		f.Lose(n)
	}
	return out
}

// unusedName is a name for an added node.
func (f imagined) unusedName(i int) string {
	name := fmt.Sprintf("new-%d", i)
	for {
		if _, taken := f.View().Get(events.Key{Resource: events.Nodes, Name: name}); !taken {
			return name
		}
		name += "x"
	}
}

// change is admitted by the code that admits a real one.
func (f imagined) change(id string, req wire.ChangeRequest, item wire.Item) wire.Result {
	out := admit.Admit(f.View(), admit.Request{ChangeRequest: req, Item: item, Op: events.OpID(id + "/0")}, f.Now())
	f.Do(f.actor, events.OpID(id), out.Drafts)
	return out.Result
}

// drain cordons a node and deletes the pods on it.
func (f imagined) drain(name string) {
	if o, ok := f.View().Get(events.Key{Resource: events.Nodes, Name: name}); ok {
		body := reconcilers.Same(o)
		body.Generation++
		body.Object = reconcilers.Edit(o.Raw, func(object map[string]any) { reconcilers.Field(object, "spec")["unschedulable"] = true })
		f.Do(f.actor, "cordon", []reconcilers.Draft{reconcilers.Change(o, body)})
	}
	var drafts []reconcilers.Draft
	for p := range f.View().PodsOn(name) {
		if o, ok := f.View().Get(p.Key); ok && o.Deletion == nil {
			drafts = append(drafts, reconcilers.RequestDeletion(o, events.DeletionRequested{Grace: reconcilers.GraceOf(o)}))
		}
	}
	f.Do(f.actor, "drain", drafts)
}
