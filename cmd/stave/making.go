package main

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
)

// making makes an object of each one that is named: a service of what it leads to, an autoscaler of what it scales.
type making struct {
	changeFlags
	files
	what     []string // TYPE/NAME, or TYPE NAME
	resource events.Resource
	outcome  string // what became of the one that is named, in kubectl's word
	of       func(o events.Object, k events.Key) (events.Object, error)
}

func (m making) run(ctx context.Context, s *session) error {
	items, err := s.items(ctx, m.files, m.what)
	if err != nil {
		return err
	}
	m.DryRun = m.DryRun.settled(s)
	var errs []error
	for _, it := range items {
		errs = append(errs, m.one(ctx, s, it.Key))
	}
	return errors.Join(errs...)
}

func (m making) one(ctx context.Context, s *session, k events.Key) error {
	o, err := readOne[events.Object](ctx, s, k)
	if err != nil {
		return err
	}
	made, err := m.of(o, k)
	if err != nil {
		return err
	}
	doc := manifest.DocOf(made)
	r := wire.Result{Key: events.Key{Resource: m.resource, Namespace: made.GetNamespace(), Name: made.GetName()}, Object: doc.JSON()}
	if m.DryRun != dryRunClient {
		results, err := s.change(ctx, wire.ChangeRequest{Operation: wire.Create, DryRun: m.DryRun != "", Message: m.Message, Items: []wire.Item{{Object: doc.JSON()}}})
		if err != nil {
			return err
		}
		r = results[0]
	}
	if m.Output != formatTable && r.Error == nil {
		return s.printObjects(m.Output, []json.RawMessage{r.Object}, true)
	}
	r.Outcome = m.outcome
	return s.printResults([]wire.Result{r}, m.DryRun.suffix())
}
