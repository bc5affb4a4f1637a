package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// Forker begins a fork at a state and a time. With ask, webhooks and policies are asked about what its controllers wish for, until
// ctx ends; without, all of it is granted.
type Forker func(ctx context.Context, v projections.State, now time.Time, ask bool) (Fork, error)

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
	if req.Items, _, err = s.sealed(req.Items, true); err != nil {
		return nil, err
	}
	rules := s.rules()
	for range reviewTries {
		reply, err := s.foreseen(ctx, r, req, v, now, rules)
		if err != nil {
			return nil, err
		}
		again, err := unconverted(ctx, rules)
		if err != nil {
			return nil, err
		}
		if !again {
			return reply, nil
		}
	}
	return nil, errStillMoving
}

// foreseen is what would become, with the conversions that are known.
func (s *Server) foreseen(ctx context.Context, r bus.Request, req wire.ForeseeRequest, v projections.State, now time.Time, rules admit.Rules) (any, error) {
	asks := s.asks() && req.At == wire.Moment{} // those who stand before the cluster today know nothing of a state of before
	f, err := s.Fork(ctx, v, now, asks)
	if err != nil {
		return nil, fmt.Errorf("fork at %d: %w", v.Seq, err)
	}
	// What is under way by itself is no answer to the question: it settles first.
	if err := f.Settle(); err != nil {
		return nil, fmt.Errorf("fork at %d: %w", v.Seq, err)
	}
	before := f.View()
	im := imagined{Fork: f, rules: rules, actor: events.User(r.From)}
	if asks {
		im.reviewed = func(v projections.State, ask admit.Request) (admit.Request, admit.Outcome) {
			return s.reviewed(ctx, im.actor, v, ask, f.Now())
		}
	}
	if err := im.all(req); err != nil {
		return nil, fmt.Errorf("fork at %d: %w", v.Seq, err)
	}
	d := why.Compare(before, f.View(), s.Explain)
	d.Held = im.held
	return wire.ForeseeReply{Seq: v.Seq, Reads: restsOn(v, d, im.results, im.pruned), Moves: d.Moves(), Results: im.results, Pruned: im.pruned,
		Text: d.String(), JSON: events.MustBody(d)}, nil
}

// foundations are the kinds of which every object says what becomes of a change.
var foundations = []events.Resource{events.Nodes, events.MutatingPolicies, events.MutatingPolicyBindings, events.MutatingWebhooks,
	events.Policies, events.PolicyBindings, events.ValidatingWebhooks}

