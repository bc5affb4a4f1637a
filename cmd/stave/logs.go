package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// logsCmd is `stave logs`.
type logsCmd struct {
	then
	Follow         bool          `short:"f" help:"Go on with what is written next; with -l or --all-pods also of pods that come later."`
	Previous       bool          `short:"p" help:"Of the run before the present one."`
	Container      string        `short:"c" help:"Container; the first one when not given." placeholder:"NAME"`
	Selector       string        `short:"l" help:"Label selector: of all pods that match." placeholder:"SELECTOR"`
	AllContainers  bool          `help:"Of all containers of a pod."`
	AllPods        bool          `help:"Of all pods of a workload, with --prefix."`
	Prefix         bool          `help:"Begin each line with [pod/NAME/CONTAINER]."`
	Tail           *int64        `help:"Lines from the end; -1 is all, which is the default without a selector; 10 with one." placeholder:"N"`
	Since          time.Duration `help:"Only what is newer than this." placeholder:"DURATION"`
	SinceTime      string        `help:"Only what is newer than this time (RFC 3339)." placeholder:"TIME"`
	Timestamps     bool          `help:"Print when each line was written."`
	LimitBytes     int64         `help:"At most so many bytes of each log." placeholder:"N"`
	MaxLogRequests int           `help:"How many logs to follow at once." default:"5" placeholder:"N"`
	IgnoreErrors   bool          `help:"A log that cannot be read is told and does not fail the command."`
	What           string        `arg:"" optional:"" help:"POD, or TYPE/NAME of a pod, a workload or a service."`
	Container2     string        `arg:"" optional:"" name:"container" help:"Container, as kubectl also takes it."`

	since time.Time // what Since or SinceTime mean
	until time.Time // what At means; zero is now
}

// Help implements kong's detailed help.
func (logsCmd) Help() string {
	return `With --at, what had been written then, by the run and the pods that there were
then. Nodes keep the logs of pods that are gone for a day, up to 100 MiB.

Examples:
  stave logs web-1
  stave logs deploy/web -f --tail=20
  stave logs -l app=web --all-containers --prefix -f
  stave logs deploy/web --all-pods --since=10m
  stave logs web-1 -c sidecar --previous --timestamps
  stave logs deploy/web --at 10m --tail=20`
}

// selectorTail is how many lines of each log a selector shows, as with kubectl.
const selectorTail = 10

// Run prints the output of one container, or of many.
func (c *logsCmd) Run(ctx context.Context, s *session) error {
	if err := c.settle(); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := c.goBack(ctx, s); err != nil {
		return err
	}
	switch {
	case c.Selector != "":
		selector, err := labels.Parse(c.Selector)
		if err != nil {
			return fmt.Errorf("read selector: %w", err)
		}
		return c.ofSelector(ctx, s, s.inNamespace(), selector)
	case c.AllPods:
		return c.ofWorkload(ctx, s)
	}
	pod, err := s.podOf(ctx, c.What)
	if err != nil {
		return err
	}
	sources, err := c.sources(s, pod)
	if err != nil {
		return err
	}
	return c.print(ctx, s, sources)
}

// goBack has all read as it was at the moment that is asked about.
func (c *logsCmd) goBack(ctx context.Context, s *session) (err error) {
	s.at = c.At
	if c.until, err = s.instant(ctx); err == nil && c.Since > 0 && !c.until.IsZero() {
		c.since = c.until.Add(-c.Since)
	}
	return err
}

