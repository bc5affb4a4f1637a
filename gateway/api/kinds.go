package api

import (
	"context"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
)

// kinds tells which kinds definitions add.
func (s *Server) kinds(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.KindsRequest](r)
	if err != nil {
		return nil, err
	}
	v, _, err := s.viewAt(ctx, req.At, 0)
	if err != nil {
		return nil, err
	}
	var reply wire.KindsReply
	for o := range v.List(events.Definitions, "") {
		if len(v.NameConflicts(o)) > 0 {
			continue
		}
		spec := projections.As[*apiextensionsv1.CustomResourceDefinition](o).Spec.DeepCopy()
		for i := range spec.Versions {
			spec.Versions[i].Schema = nil
		}
		reply.Definitions = append(reply.Definitions, *spec)
	}
	return reply, nil
}
