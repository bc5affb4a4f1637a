package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// scaleCmd is `stave scale`.
type scaleCmd struct {
	files
	Replicas        int32    `required:"" help:"How many there shall be." placeholder:"N"`
	CurrentReplicas *int32   `help:"Only when there are this many wanted now." placeholder:"N"`
	Selector        string   `short:"l" help:"Label selector: scale what matches of the type." placeholder:"SELECTOR"`
	All             bool     `help:"All objects of the type in the namespace."`
	Message         string   `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
	DryRun          dryRun   `name:"dry-run" help:"Only say what would happen: client or server." placeholder:"MODE"`
	Output          format   `short:"o" help:"Print the objects instead: yaml, json, name, jsonpath=…" placeholder:"FORMAT"`
	What            []string `arg:"" optional:"" help:"TYPE/NAME, or TYPE NAME: a deployment, statefulset, replicaset or replicationcontroller."`
}

// Help implements kong's detailed help.
func (scaleCmd) Help() string {
	return `Examples:
  stave scale deployment/web --replicas=5
  stave scale deploy web --replicas=0 -m "nobody needs it tonight"
  stave scale deploy/web --current-replicas=3 --replicas=5`
}

// Run scales every target.
func (c *scaleCmd) Run(ctx context.Context, s *session) error {
	if c.Replicas < 0 {
		return errors.New("the --replicas=COUNT flag must be 0 or more")
	}
	if c.Output == formatWide {
		return errors.New("cannot print as \"wide\": yaml, json, name or a template")
	}
	items, err := s.chosen(ctx, c.files, c.Selector, c.All, c.What)
	if err != nil || len(items) == 0 {
		return err
	}
	dry := c.DryRun.settled(s)
	results, err := s.change(ctx, wire.ChangeRequest{Operation: wire.Scale, Items: items, Replicas: c.Replicas,
		CurrentReplicas: c.CurrentReplicas, Brief: c.Output == formatTable, DryRun: dry != "", Message: c.Message})
	if err != nil {
		return err
	}
	if c.Output == formatTable {
		return s.printResults(results, dry.suffix())
	}
	var objects []json.RawMessage
	var errs []error
	for _, r := range results {
		if r.Error != nil {
			errs = append(errs, refused(r.Error))
			continue
		}
		objects = append(objects, r.Object)
	}
	if len(objects) > 0 {
		errs = append(errs, s.printObjects(c.Output, objects, len(items) == 1))
	}
	return errors.Join(errs...)
}

// chosen are the objects that arguments name or, with a selector or all, what there is of their types. That this is nothing is
// told, and no error.
func (s *session) chosen(ctx context.Context, f files, selector string, all bool, args []string) ([]wire.Item, error) {
	items, err := s.selected(ctx, f, selector, all, args)
	if err == nil && len(items) == 0 && (selector != "" || all) {
		fmt.Fprintf(s.err, "No resources found in %s namespace.\n", s.inNamespace())
	}
	return items, err
}

// selected is chosen for who says by himself that there is nothing.
func (s *session) selected(ctx context.Context, f files, selector string, all bool, args []string) ([]wire.Item, error) {
	if selector == "" && !all {
		return s.items(ctx, f, args)
	}
	return (&deleteCmd{Selector: selector, All: all, What: args}).matching(ctx, s)
}

var errNoName = errors.New("resource(s) were provided, but no name was specified")

// items turns files or arguments that name objects into items of a change.
func (s *session) items(ctx context.Context, f files, args []string) ([]wire.Item, error) {
	targets, err := s.targets(ctx, f, args)
	if err != nil {
		return nil, err
	}
	var items []wire.Item
	for _, t := range targets {
		for _, n := range t.names {
			k := s.key(t.kind, n)
			if t.namespace != "" {
				k.Namespace = t.namespace
			}
			items = append(items, wire.Item{Key: k})
		}
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%w\nhelp: stave get %s lists them", errNoName, args[0])
	}
	return items, nil
}

// printResults shows the outcome of each item; refusals come back as the error.
func (s *session) printResults(results []wire.Result, suffix string) error {
	var errs []error
	var last events.Seq
	for _, r := range results {
		for _, w := range r.Warnings {
			fmt.Fprintln(s.err, "Warning: "+w)
		}
		if r.Error != nil {
			errs = append(errs, refused(r.Error))
			continue
		}
		fmt.Fprintf(s.out, "%s %s%s\n", printedName(r.Key), r.Outcome, suffix)
		last = max(last, r.Seq)
	}
	s.sayWhere(last)
	return errors.Join(errs...)
}
