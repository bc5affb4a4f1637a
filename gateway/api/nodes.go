package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

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
	v := s.Views.Durable()
	set := projections.DesiredFor(v, req.Node)
	set.Pack(v)
	return set, nil
}

// network answers an agent with every service row.
func (s *Server) network(context.Context, bus.Request) (any, error) {
	return projections.NetAll(s.Views.Durable()), nil
}

var errNoGuests = errors.New("this server lets no nodes in")

// token answers a person with what a node joins with.
func (s *Server) token(_ context.Context, r bus.Request) (any, error) {
	node, err := s.guest(r)
	if err != nil {
		return nil, err
	}
	t, err := s.Guests.Token(node)
	return wire.TokenReply{Token: t}, err
}

// expel lets a node in no more.
func (s *Server) expel(_ context.Context, r bus.Request) (any, error) {
	node, err := s.guest(r)
	if err != nil {
		return nil, err
	}
	return wire.TokenReply{}, s.Guests.Expel(node)
}

// guest reads which node a request is about.
func (s *Server) guest(r bus.Request) (string, error) {
	req, err := decode[wire.TokenRequest](r)
	switch {
	case err != nil:
		return "", err
	case s.Guests == nil:
		return "", errNoGuests
	}
	if bad := validation.IsDNS1123Subdomain(req.Node); len(bad) > 0 {
		return "", badRequest{fmt.Errorf("node name %q: %s", req.Node, strings.Join(bad, "; "))}
	}
	return req.Node, nil
}
