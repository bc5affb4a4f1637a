package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections/table"
)

// getCmd is `stave get`.
type getCmd struct {
	files
	then
	Output         format      `short:"o" help:"wide, yaml, json, name, jsonpath=TEMPLATE, custom-columns=NAME:PATH,… or go-template=TEMPLATE." placeholder:"FORMAT"`
	Selector       string      `short:"l" help:"Label selector: =, ==, !=, in, notin, exists." placeholder:"SELECTOR"`
	FieldSelector  string      `help:"Field selector: metadata.name=x, spec.nodeName=n1, status.phase=Running." placeholder:"SELECTOR"`
	AllNamespaces  bool        `short:"A" help:"In all namespaces."`
	Watch          bool        `short:"w" help:"Go on printing what changes."`
	From           uint64      `help:"With -w: print every change after this sequence, and then what changes." placeholder:"SEQ"`
	WatchOnly      bool        `help:"Print only what changes from now on."`
	ChunkSize      int64       `help:"How many objects of a list are printed at a time, while the rest is on its way; 0 prints all at once." placeholder:"N" default:"500"`
	ShowKind       bool        `help:"Print the type before each name."`
	SortBy         string      `help:"Order by what a path finds: .metadata.creationTimestamp, .status.podIP." placeholder:"PATH"`
	NoHeaders      bool        `help:"Print no header line."`
	ShowLabels     bool        `help:"Print the labels as the last column."`
	LabelColumns   []string    `short:"L" help:"Labels to print as columns." placeholder:"LABEL"`
	Part           subresource `name:"subresource" help:"Of the objects that are named: status, scale or resize." enum:",status,scale,resize" default:"" placeholder:"NAME"`
	IgnoreNotFound bool        `help:"An object that is not there is no error."`
	What           []string    `arg:"" optional:"" help:"TYPE, TYPE NAME…, TYPE/NAME…, or TYPE,TYPE."`
}

// Help implements kong's detailed help.
func (getCmd) Help() string {
	return `Examples:
  stave get pods -o wide
  stave get deploy,svc -A -l app=web
  stave get pod web-1 -o jsonpath={.status.podIP}
  stave get pods -o custom-columns=NAME:.metadata.name,NODE:.spec.nodeName --sort-by=.spec.nodeName
  stave get deploy web --subresource=scale
  stave get -f web.yaml
  stave get pods -w
  stave get pods -w --from 412
  stave get pods -w --at 10m
  stave get pods --at 10m
  stave get deploy web -o yaml --at 412

A case: a map as it was, before its namespace was deleted.
  $ stave get cm settings --at 25 -o yaml
  apiVersion: v1
  data:
    tea: "4"
  kind: ConfigMap
  metadata:
    creationTimestamp: "2026-11-28T22:05:07Z"
    name: settings
    namespace: shop
    resourceVersion: "1638400"
    uid: 43789b5f-ab2f-8196-b1c9-ce2a40c2bf3d`
}

// Run lists what was asked for.
func (c *getCmd) Run(ctx context.Context, s *session) error {
	targets, err := s.targets(ctx, c.files, c.What)
	if err != nil {
		return err
	}
	c.Watch = c.Watch || c.WatchOnly
	if err := c.part(targets); err != nil {
		return err
	}
	if c.From != 0 && !c.Watch {
		return errors.New("--from goes with -w\nhelp: stave get TYPE --at SEQ shows what was then")
	}
	if c.From != 0 && !c.At.IsZero() {
		return errors.New("--from and --at both say where to begin: give one of them")
	}
	if c.Watch {
		return c.watch(ctx, s, targets)
	}
	if c.Output != formatTable && c.Output != formatWide {
		return c.documents(ctx, s, targets)
	}
	return c.tables(ctx, s, targets)
}

// request is what one target asks for.
func (c *getCmd) request(s *session, t target) wire.ReadRequest {
	r := wire.ReadRequest{At: c.At.Moment, Resource: t.kind.Resource, Names: t.names, LabelSelector: c.Selector, FieldSelector: c.FieldSelector}
	if t.kind.Namespaced && !c.AllNamespaces {
		if r.Namespace = t.namespace; r.Namespace == "" {
			r.Namespace = s.inNamespace()
		}
	}
	return r
}

