package main

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
)

// replaceCmd is `stave replace`.
type replaceCmd struct {
	files
	DryRun  dryRun      `name:"dry-run" help:"Only say what would happen: client or server." placeholder:"MODE"`
	Output  format      `short:"o" help:"Print the objects instead: yaml, json, name, jsonpath=…" placeholder:"FORMAT"`
	Message string      `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
	Part    subresource `name:"subresource" help:"Of each object: status." enum:",status" default:"" placeholder:"NAME"`
	Force   bool        `help:"Delete what is there, wait until it is gone, and create it anew."`
}

// Help implements kong's detailed help.
func (replaceCmd) Help() string {
	return `Examples:
  stave replace -f web.yaml
  stave get cm colours -o yaml | sed s/blue/grey/ | stave replace -f -
  stave replace --subresource=status -f node.yaml
  stave replace --force -f pod.yaml`
}

// Run replaces each object by its manifest, whole. A resourceVersion in the
// manifest has to be the present one.
func (c *replaceCmd) Run(ctx context.Context, s *session) error {
	if len(c.Filename) == 0 {
		return errors.New("must specify -f with manifests to replace\nhelp: stave replace -f FILE")
	}
	docs, err := c.load(s)
	if err != nil {
		return err
	}
	ch := changing{op: wire.Replace, dryRun: c.DryRun.settled(s), output: c.Output, message: c.Message}
	if c.Part == partStatus {
		ch.op = wire.Status
		for _, d := range docs {
			if err := c.Part.has(d.Kind); err != nil {
				return err
			}
		}
	}
	if c.Force && c.Part == "" && ch.dryRun == "" {
		if err := c.remove(ctx, s, docs); err != nil {
			return err
		}
		ch.op = wire.Create
	}
	_, err = ch.send(ctx, s, docs)
	return err
}

// remove deletes what the manifests name and waits until it is gone.
func (c *replaceCmd) remove(ctx context.Context, s *session, docs []manifest.Doc) error {
	if err := (changing{}).place(ctx, s, docs); err != nil {
		return err
	}
	req := wire.ChangeRequest{Operation: wire.Delete, Message: c.Message}
	for _, d := range docs {
		d.Object.SetResourceVersion("")
		req.Items = append(req.Items, wire.Item{Key: events.Key{Resource: d.Kind.Resource, Namespace: d.Object.GetNamespace(), Name: d.Object.GetName()}})
	}
	results, err := s.change(ctx, req)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range results {
		if r.Error != nil && r.Error.Reason != metav1.StatusReasonNotFound {
			errs = append(errs, refused(r.Error))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.waitGone(ctx, results, 0)
}
