package api

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// join makes the node that its agent says it is, or finds it, and answers with
// its place in the cluster.
func (s *Server) join(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.JoinRequest](r)
	if err == nil {
		err = theNodeItself(r.From, req.Node)
	}
	if err != nil {
		return nil, err
	}
	var refusal *metav1.Status
	key := admit.NodeKey(req.Node)
	made, err := s.Writer.Submit(ctx, Wish{Actor: events.NodeActor(req.Node), ID: "join/" + s.Now().UTC().Format(time.RFC3339Nano), Key: key, Message: "node joins",
		Decide: func(v projections.State, _ time.Time) (drafts []reconcilers.Draft, _ error) {
			drafts, refusal = admit.Join(v, req)
			return drafts, nil
		}})
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", req.Node, err)
	}
	if refusal != nil {
		return wire.JoinReply{Error: refusal}, nil
	}
	v := s.Views.Durable()
	if len(made) > 0 {
		if v, err = s.view(ctx, made[len(made)-1].Seq); err != nil {
			return nil, err
		}
	}
	return admit.Place(v, req.Node), nil
}

// desired answers an agent with all that its node shall run.
func (s *Server) desired(_ context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.DesiredRequest](r)
	if err == nil {
		err = theNodeItself(r.From, req.Node)
	}
	if err != nil {
		return nil, err
	}
	return projections.DesiredFor(s.Views.Durable(), req.Node), nil
}

// network answers an agent with every service row.
func (s *Server) network(context.Context, bus.Request) (any, error) {
	return projections.NetAll(s.Views.Durable()), nil
}
