package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

func find(all []revision, number int64) (revision, error) {
	for _, r := range all {
		if r.number == number {
			return r, nil
		}
	}
	return revision{}, fmt.Errorf("unable to find specified revision %d in history", number)
}

// rolloutHistoryCmd is `stave rollout history`.
type rolloutHistoryCmd struct {
	rolling
	Revision int64  `help:"Show this revision's template." placeholder:"N"`
	Output   format `short:"o" help:"Print what keeps the revision instead, a ReplicaSet or ControllerRevision: yaml, json, jsonpath=…" placeholder:"FORMAT"`
}

// Help implements kong's detailed help.
func (rolloutHistoryCmd) Help() string {
	return `Examples:
  stave rollout history deployment/web
  stave rollout history deployment/web --revision=2`
}

// Run prints the revisions that are kept.
func (c *rolloutHistoryCmd) Run(ctx context.Context, s *session) error {
	items, err := c.workloads(ctx, s)
	if err != nil {
		return err
	}
	var errs []error
	for _, it := range items {
		errs = append(errs, c.one(ctx, s, it.Key))
	}
	return errors.Join(errs...)
}

func (c *rolloutHistoryCmd) one(ctx context.Context, s *session, k events.Key) error {
	o, err := readOne[events.Object](ctx, s, k)
	if err != nil {
		return err
	}
	all, err := s.revisions(ctx, k, o)
	if err != nil {
		return err
	}
	if c.Revision != 0 {
		r, err := find(all, c.Revision)
		if err != nil {
			return err
		}
		return c.show(s, k, r)
	}
	if c.Output != formatTable {
		return c.documents(s, all)
	}
	fmt.Fprintf(s.out, "%s \n", printedName(k))
	w := tabwriter.NewWriter(s.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "REVISION\tCHANGE-CAUSE")
	for _, r := range all {
		cause := r.kept.GetAnnotations()[causeAnnotation]
		if cause == "" {
			cause = "<none>"
		}
		fmt.Fprintf(w, "%d\t%s\n", r.number, cause)
	}
	fmt.Fprintln(w)
	return w.Flush()
}

func (c *rolloutHistoryCmd) documents(s *session, all []revision) error {
	var docs []json.RawMessage
	for _, r := range all {
		raw, err := json.Marshal(r.kept)
		if err != nil {
			return fmt.Errorf("encode revision %d: %w", r.number, err)
		}
		docs = append(docs, raw)
	}
	if len(docs) == 0 {
		return nil
	}
	return s.printObjects(c.Output, docs, false)
}

// show prints one revision: its template, as one would write it.
func (c *rolloutHistoryCmd) show(s *session, k events.Key, r revision) error {
	if c.Output != formatTable {
		raw, err := json.Marshal(r.kept)
		if err != nil {
			return fmt.Errorf("encode revision %d: %w", r.number, err)
		}
		return s.printObjects(c.Output, []json.RawMessage{raw}, true)
	}
	template, err := yaml.Marshal(r.template)
	if err != nil {
		return fmt.Errorf("print revision %d: %w", r.number, err)
	}
	fmt.Fprintf(s.out, "%s with revision #%d\nPod Template:\n%s", printedName(k), r.number, indented(template, "  "))
	return nil
}

// rolloutUndoCmd is `stave rollout undo`.
type rolloutUndoCmd struct {
	changeFlags
	rolling
	ToRevision int64 `help:"The revision to go back to; 0 is the one before." placeholder:"N"`
	KeepConfig bool  `help:"Go back to the template alone, as kubectl does, and mount the ConfigMaps as they are now."`
}

// Help implements kong's detailed help.
func (rolloutUndoCmd) Help() string {
	return `Goes back to an older template, and to the ConfigMaps that the revision's pods
were last started with. A map that has changed since is not set back, for others
use it too: this workload gets an immutable copy of its own, named by content.
The next apply of the manifest leads back to the map that all share.

Examples:
  stave rollout undo deployment/web
  stave rollout undo deployment/web --to-revision=2
  stave rollout undo deployment/web --dry-run=server
  stave rollout undo deployment/web --keep-config
  stave rollout undo daemonset/logs

A case: the map has changed since that revision ran.
  $ stave rollout undo deploy/web -n shop
  deployment.apps/web rolled back
  configmap/settings-882v579zbc is a copy of settings as it was at 17`
}

// Run puts the older template into the deployment; that is a rollout as any other.
func (c *rolloutUndoCmd) Run(ctx context.Context, s *session) error {
	items, err := c.workloads(ctx, s)
	if err != nil {
		return err
	}
	if c.ToRevision < 0 {
		return errors.New("--to-revision must be 0 or more")
	}
	c.DryRun = c.DryRun.settled(s)
	var errs []error
	for _, it := range items {
		errs = append(errs, c.one(ctx, s, it.Key))
	}
	return errors.Join(errs...)
}

func (c *rolloutUndoCmd) one(ctx context.Context, s *session, k events.Key) error {
	o, err := readOne[events.Object](ctx, s, k)
	if err != nil {
		return err
	}
	all, err := s.revisions(ctx, k, o)
	if err != nil {
		return err
	}
	r, err := c.wanted(k, all)
	if err != nil {
		return err
	}
	w := rewriting{changeFlags: c.changeFlags, done: "rolled back",
		same: fmt.Sprintf("skipped rollback (current template already matches revision %d)", r.number)}
	template := r.template
	var copies []copied
	if !c.KeepConfig {
		if copies, err = s.configOf(ctx, k, r, &template); err != nil {
			return err
		}
	}
	for _, m := range copies {
		w.beside = append(w.beside, wire.Item{Operation: wire.Apply, Object: m.raw})
	}
	err = w.one(ctx, s, k, typed(func(o events.Object) error {
		if paused(o) {
			return fmt.Errorf("you cannot rollback a paused deployment; resume it first with 'stave rollout resume deployment/%s' and try again", k.Name)
		}
		*templateIn(o) = template
		carryCause(o, r)
		return nil
	}))
	if err != nil {
		return err
	}
	for _, m := range copies {
		kind, _ := kindOf(m.resource)
		fmt.Fprintf(s.err, "%s/%s is a copy of %s as it was at %d\n", kind.Singular, m.name, m.of, m.at)
	}
	return nil
}

// wanted is the revision to go back to.
func (c *rolloutUndoCmd) wanted(k events.Key, all []revision) (revision, error) {
	switch {
	case c.ToRevision > 0:
		return find(all, c.ToRevision)
	case len(all) < 2:
		kind, _ := kindOf(k.Resource)
		return revision{}, fmt.Errorf("no rollout history found for %s %q", kind.Singular, k.Name)
	}
	return all[len(all)-2], nil
}

// carryCause lets the change-cause, which people write on workloads, follow the template.
func carryCause(o events.Object, r revision) {
	has := maps.Clone(o.GetAnnotations())
	if cause, ok := r.kept.GetAnnotations()[causeAnnotation]; ok {
		if has == nil {
			has = map[string]string{}
		}
		has[causeAnnotation] = cause
	} else {
		delete(has, causeAnnotation)
	}
	o.SetAnnotations(has)
}

func indented(text []byte, by string) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		b.WriteString(by + line)
	}
	return b.String()
}
