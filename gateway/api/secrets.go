package api

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/undo"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// sealed has the values of Secrets sealed before anything else looks at the items, and
// tells what each item is about: that is read out of it once.
func (s *Server) sealed(items []wire.Item, dryRun bool) ([]wire.Item, []events.Key, error) {
	out, keys := make([]wire.Item, len(items)), make([]events.Key, len(items))
	v := s.Views.Durable()
	for i, item := range items {
		keys[i] = admit.KeyOf(v, item)
		var err error
		if out[i], err = s.Vault.Seal(v, keys[i], item, dryRun); err != nil {
			return nil, nil, fmt.Errorf("item %d: %w", i+1, err)
		}
	}
	return out, keys, nil
}

// shred destroys the keys of the Secrets that were deleted for good.
func (s *Server) shred(results []wire.Result) error {
	v := s.Views.Durable()
	for _, r := range results {
		if r.Error != nil || r.Key.Resource != events.Secrets {
			continue
		}
		if err := s.Vault.Shred(v, r.Key); err != nil {
			return fmt.Errorf("%s is deleted, and its key is still there: %w", r.Key, err)
		}
	}
	return nil
}

// lasting refuses to bring back a Secret whose values nobody can open any more.
func (s *Server) lasting(steps []undo.Step) error {
	for _, step := range steps {
		if step.Was == nil {
			continue
		}
		gone := s.Vault.Missing(step.Key, step.Was.Raw)
		if len(gone) == 0 {
			continue
		}
		return &undo.Refusal{Said: fmt.Sprintf("%s cannot come back: the key of %s was destroyed, by 'delete --shred' or because its deletion lies too far back; create it anew",
			step.Key, strings.Join(gone, ", "))}
	}
	return nil
}

// podOn is a pod that a node has.
func podOn(v projections.State, node string, pod events.Ref) (*projections.Object, error) {
	o, there := v.Get(pod.Key)
	p, assigned := v.PodOf(pod.Key)
	if !there || !assigned || o.UID != pod.UID || p.Node != node {
		return nil, forbidden{fmt.Errorf("%s is not a pod of node %q", pod.Key, node)}
	}
	return o, nil
}

// open answers an agent with the plain values of the Secrets that a pod of its
// node mentions.
func (s *Server) open(_ context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.OpenRequest](r)
	if err == nil {
		err = theNodeItself(r.From, req.Node)
	}
	if err != nil {
		return nil, err
	}
	v := s.Views.Durable()
	o, err := podOn(v, req.Node, req.Pod)
	if err != nil {
		return nil, err
	}
	reply := wire.OpenReply{Secrets: map[string]projections.SecretData{}}
	for _, m := range v.ConfigFor(o) {
		row, ok := v.Get(m.Key(req.Pod.Key.Namespace))
		if m.Resource != events.Secrets || !ok {
			continue
		}
		plain, err := s.Vault.Values(projections.As[*corev1.Secret](row))
		if err != nil {
			return nil, fmt.Errorf("secret %q: %w", m.Name, err)
		}
		reply.Secrets[m.Name] = projections.SecretData{Data: plain, Position: row.Position}
	}
	return reply, nil
}
