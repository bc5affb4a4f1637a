package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
)

// rolloutStatusCmd is `stave rollout status`.
type rolloutStatusCmd struct {
	rolling
	Watch    bool          `short:"w" help:"Follow it to its end." default:"true" negatable:""`
	Timeout  time.Duration `help:"How long to follow; 0 follows as long as it takes." default:"0s"`
	Output   format        `short:"o" help:"Print the workloads at the end instead: yaml, json, name, jsonpath=…" placeholder:"FORMAT"`
	Revision int64         `help:"Follow this revision only; fail when another one is rolled out." placeholder:"N"`
}

// Help implements kong's detailed help.
func (rolloutStatusCmd) Help() string {
	return `Examples:
  stave rollout status deployment/web
  stave rollout status deployment/web --timeout=60s
  stave rollout status deployment/web --watch=false
  stave rollout status deployment/web -o json`
}

// Run prints a line for every step of the rollout until it is complete or stuck.
func (c *rolloutStatusCmd) Run(ctx context.Context, s *session) error {
	items, err := c.workloads(ctx, s)
	if err != nil {
		return err
	}
	if c.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.Timeout)
		defer cancel()
	}
	p := s.newProgress(false)
	if !c.Watch {
		p.board = nil
	}
	var all []waited
	var keys []events.Key
	for _, it := range items {
		all, keys = append(all, c.waited(s, it.Key, p)), append(keys, it.Key)
	}
	err = s.awaitAll(ctx, all, p, true)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return goesOn{err, "the rollout goes on without this command"}
	}
	if err != nil || c.Output == formatTable {
		return err
	}
	return s.printNow(ctx, c.Output, keys)
}

// lookAgain is how often a rollout is read without a change of it: a deadline
// passes without one.
const lookAgain = 2 * time.Second

// waited is one rollout: kubectl's lines where there is no board for them.
func (c *rolloutStatusCmd) waited(s *session, k events.Key, p *progress) waited {
	said := ""
	w := waited{key: k, say: rolloutState}
	of := rollouts[k.Resource]
	w.goal = goal{kind: goalReady, once: !c.Watch, ready: func(raw json.RawMessage) (bool, error) {
		line, done, err := of.line(c, raw)
		if err == nil && line != said && p.board == nil && !s.Quiet && c.Output == formatTable {
			fmt.Fprintln(s.out, line)
		}
		said = line
		return done, err
	}}
	if p.board != nil && c.Output == formatTable {
		w.met = fmt.Sprintf(of.done, k.Name)
	}
	await := s.awaitRollout(k)
	w.await = func(ctx context.Context, g goal) error {
		err := await(ctx, g)
		if !c.Watch && said != "" && errors.Is(err, errTimedOut) {
			return nil // looked once, and told
		}
		return err
	}
	return w
}

// rolloutState is a rollout's line without what the row says already.
func rolloutState(raw json.RawMessage) string {
	line, _, _ := (&rolloutStatusCmd{}).line(raw) // its error ends the waiting
	_, state, ok := strings.Cut(line, "rollout to finish: ")
	if !ok {
		return line
	}
	return strings.TrimSuffix(state, "...")
}

// awaitRollout awaits what may come true without a change of the object.
func (s *session) awaitRollout(k events.Key) func(context.Context, goal) error {
	return func(ctx context.Context, g goal) error {
		for {
			turn, cancel := context.WithTimeout(ctx, lookAgain)
			err := s.await(turn, k, g)
			over := turn.Err() != nil
			cancel()
			switch {
			case err == nil || !over:
				return err
			case errors.Is(ctx.Err(), context.DeadlineExceeded):
				return s.timedOut(k)
			case ctx.Err() != nil:
				return ctx.Err()
			}
		}
	}
}

// line is what kubectl says of an object's rollout.
func (c *rolloutStatusCmd) line(raw json.RawMessage) (string, bool, error) {
	var o metav1.TypeMeta
	if err := json.Unmarshal(raw, &o); err != nil {
		return "", false, fmt.Errorf("decode object: %w", err)
	}
	kind, _ := events.KindFor(o.APIVersion, o.Kind)
	of, ok := rollouts[kind.Resource]
	if !ok {
		return "", false, fmt.Errorf("a %s is not rolled out", o.Kind)
	}
	return of.line(c, raw)
}

// deploymentLine is what kubectl says of a deployment's rollout.
func (c *rolloutStatusCmd) deploymentLine(raw json.RawMessage) (string, bool, error) {
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
	return fmt.Sprintf(deploymentDone, d.Name), true, nil
}