// settle checks the flags against each other, in kubectl's words.
func (c *logsCmd) settle() error {
	if c.Container == "" {
		c.Container = c.Container2
	}
	switch {
	case c.What == "" && c.Selector == "":
		return errors.New("expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command\nhelp: stave logs POD, or stave logs -l app=web")
	case c.What != "" && c.Selector != "":
		return errors.New("only a selector (-l) or a POD name is allowed")
	case c.AllContainers && c.Container != "":
		return fmt.Errorf("--all-containers=true should not be specified with container name %s", c.Container)
	case c.Since < 0:
		return errors.New("--since must be greater than 0")
	case c.Since > 0 && c.SinceTime != "":
		return errors.New("at most one of `--since` and `--since-time` may be specified")
	case c.Tail != nil && *c.Tail < -1:
		return errors.New("--tail must be greater than or equal to -1")
	case c.LimitBytes < 0:
		return errors.New("--limit-bytes must be greater than 0")
	case c.Follow && !c.At.IsZero():
		return errors.New("--follow shows what is written from now on; it cannot be joined with --at")
	case c.MaxLogRequests < 1:
		return errors.New("--max-log-requests must be greater than 0")
	}
	if c.Since > 0 {
		c.since = time.Now().Add(-c.Since)
	}
	if c.SinceTime == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, c.SinceTime)
	if err != nil {
		return fmt.Errorf("--since-time %q: want a time as 2006-01-02T15:04:05Z", c.SinceTime)
	}
	c.since = t
	return nil
}

// source is the log of one container of a pod.
type source struct {
	pod       *corev1.Pod
	container string
	run       int // counted from 1; 0 while none has begun
}

// sources are the logs of a pod that were asked for: of one container, or of all.
func (c *logsCmd) sources(s *session, pod *corev1.Pod) ([]source, error) {
	if !c.AllContainers {
		name, err := s.chooseContainer(pod, c.Container)
		return []source{{pod, name, runOf(pod, name)}}, err
	}
	var out []source
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, b := range list {
			out = append(out, source{pod, b.Name, runOf(pod, b.Name)})
		}
	}
	for _, b := range pod.Spec.EphemeralContainers {
		out = append(out, source{pod, b.Name, runOf(pod, b.Name)})
	}
	return out, nil
}

// runOf is a container's present or last run.
func runOf(pod *corev1.Pod, container string) int {
	for _, st := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses, pod.Status.EphemeralContainerStatuses) {
		if st.Name == container && (st.State.Running != nil || st.State.Terminated != nil || st.LastTerminationState.Terminated != nil) {
			return int(st.RestartCount) + 1
		}
	}
	return 0
}

// request is what the agent of the source's node is asked.
func (c *logsCmd) request(of source) wire.LogsRequest {
	r := wire.LogsRequest{Namespace: of.pod.Namespace, Pod: of.pod.Name, UID: events.UID(of.pod.UID), Container: of.container,
		Follow: c.Follow, Previous: c.Previous, Timestamps: c.Timestamps, LimitBytes: c.LimitBytes, Since: c.since, Until: c.until}
	if !c.until.IsZero() {
		r.Run = of.run
		if c.Previous {
			r.Run--
		}
	}
	switch {
	case c.Tail != nil && *c.Tail >= 0:
		r.Tail = c.Tail
	case c.Tail == nil && c.Selector != "":
		n := int64(selectorTail)
		r.Tail = &n
	}
	return r
}

// print prints the logs of one pod.
func (c *logsCmd) print(ctx context.Context, s *session, sources []source) error {
	out := newLogOutput(s, c.Prefix || c.AllPods || len(sources) > 1 && s.tty, len(sources) > 1)
	if !c.Follow || len(sources) == 1 {
		return c.inTurn(ctx, s, out, sources)
	}
	if len(sources) > c.MaxLogRequests {
		return c.tooMany(len(sources))
	}
	return c.together(ctx, s, out, sources)
}

// inTurn prints one log after the other.
func (c *logsCmd) inTurn(ctx context.Context, s *session, out *logOutput, sources []source) error {
	var errs []error
	for _, of := range sources {
		if err := c.read(ctx, s, out, of); err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return c.forgive(s, errors.Join(errs...))
}

// forgive tells errors that --ignore-errors takes out of the exit code.
func (c *logsCmd) forgive(s *session, err error) error {
	if err == nil || !c.IgnoreErrors {
		return err
	}
	printError(s.terminal, err)
	return nil
}

func (c *logsCmd) tooMany(n int) error {
	return fmt.Errorf("you are attempting to follow %d log streams, but maximum allowed concurrency is %d, use --max-log-requests to increase the limit", n, c.MaxLogRequests)
}