// restsOn is what a foresight read of a state: the objects that it is about with
// their namespaces, what becomes of pods and who owns them, every node, and whoever was asked.
func restsOn(v projections.State, d why.Difference, about ...[]wire.Result) []wire.Read {
	keys := map[events.Key]bool{}
	for _, list := range about {
		for _, r := range list {
			keys[r.Key] = true
			if r.Key.Namespace != "" {
				keys[events.Key{Resource: events.Namespaces, Name: r.Key.Namespace}] = true
			}
		}
	}
	for _, p := range d.Gone {
		keys[p.Pod], keys[p.Owner] = true, true
	}
	for _, r := range foundations {
		for o := range v.List(r, "") {
			keys[o.Key] = true
		}
	}
	out := make([]wire.Read, 0, len(keys))
	for k := range keys {
		out = append(out, wire.Read{Key: k, Seq: admit.LastMoved(v, k)})
	}
	slices.SortFunc(out, func(a, b wire.Read) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return out
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
	rules    admit.Rules
	actor    events.Actor
	results  []wire.Result
	pruned   []wire.Result
	held     []why.Held // pods that a drain would wait for
	reviewed reviewing  // nil: nobody is asked
}

// ask is what admission is asked about an item. Webhooks hear that it is a dry run.
func (f *imagined) ask(req wire.ChangeRequest, item wire.Item, op string) admit.Request {
	req.DryRun = true
	return admit.Request{ChangeRequest: req, Item: item, Op: events.OpID(op), Rules: f.rules, Asker: insider(f.actor)}
}

// all makes the changes and lets them settle.
func (f *imagined) all(req wire.ForeseeRequest) error {
	for i, has := range req.AddNodes {
		f.AddNode(f.unusedName(i+1), has)
	}
	f.apply(req)
	for i, to := range req.Scale {
		f.results = append(f.results, f.change(fmt.Sprintf("scale/%d", i), wire.ChangeRequest{Operation: wire.Scale, Replicas: to.Replicas}, wire.Item{Key: to.Key}))
	}
	for _, n := range req.Drain {
		if err := f.drain(n); err != nil {
			return err
		}
	}
	for _, n := range req.Lose {
		f.Lose(n)
	}
	return f.Settle()
}

// apply makes the items one change, as a real apply does.
func (f *imagined) apply(req wire.ForeseeRequest) {
	change := wire.ChangeRequest{Operation: wire.Apply, Whole: true, Set: req.Set, Prune: req.Prune}
	asks := make([]admit.Request, len(req.Items))
	for i, item := range req.Items {
		asks[i] = f.ask(change, item, fmt.Sprintf("apply/%d/0", i))
	}
	w := f.together(asks)
	stays := map[events.Key]bool{}
	for _, i := range w.Order {
		f.Do(f.actor, events.OpID(fmt.Sprintf("apply/%d", i)), w.Outcomes[i].Drafts)
	}
	for _, out := range w.Outcomes {
		f.results = append(f.results, out.Result)
		stays[out.Result.Key] = true
	}
	if !req.Prune || w.Refused > 0 {
		return
	}
	for i, out := range admit.Prune(f.View(), admit.Request{ChangeRequest: change, Rules: f.rules}, stays, f.Now()) {
		f.Do(f.actor, events.OpID(fmt.Sprintf("prune/%d", i)), out.Drafts)
		f.pruned = append(f.pruned, out.Result)
	}
}

// together decides on all items, and once more with what webhooks and policies say of each, as after those before it.
func (f *imagined) together(asks []admit.Request) admit.Whole {
	w := admit.Together(f.View(), asks, f.Now())
	if f.reviewed == nil || w.Refused > 0 {
		return w
	}
	f.reviewed.each(f.View(), asks, w.Order, f.Now())
	return admit.Together(f.View(), asks, f.Now())
}

// unusedName is a name for an added node.
func (f *imagined) unusedName(i int) string {
	name := fmt.Sprintf("new-%d", i)
	for {
		if _, taken := f.View().Get(events.Key{Resource: events.Nodes, Name: name}); !taken {
			return name
		}
		name += "x"
	}
}

// change is admitted by the code that admits a real one.
func (f *imagined) change(id string, req wire.ChangeRequest, item wire.Item) wire.Result {
	ask, out := f.ask(req, item, id+"/0"), admit.Outcome{}
	if f.reviewed != nil {
		_, out = f.reviewed(f.View(), ask)
	} else {
		out = admit.Admit(f.View(), ask, f.Now())
	}
	f.Do(f.actor, events.OpID(id), out.Drafts)
	return out.Result
}

// drain cordons a node and evicts the pods on it, those that a budget holds again when others have come: as `stave drain` does. What
// is held when nothing changes any more is what a real drain would wait for. Pods of DaemonSets stay.
func (f *imagined) drain(name string) error {
	if o, ok := f.View().Get(events.Key{Resource: events.Nodes, Name: name}); ok {
		body := reconcilers.Same(o)
		body.Generation++
		body.Object = reconcilers.Edit(o.Raw, func(object map[string]any) { reconcilers.Field(object, "spec")["unschedulable"] = true })
		f.Do(f.actor, "cordon", []reconcilers.Draft{reconcilers.Change(o, body)})
	}
	for round := 0; ; round++ {
		pods := f.leaving(name)
		held := f.evict(pods, fmt.Sprintf("drain/%s/%d", name, round))
		if len(held) == 0 || len(held) == len(pods) {
			f.held = append(f.held, held...)
			return nil
		}
		if err := f.Settle(); err != nil {
			return err
		}
	}
}

// leaving are the pods that a drain of a node is about.
func (f *imagined) leaving(node string) []*projections.Object {
	var out []*projections.Object
	for p := range f.View().PodsOn(node) {
		if o, ok := f.View().Get(p.Key); ok && o.Deletion == nil && (o.Owner == nil || o.Owner.Resource != events.DaemonSets) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b *projections.Object) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return out
}

// evict asks for each pod's eviction, and tells of those that stay.
func (f *imagined) evict(pods []*projections.Object, id string) []why.Held {
	var held []why.Held
	for i, o := range pods {
		r := f.change(fmt.Sprintf("%s/%d", id, i), wire.ChangeRequest{Operation: wire.Evict}, wire.Item{Key: o.Key, UID: o.UID})
		if r.Error == nil {
			continue
		}
		h := why.Held{Pod: o.Key, Said: r.Error.Message}
		if p, ok := f.View().PodOf(o.Key); ok {
			h.Node = p.Node
		}
		if d := r.Error.Details; d != nil && len(d.Causes) > 0 {
			h.Said = d.Causes[0].Message
		}
		held = append(held, h)
	}
	return held
}
