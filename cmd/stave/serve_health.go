package main

import (
	"errors"
	"log/slog"
	"net"
	"slices"

	"github.com/stave-run/stave/dataplane/claim"
	"github.com/stave-run/stave/dataplane/health"
	"github.com/stave-run/stave/dataplane/plan"
	"github.com/stave-run/stave/projections"
)

// healthPorts are the ports on which a node tells load balancers whether it has endpoints of their services. It
// is used with the network's lock held.
type healthPorts struct {
	log     *slog.Logger
	answers *health.Answers
	wanted  map[string]wantedHealth // by service
}

// wantedHealth is what is to be told of a service, and where.
type wantedHealth struct {
	port    plan.Frontend
	service health.Service
}

func newHealthPorts(log *slog.Logger) *healthPorts {
	return &healthPorts{log: log, answers: health.New(log), wanted: map[string]wantedHealth{}}
}

// note keeps what a service's balancer is to be told by this node.
func (h *healthPorts) note(s projections.NetService, node string) {
	key := serviceName(s.Key)
	if s.HealthPort == 0 || s.Others {
		delete(h.wanted, key)
		return
	}
	h.wanted[key] = wantedHealth{plan.Frontend{Port: uint16(s.HealthPort), Proto: plan.TCP},
		health.Service{Namespace: s.Key.Namespace, Name: s.Key.Name, Endpoints: s.ReadyOn(node)}}
}

func (h *healthPorts) forget(keys []string) {
	for _, k := range keys {
		delete(h.wanted, k)
	}
}

func (h *healthPorts) forgetAll() { clear(h.wanted) }

// ports are those that a service needs beside its node ports.
func (h *healthPorts) ports(key string) []plan.Frontend {
	if w, ok := h.wanted[key]; ok {
		return []plan.Frontend{w.port}
	}
	return nil
}

// release stops answering on ports that services do not want any more, so that others can have them.
func (h *healthPorts) release(keys []string) {
	for _, key := range keys {
		if w, ok := h.wanted[key]; !ok || !h.answers.On(key, w.port.Port) {
			h.warn(key, h.answers.Stop(key))
		}
	}
}

// serve answers for services whose ports are claimed. A port that somebody else has is a condition of the node, as a
// node port is, and asked for again as those are.
func (h *healthPorts) serve(keys []string, claims *claim.Claims, taken map[string][]*claim.TakenError) {
	for _, key := range keys {
		w, ok := h.wanted[key]
		if !ok || slices.ContainsFunc(taken[key], func(e *claim.TakenError) bool { return e.Port == w.port }) {
			continue
		}
		h.warn(key, h.answers.Tell(w.service, w.port.Port, func() (net.Listener, error) { return claims.Listen(w.port) }))
	}
}

func (h *healthPorts) warn(key string, err error) {
	if err != nil {
		h.log.Warn("tell load balancers which nodes have endpoints", "service", key, "err", err)
	}
}

func (h *healthPorts) close() error {
	if err := h.answers.Close(); err != nil {
		return errors.Join(errors.New("stop telling load balancers"), err)
	}
	return nil
}
