package api

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/gateway/badge"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// access answers an agent with the tokens that the volumes of a pod of its node
// ask for. What they are for is read from the pod, not from the agent.
func (s *Server) access(_ context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.AccessRequest](r)
	if err == nil {
		err = theNodeItself(r.From, req.Node)
	}
	if err != nil {
		return nil, err
	}
	if s.Tokens == nil {
		return nil, badRequest{errors.New("this cluster gives out no tokens: it serves no Kubernetes API")}
	}
	v := s.Views.Durable()
	o, err := podOn(v, req.Node, req.Pod)
	if err != nil {
		return nil, err
	}
	bound, err := badge.BindPod(v, o)
	if err != nil {
		return nil, badRequest{err}
	}
	// Also when nothing is to be mounted any more: the node may have begun before.
	pod := projections.As[*corev1.Pod](o).DeepCopy()
	projections.FillAccess(pod, o.UID, true)
	return s.tokens(v, pod, bound)
}

func (s *Server) tokens(v projections.State, pod *corev1.Pod, bound badge.Bound) (wire.AccessReply, error) {
	var reply wire.AccessReply
	//stave:sorted who reads them puts them back into a map
	for at, want := range badge.Mounted(pod) {
		var audiences []string
		if want.Audience != "" {
			audiences = []string{want.Audience}
		}
		life := time.Hour
		if n := want.ExpirationSeconds; n != nil {
			life = time.Duration(*n) * time.Second
		}
		text, _, err := s.Tokens.Issue(bound, audiences, life)
		if err != nil {
			return reply, err
		}
		reply.Tokens = append(reply.Tokens, wire.AccessToken{Volume: at.Volume, Path: at.Path, Token: []byte(text), Life: life})
	}
	if root, ok := v.Get(projections.RootKey); ok {
		reply.Root = projections.As[*corev1.ConfigMap](root).Data[projections.RootFile]
	}
	return reply, nil
}
