package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// describeCmd is `stave describe`.
type describeCmd struct {
	files
	then
	AllNamespaces bool     `short:"A" help:"In all namespaces."`
	Selector      string   `short:"l" help:"Label selector." placeholder:"SELECTOR"`
	What          []string `arg:"" optional:"" help:"TYPE, TYPE NAME…, or TYPE/NAME…; a name's beginning is enough."`
}

// Help implements kong's detailed help.
func (describeCmd) Help() string {
	return `Examples:
  stave describe pod web-1
  stave describe node
  stave describe deploy/web svc/web
  stave describe -f web.yaml
  stave describe pod web-1 --at 10m`
}

// Run describes each object.
func (c *describeCmd) Run(ctx context.Context, s *session) error {
	targets, err := s.targets(ctx, c.files, c.What)
	if err != nil {
		return err
	}
	var keys []events.Key
	var errs []error
	for _, t := range targets {
		found, err := c.keys(ctx, s, t)
		keys, errs = append(keys, found...), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil && len(keys) == 0 {
		return err
	}
	if len(keys) == 0 {
		s.sayNone(targets, c.AllNamespaces)
		return nil
	}
	return errors.Join(c.describeEach(ctx, s, keys), errors.Join(errs...))
}

func (c *describeCmd) describeEach(ctx context.Context, s *session, keys []events.Key) error {
	var errs []error
	for i, k := range keys {
		reply, err := ask[wire.TextReply](ctx, s, wire.VerbDescribe, wire.DescribeRequest{Key: k, At: c.At.Moment})
		if err == nil {
			err = refused(reply.Error)
		}
		if errs = append(errs, err); err != nil {
			continue
		}
		if i > 0 {
			fmt.Fprint(s.out, "\n\n")
		}
		fmt.Fprint(s.out, reply.Text)
	}
	return errors.Join(errs...)
}

// keys finds the objects of a target: by name, else by the name's beginning,
// else by label, else all.
func (c *describeCmd) keys(ctx context.Context, s *session, t target) ([]events.Key, error) {
	in := s.key(t.kind, "").Namespace
	if t.namespace != "" {
		in = t.namespace
	}
	req := wire.ReadRequest{Resource: t.kind.Resource, Namespace: in, LabelSelector: c.Selector, At: c.At.Moment}
	if c.AllNamespaces {
		req.Namespace = ""
	}
	reply, err := s.read(ctx, req)
	if err != nil {
		return nil, err
	}
	var all []events.Key
	for _, raw := range reply.Objects {
		k, err := identify(raw)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	if len(t.names) == 0 {
		return all, nil
	}
	var out []events.Key
	var errs []error
	for _, n := range t.names {
		found := named(all, n)
		if len(found) == 0 {
			errs = append(errs, notFound(s.key(t.kind, n)))
		}
		out = append(out, found...)
	}
	return out, errors.Join(errs...)
}

func named(all []events.Key, name string) []events.Key {
	if i := slices.IndexFunc(all, func(k events.Key) bool { return k.Name == name }); i >= 0 {
		return all[i : i+1]
	}
	var out []events.Key
	for _, k := range all {
		if strings.HasPrefix(k.Name, name) {
			out = append(out, k)
		}
	}
	return out
}
