package api

import (
	"context"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/why"
)

// status tells what is wrong with the cluster.
func (s *Server) status(ctx context.Context, r bus.Request) (any, error) {
	req, err := decode[wire.StatusRequest](r)
	if err != nil {
		return nil, err
	}
	v, now, err := s.viewAt(ctx, req.At, 0)
	if err != nil {
		return nil, err
	}
	var unread error
	st := why.Look(why.Survey{State: v, Now: now, Namespace: req.Namespace, Home: req.Home, At: s.at(ctx),
		Past: func(k events.Key) []events.Envelope {
			log, err := s.past(ctx, v, k)
			if err != nil {
				unread = err
			}
			return log
		}})
	return wire.TextReply{Text: st.String(), JSON: st.JSON()}, unread
}
