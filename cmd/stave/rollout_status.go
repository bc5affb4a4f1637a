package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
)

// rolloutStatusCmd is `stave rollout status`.
type rolloutStatusCmd struct {
	rolling
	Watch    bool          `short:"w" help:"Follow it to its end." default:"true" negatable:""`
	Timeout  time.Duration `help:"How long to follow; 0 follows as long as it takes." default:"0s"`
	Revision int64         `help:"Follow this revision only; fail when another one is rolled out." placeholder:"N"`
}

// Help implements kong's detailed help.
func (rolloutStatusCmd) Help() string {
	return `Examples:
  stave rollout status deployment/web
  stave rollout status deployment/web --timeout=60s
  stave rollout status deployment/web --watch=false`
}

// Run prints a line for every step of the rollout until it is complete or stuck.
func (c *rolloutStatusCmd) Run(ctx context.Context, s *session) error {
	items, err := c.deployments(ctx, s)
	if err != nil {
		return err
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	for _, it := range items {
		if err := c.follow(ctx, s, it.Key); err != nil {
			return err
		}
	}
	return nil
}

// lookAgain is how often a rollout is read without a change of it: a deadline
// passes without one.
const lookAgain = 2 * time.Second

func (c *rolloutStatusCmd) follow(ctx context.Context, s *session, k events.Key) error {
	said := ""
	g := goal{kind: goalReady, once: !c.Watch, ready: func(raw json.RawMessage) (bool, error) {
		line, done, err := c.line(raw)
		if err == nil && line != said {
			fmt.Fprintln(s.out, line)
			said = line
		}
		return done, err
	}}
	for {
		turn, cancel := context.WithTimeout(ctx, lookAgain)
		err := s.await(turn, k, g)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
			return s.timedOut(k)
		case ctx.Err() != nil:
			return ctx.Err()
		case !c.Watch && said != "":
			return nil
		case turn.Err() == nil:
			return err
		}
	}
}

// line is what kubectl says of a deployment's rollout.
func (c *rolloutStatusCmd) line(raw json.RawMessage) (string, bool, error) {
	var d appsv1.Deployment
	if err := json.Unmarshal(raw, &d); err != nil {
		return "", false, fmt.Errorf("decode deployment: %w", err)
	}
	if c.Revision > 0 && d.Annotations[revisionAnnotation] != fmt.Sprint(c.Revision) {
		return "", false, fmt.Errorf("desired revision (%d) is different from the running revision (%s)", c.Revision, d.Annotations[revisionAnnotation])
	}
	if d.Generation > d.Status.ObservedGeneration {
		return "Waiting for deployment spec update to be observed...", false, nil
	}
	for _, cond := range d.Status.Conditions {
		if cond.Type == appsv1.DeploymentProgressing && cond.Reason == "ProgressDeadlineExceeded" {
			return "", false, fmt.Errorf("deployment %q exceeded its progress deadline\nhelp: stave why deployment/%s", d.Name, d.Name)
		}
	}
	waiting := fmt.Sprintf("Waiting for deployment %q rollout to finish: ", d.Name)
	want, st := int32(1), d.Status
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	switch {
	case st.UpdatedReplicas < want:
		return fmt.Sprintf("%s%d out of %d new replicas have been updated...", waiting, st.UpdatedReplicas, want), false, nil
	case st.Replicas > st.UpdatedReplicas:
		return fmt.Sprintf("%s%d old replicas are pending termination...", waiting, st.Replicas-st.UpdatedReplicas), false, nil
	case st.AvailableReplicas < st.UpdatedReplicas:
		return fmt.Sprintf("%s%d of %d updated replicas are available...", waiting, st.AvailableReplicas, st.UpdatedReplicas), false, nil
	}
	return fmt.Sprintf("deployment %q successfully rolled out", d.Name), true, nil
}
