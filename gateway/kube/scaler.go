package kube

import (
	"context"
	"time"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/autoscale"
)

// measurePeriod is how often the pods of autoscalers are measured, as in Kubernetes.
const measurePeriod = 15 * time.Second

// autoscale measures for all autoscalers until the context ends, and appends what changes their minds; what comes of it is
// decided by reconcilers/autoscale.
func (s *Server) autoscale(ctx context.Context) {
	tick := time.NewTicker(s.MeasurePeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.measureAll(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// measureAll asks each node once that a pod of some autoscaler runs on.
func (s *Server) measureAll(ctx context.Context) {
	v := s.Views.Durable()
	spaces := map[string]bool{}
	var all []*projections.Object
	for o := range v.List(events.Autoscalers, "") {
		if o.Deletion == nil {
			all, spaces[o.Key.Namespace] = append(all, o), true
		}
	}
	if len(all) == 0 {
		return
	}
	on := map[string]bool{}
	var nodes []string
	for space := range spaces {
		for o := range v.List(events.Pods, space) {
			if p, ok := v.PodOf(o.Key); ok && p.Node != "" && !on[p.Node] {
				on[p.Node], nodes = true, append(nodes, p.Node)
			}
		}
	}
	samples := samplesOf(s.ask(ctx, nodes))
	for _, o := range all {
		if err := s.measureFor(ctx, v, o, samples); err != nil && ctx.Err() == nil {
			s.Logger.Warn("measure for an autoscaler", "autoscaler", o.Key, "error", err)
		}
	}
}

// measureFor appends what was measured for one autoscaler, if somebody has to know.
func (s *Server) measureFor(ctx context.Context, v projections.State, o *projections.Object, samples autoscale.Samples) error {
	m, err := autoscale.Measure(v, o, samples, s.Now())
	if err != nil || !autoscale.Moved(o, m, s.Now()) {
		return nil //nolint:nilerr // a target that cannot be scaled is told by the reconciler
	}
	id, err := newID()
	if err != nil {
		return err
	}
	_, err = s.Writer.Submit(ctx, Wish{Actor: events.Controller("measure"), ID: id, Key: o.Key, Message: "measured",
		Decide: func(v projections.State, _ time.Time) ([]reconcilers.Draft, error) {
			return autoscale.Report(v, o, m), nil
		}})
	return err
}

// samplesOf are the figures of nodes by pod.
func samplesOf(said map[string]wire.Metrics) autoscale.Samples {
	out := autoscale.Samples{}
	for _, x := range said {
		for _, p := range x.Pods {
			sample := autoscale.Sample{At: x.At, Containers: map[string]autoscale.Use{}}
			for _, c := range p.Containers {
				const milli = 1_000_000                                                                                                                   // billionths in a thousandth
				sample.Containers[c.Name] = autoscale.Use{CPU: int64((c.Use.CPU + milli - 1) / milli), Memory: int64(c.Use.Memory), Window: c.Use.Window} //nolint:gosec // no machine has so much
			}
			out[p.UID] = sample
		}
	}
	return out
}
