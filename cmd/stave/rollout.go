package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// rolloutCmd is `stave rollout`.
type rolloutCmd struct {
	Status  rolloutStatusCmd  `cmd:"" help:"Follow a rollout to its end."`
	History rolloutHistoryCmd `cmd:"" help:"List the revisions of a deployment, or show one."`
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

// rolling are the deployments that a rollout verb names.
type rolling struct {
	files
	What []string `arg:"" optional:"" help:"deployment/NAME…, or deployment NAME…"`
}

// deployments are the keys; another kind does not roll out.
func (c *rolling) deployments(ctx context.Context, s *session) ([]wire.Item, error) {
	items, err := s.items(ctx, c.files, c.What)
	for _, it := range items {
		if it.Key.Resource != events.Deployments {
			return nil, fmt.Errorf("%s cannot be rolled out: only deployments are", printedName(it.Key))
		}
	}
	return items, err
}

// revision is one ReplicaSet of a deployment.
type revision struct {
	number int64
	set    *appsv1.ReplicaSet
}

// revisions are those of a deployment, oldest first.
func (s *session) revisions(ctx context.Context, d *appsv1.Deployment) ([]revision, error) {
	reply, err := s.read(ctx, wire.ReadRequest{Resource: events.ReplicaSets, Namespace: d.Namespace})
	if err != nil {
		return nil, err
	}
	objects, err := decodeAll(reply.Objects)
	if err != nil {
		return nil, err
	}
	var out []revision
	for _, o := range objects {
		if !slices.ContainsFunc(o.GetOwnerReferences(), ownerIs(d)) {
			continue
		}
		n, err := strconv.ParseInt(o.GetAnnotations()[revisionAnnotation], 10, 64)
		if err != nil {
			continue // nobody has counted it yet
		}
		out = append(out, revision{n, o.(*appsv1.ReplicaSet)})
	}
	slices.SortFunc(out, func(a, b revision) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

// rolloutRestartCmd is `stave rollout restart`.
type rolloutRestartCmd struct {
	changeFlags
	rolling
}

// Help implements kong's detailed help.
func (rolloutRestartCmd) Help() string {
	return `Examples:
  stave rollout restart deployment/web`
}

// Run writes the time into the templates: another template makes other pods.
func (c *rolloutRestartCmd) Run(ctx context.Context, s *session) error {
	items, err := c.deployments(ctx, s)
	if err != nil {
		return err
	}
	w := rewriting{changeFlags: c.changeFlags, done: "restarted", same: "restarted"}
	return w.each(ctx, s, items, typed(func(d *appsv1.Deployment) error {
		if d.Spec.Paused {
			return errors.New("can't restart paused deployment (run rollout resume first)")
		}
		if d.Spec.Template.Annotations == nil {
			d.Spec.Template.Annotations = map[string]string{}
		}
		d.Spec.Template.Annotations[restartAnnotation] = time.Now().Format(time.RFC3339)
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
