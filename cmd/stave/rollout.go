package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// rolloutCmd is `stave rollout`.
type rolloutCmd struct {
	Status  rolloutStatusCmd  `cmd:"" help:"Follow a rollout to its end."`
	History rolloutHistoryCmd `cmd:"" help:"List the revisions of a workload, or show one."`
	Undo    rolloutUndoCmd    `cmd:"" help:"Go back to the template of an earlier revision."`
	Restart rolloutRestartCmd `cmd:"" help:"Replace all pods, with the same template."`
	Pause   rolloutPauseCmd   `cmd:"" help:"Let changes of the template wait."`
	Resume  rolloutResumeCmd  `cmd:"" help:"Roll out what waited."`
}

const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	causeAnnotation    = "kubernetes.io/change-cause"
	restartAnnotation  = "kubectl.kubernetes.io/restartedAt"
)

// rolling are the workloads that a rollout verb names.
type rolling struct {
	files
	Selector string   `short:"l" help:"Label selector: what matches of the type." placeholder:"SELECTOR"`
	What     []string `arg:"" optional:"" help:"TYPE/NAME…, TYPE NAME…, or TYPE with -l: deployments, daemonsets or statefulsets."`
}

// workloads are the keys; another kind does not roll out.
func (c *rolling) workloads(ctx context.Context, s *session) ([]wire.Item, error) {
	items, err := s.chosen(ctx, c.files, c.Selector, false, c.What)
	for _, it := range items {
		if _, ok := rollouts[it.Key.Resource]; !ok {
			return nil, fmt.Errorf("%s cannot be rolled out: deployments, daemonsets and statefulsets are", printedName(it.Key))
		}
	}
	return items, err
}

// deployments are the keys of what can be stopped on its way.
func (c *rolling) deployments(ctx context.Context, s *session) ([]wire.Item, error) {
	items, err := s.chosen(ctx, c.files, c.Selector, false, c.What)
	for _, it := range items {
		if it.Key.Resource != events.Deployments {
			return nil, fmt.Errorf("%s cannot be paused or resumed: only deployments can", printedName(it.Key))
		}
	}
	return items, err
}

// rolloutRestartCmd is `stave rollout restart`.
type rolloutRestartCmd struct {
	changeFlags
	rolling
}

// Help implements kong's detailed help.
func (rolloutRestartCmd) Help() string {
	return `Examples:
  stave rollout restart deployment/web
  stave rollout restart daemonset/logs`
}

// Run writes the time into the templates: another template makes other pods.
func (c *rolloutRestartCmd) Run(ctx context.Context, s *session) error {
	items, err := c.workloads(ctx, s)
	if err != nil {
		return err
	}
	w := rewriting{changeFlags: c.changeFlags, done: "restarted", same: "restarted"}
	return w.each(ctx, s, items, typed(func(o events.Object) error {
		if paused(o) {
			return errors.New("can't restart paused deployment (run rollout resume first)")
		}
		t := templateIn(o)
		if t.Annotations == nil {
			t.Annotations = map[string]string{}
		}
		t.Annotations[restartAnnotation] = time.Now().Format(time.RFC3339)
		return nil
	}))
}

// rolloutPauseCmd is `stave rollout pause`.
type rolloutPauseCmd struct {
	changeFlags
	rolling
}

// Help implements kong's detailed help.
func (rolloutPauseCmd) Help() string {
	return `Examples:
  stave rollout pause deployment/web`
}

// Run pauses.
func (c *rolloutPauseCmd) Run(ctx context.Context, s *session) error {
	return c.setPaused(ctx, s, c.changeFlags, true)
}

// rolloutResumeCmd is `stave rollout resume`.
type rolloutResumeCmd struct {
	changeFlags
	rolling
}

// Help implements kong's detailed help.
func (rolloutResumeCmd) Help() string {
	return `Examples:
  stave rollout resume deployment/web`
}

// Run resumes.
func (c *rolloutResumeCmd) Run(ctx context.Context, s *session) error {
	return c.setPaused(ctx, s, c.changeFlags, false)
}

func (c *rolling) setPaused(ctx context.Context, s *session, flags changeFlags, paused bool) error {
	items, err := c.deployments(ctx, s)
	if err != nil {
		return err
	}
	w, already := rewriting{changeFlags: flags, done: "paused"}, "is already paused"
	if !paused {
		w.done, already = "resumed", "is not paused"
	}
	return w.each(ctx, s, items, typed(func(d *appsv1.Deployment) error {
		if d.Spec.Paused == paused {
			return fmt.Errorf("deployments.apps %q %s", d.Name, already)
		}
		d.Spec.Paused = paused
		return nil
	}))
}
