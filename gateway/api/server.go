// Package api is the request/reply door: it answers what the CLI, node agents
// and other programs ask over the wires. It reads snapshots and hands wishes to
// the one writer; it decides nothing itself.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/badge"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/gateway/vault"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/why"
	"github.com/stave-run/stave/reconcilers"
)

// Views are the snapshots that answers are made from.
type Views interface {
	// Durable is the newest state that a power cut cannot take back.
	Durable() projections.State
	// WaitDurable waits until a sequence is folded and durable.
	WaitDurable(ctx context.Context, seq events.Seq) (projections.State, error)
	// OnDurable calls f for every event from now on, in order, from one
	// goroutine; stop ends it.
	OnDurable(f func(projections.State, events.Envelope, []projections.Change)) (stop func())
}

// Wish is what somebody outside wants; Decide turns it into drafts on the
// writer's own view, between two decisions. It may be asked more than once.
type Wish struct {
	Actor   events.Actor
	ID      string     // of the wish: a retry has the same one
	Key     events.Key // what it is mainly about
	Message string
	Change  events.ChangeID // the request that it is a part of; undo takes back all of it
	// Together says that it may be decided on a view that holds wishes just before it which are not in the log yet: it lands with them.
	Together bool
	Decide   func(view projections.State, now time.Time) ([]reconcilers.Draft, error)
}

// Writer is the one writer.
type Writer interface {
	// Submit decides a wish and appends what follows, whole or not at all. It
	// returns the events as they stand in the log, none when nothing followed,
	// before they are durable.
	Submit(ctx context.Context, w Wish) ([]events.Envelope, error)
}

// Guests are whom the server lets in as nodes.
type Guests interface {
	// Token lets a node in from now on, and is what its agent has to show.
	Token(node string) ([]byte, error)
	// Expel lets a node in no more, and ends the connections that it has.
	Expel(node string) error
}

// Explainer says why the scheduler refuses a pod now; pure.
type Explainer func(v projections.State, pod events.Key) []events.Reason

// Past has states of the past that were kept.
type Past interface {
	// Before is the newest good one that within says yes to; false when there is none.
	Before(within func(seq events.Seq, t time.Time) bool) (projections.State, bool)
	// Origin is what was kept of an object where a log that was cut begins; nil
	// when it was not there.
	Origin(first events.Seq, k events.Key) (*why.Origin, error)
}

// Options are what a server needs.
type Options struct {
	Wires  bus.Wires
	Log    bus.Log
	Views  Views
	Writer Writer
	Past   Past   // nil: the past is folded from the log's start
	Guests Guests // nil: nobody is let in or out
	// Seal seals what is durable, up to a sequence, after a checkpoint was made;
	// nil: nothing is sealed.
	Seal    func(context.Context) (sealed, checkpoint events.Seq, err error)
	Explain Explainer
	Vault   *vault.Vault    // nil: there can be no Secrets
	Rules   *custom.Schemas // nil: there can be no definitions
	// Converter asks conversion webhooks; nil: nobody is asked.
	Converter custom.Converter
	Tokens    *badge.Keys // nil: there are no tokens for pods
	Fork      Forker      // nil: plan and what-if are not answered
	Cluster   string
	Version   string
	Address   string
	Now       func() time.Time
	// Reviewer is asked about changes before they are admitted; nil: nobody is.
	Reviewer Reviewer
	// Held are the node ports that something outside of the cluster has on this
	// machine, and what; nil: nobody looks.
	Held func() map[admit.Port]string
}

// Server answers the door's verbs until it is closed.
type Server struct {
	Options
	memory memory
	stops  []func()
}

// Serve begins to answer.
func Serve(o Options) (*Server, error) {
	s := &Server{Options: o}
	verbs := map[string]func(context.Context, bus.Request) (any, error){
		wire.VerbChange: s.change, wire.VerbRead: s.read, wire.VerbDescribe: s.describe, wire.VerbWhy: s.why,
		wire.VerbHistory: s.history, wire.VerbCluster: s.cluster, wire.VerbJoin: s.join,
		wire.VerbDesired: s.desired, wire.VerbNetwork: s.network, wire.VerbOpen: s.open, wire.VerbAccess: s.access, wire.VerbCertify: s.certify,
		wire.VerbEvents: s.happenings, wire.VerbStatus: s.status, wire.VerbTree: s.tree, wire.VerbKinds: s.kinds, wire.VerbToken: s.token, wire.VerbExpel: s.expel,
	}
	maps.Copy(verbs, s.ofTime())
	for verb, answer := range verbs {
		serve := o.Wires.Serve
		if verb == wire.VerbChange {
			serve = o.Wires.ServeWaiting // the more wait for the writer, the more it writes together
		}
		stop, err := serve(wire.Pattern(verb), s.answering(verb, answer))
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("serve %s: %w", verb, err)
		}
		s.stops = append(s.stops, stop)
	}
	for verb, serve := range map[string]func(context.Context, bus.Request, bus.Stream){
		wire.VerbTail: s.tail, wire.VerbWatch: s.watch, wire.VerbList: s.list, wire.VerbState: s.state,
	} {
		stop, err := o.Wires.Accept(wire.Pattern(verb), streaming(verb, serve))
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("accept %s: %w", verb, err)
		}
		s.stops = append(s.stops, stop)
	}
	return s, nil
}

