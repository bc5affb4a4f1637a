package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

func ownerIs(d *appsv1.Deployment) func(metav1.OwnerReference) bool {
	return func(r metav1.OwnerReference) bool { return r.UID == d.UID }
}

// template is what the deployment of a revision said.
func (r revision) template() corev1.PodTemplateSpec {
	t := *r.set.Spec.Template.DeepCopy()
	delete(t.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return t
}

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
	Output   format `short:"o" help:"Print the revision's ReplicaSet instead: yaml, json, jsonpath=…" placeholder:"FORMAT"`
}

// Help implements kong's detailed help.
func (rolloutHistoryCmd) Help() string {
	return `Examples:
  stave rollout history deployment/web
  stave rollout history deployment/web --revision=2`
}

// Run prints the revisions that are kept.
func (c *rolloutHistoryCmd) Run(ctx context.Context, s *session) error {
	items, err := c.deployments(ctx, s)
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
	d, err := readOne[*appsv1.Deployment](ctx, s, k)
	if err != nil {
		return err
	}
	all, err := s.revisions(ctx, d)
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
		cause := r.set.Annotations[causeAnnotation]
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
		raw, err := json.Marshal(r.set)
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
		raw, err := json.Marshal(r.set)
		if err != nil {
			return fmt.Errorf("encode revision %d: %w", r.number, err)
		}
		return s.printObjects(c.Output, []json.RawMessage{raw}, true)
	}
	template, err := yaml.Marshal(r.template())
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
use it too: this deployment gets an immutable copy of its own, named by content.
The next apply of the manifest leads back to the map that all share.

Examples:
  stave rollout undo deployment/web
  stave rollout undo deployment/web --to-revision=2
  stave rollout undo deployment/web --dry-run=server
  stave rollout undo deployment/web --keep-config

A case: the map has changed since that revision ran.
  $ stave rollout undo deploy/web -n shop
  deployment.apps/web rolled back
  configmap/settings-882v579zbc is a copy of settings as it was at 17`
}

// Run puts the older template into the deployment; that is a rollout as any other.
func (c *rolloutUndoCmd) Run(ctx context.Context, s *session) error {
	items, err := c.deployments(ctx, s)
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
	d, err := readOne[*appsv1.Deployment](ctx, s, k)
	if err != nil {
		return err
	}
	all, err := s.revisions(ctx, d)
	if err != nil {
		return err
	}
	r, err := c.wanted(d, all)
	if err != nil {
		return err
	}
	w := rewriting{changeFlags: c.changeFlags, done: "rolled back",
		same: fmt.Sprintf("skipped rollback (current template already matches revision %d)", r.number)}
	template := r.template()
	var copies []copied
	if !c.KeepConfig {
		if copies, err = s.configOf(ctx, k, r, &template); err != nil {
			return err
		}
	}
	for _, m := range copies {
		w.beside = append(w.beside, wire.Item{Operation: wire.Apply, Object: m.raw})
	}
	err = w.one(ctx, s, k, typed(func(d *appsv1.Deployment) error {
		if d.Spec.Paused {
			return fmt.Errorf("you cannot rollback a paused deployment; resume it first with 'stave rollout resume deployment/%s' and try again", k.Name)
		}
		d.Spec.Template = template
		carryCause(d, r)
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
func (c *rolloutUndoCmd) wanted(d *appsv1.Deployment, all []revision) (revision, error) {
	switch {
	case c.ToRevision > 0:
		return find(all, c.ToRevision)
	case len(all) < 2:
		return revision{}, fmt.Errorf("no rollout history found for deployment %q", d.Name)
	}
	return all[len(all)-2], nil
}

// carryCause lets the change-cause, which people write on deployments, follow the template.
func carryCause(d *appsv1.Deployment, r revision) {
	cause, ok := r.set.Annotations[causeAnnotation]
	if !ok {
		delete(d.Annotations, causeAnnotation)
		return
	}
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[causeAnnotation] = cause
}

func indented(text []byte, by string) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		b.WriteString(by + line)
	}
	return b.String()
}