// fetch reads one target; names that are missing come back as errors.
func (c *getCmd) fetch(ctx context.Context, s *session, t target) (wire.ReadReply, error) {
	if len(t.names) > 0 && c.AllNamespaces {
		return wire.ReadReply{}, errors.New("a resource cannot be retrieved by name across all namespaces")
	}
	reply, err := s.read(ctx, c.request(s, t))
	if err == nil && c.SortBy != "" {
		err = sortBy(c.SortBy, reply.Objects)
	}
	if err != nil || c.IgnoreNotFound {
		return reply, err
	}
	var missing []error
	for _, n := range reply.Missing {
		missing = append(missing, notFound(s.key(t.kind, n)))
	}
	return reply, errors.Join(missing...)
}

func (c *getCmd) documents(ctx context.Context, s *session, targets []target) error {
	var all []json.RawMessage
	var errs []error
	alone := len(targets) == 1 && len(targets[0].names) == 1
	for _, t := range targets {
		reply, err := c.fetch(ctx, s, t)
		errs = append(errs, err)
		reply.Objects, err = c.shown(t.kind, reply.Objects)
		errs = append(errs, err)
		all = append(all, reply.Objects...)
	}
	if err := errors.Join(errs...); err != nil && (alone || len(all) == 0) {
		return err
	}
	if alone && len(all) == 0 || c.Output == formatName && len(all) == 0 {
		return nil
	}
	if name, spec := c.Output.template(); name == customColumns {
		return errors.Join(append(errs, s.printColumns(spec, all, c.NoHeaders))...)
	}
	return errors.Join(append(errs, s.printObjects(c.Output, all, alone))...)
}

// sayNone is what kubectl says on stderr about an empty list.
func (s *session) sayNone(targets []target, everywhere bool) {
	if everywhere || !targets[0].kind.Namespaced {
		fmt.Fprintln(s.err, "No resources found")
		return
	}
	fmt.Fprintf(s.err, "No resources found in %s namespace.\n", s.inNamespace())
}

func (c *getCmd) table(t target, raw []json.RawMessage, now time.Time) (table.Table, error) {
	objects, err := decodeAll(raw)
	if err != nil {
		return table.Table{}, err
	}
	if c.Part == partScale {
		all := make([]*autoscalingv1.Scale, len(objects))
		for i, o := range objects {
			all[i] = scaleOf(o)
		}
		return table.Scales(all, now), nil
	}
	return tableOf(t.kind, objects, now)
}

// shown are objects as a person wants to see them: as their scales, or in the version of the kind that was typed.
func (c *getCmd) shown(k events.Kind, objects []json.RawMessage) ([]json.RawMessage, error) {
	kept, _ := kindOf(k.Resource)
	switch {
	case c.Part == partScale:
		return scales(objects)
	case k.Custom() || k.Version == kept.Version || c.Output == formatName:
		return objects, nil
	}
	all, err := decodeAll(objects)
	if err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(all))
	for i, o := range all {
		if out[i], err = json.Marshal(manifest.InVersion(o, k.Version)); err != nil {
			return nil, fmt.Errorf("encode %s: %w", o.GetName(), err)
		}
	}
	return out, nil
}

// part refuses a subresource that the targets do not have. That of a list nobody has.
func (c *getCmd) part(targets []target) error {
	if c.Part == "" {
		return nil
	}
	var errs []error
	for _, t := range targets {
		if errs = append(errs, c.Part.has(t.kind)); len(t.names) == 0 || c.Watch {
			errs = append(errs, errors.New("subresource cannot be used when bulk resources are specified\nhelp: stave get deploy web --subresource=scale"))
		}
	}
	return errors.Join(errs...)
}

func (c *getCmd) options(t target) table.Options {
	return table.Options{Wide: c.Output == formatWide, NoHeaders: c.NoHeaders, Namespace: c.AllNamespaces && t.kind.Namespaced,
		KindPrefix: c.ShowKind, ShowLabels: c.ShowLabels, LabelColumns: c.LabelColumns}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
