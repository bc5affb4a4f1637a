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

// certify makes a request for a certificate of a pod of the agent's node, and answers with its name.
func (s *Server) certify(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.CertifyRequest](r)
	if err == nil {
		err = theNodeItself(r.From, req.Node)
	}
	if err != nil {
		return nil, err
	}
	actor := events.NodeActor(req.Node)
	id := fmt.Sprintf("certify/%s/%x", s.Now().UTC().Format(time.RFC3339Nano), events.HashOf(req.Request))
	key := events.Key{Resource: events.PodCertRequests, Namespace: req.Pod.Key.Namespace}
	op := events.NewOpID(s.Cluster, actor, id, key, 0)
	var out admit.Outcome
	var refusal *metav1.Status
	_, err = s.Writer.Submit(ctx, Wish{Actor: actor, ID: id, Key: key, Message: "a certificate for pod " + req.Pod.Key.Name,
		Decide: func(v projections.State, now time.Time) ([]reconcilers.Draft, error) {
			out, refusal = admit.Certify(v, req, op, now)
			return out.Drafts, nil
		}})
	if err != nil {
		return nil, fmt.Errorf("ask for a certificate: %w", err)
	}
	return wire.CertifyReply{Name: out.Result.Key.Name, Error: refusal}, nil
}