// Close stops answering; requests under way are finished.
func (s *Server) Close() {
	for _, stop := range s.stops {
		stop()
	}
	s.stops = nil
}

// failed is the reply to a request that could not be answered at all. Every
// reply type has this field.
type failed struct {
	Error *metav1.Status `json:"error"`
}

func (s *Server) answering(verb string, answer func(context.Context, bus.Request) (any, error)) func(context.Context, bus.Request) []byte {
	return func(ctx context.Context, r bus.Request) []byte {
		var reply any
		err := allowed(r.From, verb)
		if err == nil {
			reply, err = answer(ctx, r)
		}
		if err != nil {
			reply = failed{statusOf(fmt.Errorf("%s: %w", verb, err))}
		}
		b, err := json.Marshal(reply)
		if err != nil {
			b, _ = json.Marshal(failed{statusOf(fmt.Errorf("encode %s reply: %w", verb, err))}) // a Status always encodes
		}
		return b
	}
}

// forAgents are the verbs that node agents may ask, and nobody else.
var forAgents = map[string]bool{wire.VerbJoin: true, wire.VerbDesired: true, wire.VerbNetwork: true, wire.VerbOpen: true, wire.VerbAccess: true, wire.VerbCertify: true}

// forbidden is a request that its user may not make.
type forbidden struct{ error }

// allowed keeps people and agents to their own verbs: an agent's credential lies
// on a machine that runs other people's containers.
func allowed(user, verb string) error {
	if events.IsNodeUser(user) != forAgents[verb] {
		return forbidden{fmt.Errorf("user %q may not ask for it", user)}
	}
	return nil
}

// theNodeItself keeps an agent to its own node.
func theNodeItself(user, node string) error {
	if user != events.NodeUser(node) {
		return forbidden{fmt.Errorf("user %q does not speak for node %q", user, node)}
	}
	return nil
}

func streaming(verb string, serve func(context.Context, bus.Request, bus.Stream)) func(context.Context, bus.Request, bus.Stream) {
	return func(ctx context.Context, r bus.Request, stream bus.Stream) {
		if err := allowed(r.From, verb); err != nil {
			_ = sendFailure(ctx, stream, fmt.Errorf("%s: %w", verb, err)) // a client that is gone cannot be told
			return
		}
		serve(ctx, r, stream)
	}
}

// badRequest is an error in what was asked, rather than in answering it.
type badRequest struct{ error }

// statusOf turns an error into what clients understand.
func statusOf(err error) *metav1.Status {
	st := &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonInternalError, Code: 500, Message: err.Error()}
	var bad badRequest
	var no forbidden
	var horizon *bus.HorizonError
	var said *apierrors.StatusError
	switch {
	case errors.As(err, &said):
		return &said.ErrStatus
	case errors.As(err, &horizon):
		st.Reason, st.Code = metav1.StatusReasonExpired, 410
	case errors.As(err, &no):
		st.Reason, st.Code = metav1.StatusReasonForbidden, 403
	case errors.As(err, &bad):
		st.Reason, st.Code = metav1.StatusReasonBadRequest, 400
	case errors.Is(err, context.DeadlineExceeded):
		st.Reason, st.Code = metav1.StatusReasonTimeout, 504
	case errors.Is(err, bus.ErrFull):
		st.Reason, st.Code = metav1.StatusReasonServiceUnavailable, 503
	}
	return st
}

// decode reads a request's body.
func decode[T any](r bus.Request) (T, error) {
	var v T
	if err := json.Unmarshal(r.Body, &v); err != nil {
		return v, badRequest{fmt.Errorf("decode request: %w", err)}
	}
	return v, nil
}

// view is the durable state, at least as new as seq.
func (s *Server) view(ctx context.Context, seq events.Seq) (projections.State, error) {
	if seq == 0 {
		return s.Views.Durable(), nil
	}
	v, err := s.Views.WaitDurable(ctx, seq)
	if err != nil {
		return v, fmt.Errorf("wait for sequence %d: %w", seq, err)
	}
	return v, nil
}

func (s *Server) cluster(ctx context.Context, _ bus.Request) (any, error) {
	v := s.Views.Durable()
	c := v.Cluster()
	r := wire.ClusterReply{Name: s.Cluster, Version: s.Version, Seq: v.Seq, Durable: s.Log.Durable(), Epoch: v.Epoch, Holder: v.Holder,
		Address: s.Address, DNS: c.DNS, Void: v.Void, Unknown: v.Unknown}
	for o := range v.List(events.Nodes, "") {
		r.Nodes++
		if n, ok := v.Node(o.Key.Name); ok && n.Report.Ready {
			r.Ready++
		}
	}
	var err error
	r.Horizon, err = s.horizon(ctx, 0)
	return r, err
}
