package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// logsCmd is `stave logs`.
type logsCmd struct {
	Follow     bool          `short:"f" help:"Go on with what is written next."`
	Previous   bool          `short:"p" help:"Of the run before the present one."`
	Container  string        `short:"c" help:"Container; the first one when not given." placeholder:"NAME"`
	Tail       int64         `help:"Lines from the end; -1 is all." default:"-1" placeholder:"N"`
	Since      time.Duration `help:"Only what is newer than this." placeholder:"DURATION"`
	SinceTime  string        `help:"Only what is newer than this time (RFC 3339)." placeholder:"TIME"`
	Timestamps bool          `help:"Print when each line was written."`
	LimitBytes int64         `help:"At most so many bytes." placeholder:"N"`
	What       string        `arg:"" optional:"" help:"POD, pod/NAME, deployment/NAME or replicaset/NAME."`
	Container2 string        `arg:"" optional:"" name:"container" help:"Container, as kubectl also takes it."`
}

// Help implements kong's detailed help.
func (logsCmd) Help() string {
	return `Examples:
  stave logs web-1
  stave logs deploy/web -f --tail=20
  stave logs web-1 -c sidecar --previous --timestamps`
}

// Run prints a container's output.
func (c *logsCmd) Run(ctx context.Context, s *session) error {
	if c.What == "" {
		return errors.New("expected POD or TYPE/NAME\nhelp: stave logs POD")
	}
	pod, err := s.podOf(ctx, c.What)
	if err != nil {
		return err
	}
	if c.Container == "" {
		c.Container = c.Container2
	}
	req, err := c.request(s, pod)
	if err != nil {
		return err
	}
	stream, err := s.dialNode(ctx, pod, wire.NodeLogs, req)
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		f, err := stream.Recv(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("read the log of %s: %w", pod.Name, err)
		case f.Channel == wire.Failed:
			return failedFrame(f.Data)
		}
		if _, err := s.out.Write(f.Data); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
}

func (c *logsCmd) request(s *session, pod *corev1.Pod) (wire.LogsRequest, error) {
	container, err := s.chooseContainer(pod, c.Container)
	if err != nil {
		return wire.LogsRequest{}, err
	}
	r := wire.LogsRequest{Namespace: pod.Namespace, Pod: pod.Name, UID: events.UID(pod.UID), Container: container,
		Follow: c.Follow, Previous: c.Previous, Timestamps: c.Timestamps, LimitBytes: c.LimitBytes}
	if c.Tail >= 0 {
		r.Tail = &c.Tail
	}
	if c.Since > 0 {
		r.Since = time.Now().Add(-c.Since)
	}
	if c.SinceTime != "" {
		if r.Since, err = time.Parse(time.RFC3339, c.SinceTime); err != nil {
			return r, fmt.Errorf("--since-time %q: want a time as 2006-01-02T15:04:05Z", c.SinceTime)
		}
	}
	return r, nil
}

// podOf finds the pod that an argument means: itself, or the first one of a workload.
func (s *session) podOf(ctx context.Context, arg string) (*corev1.Pod, error) {
	kind, name, err := oneTarget(arg, "pod")
	if err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	k := s.key(kind, name)
	var sel *metav1.LabelSelector
	switch kind.Resource {
	case events.Pods:
		return readOne[*corev1.Pod](ctx, s, k)
	case events.Deployments:
		d, err := readOne[*appsv1.Deployment](ctx, s, k)
		if err != nil {
			return nil, err
		}
		sel = d.Spec.Selector
	case events.ReplicaSets:
		r, err := readOne[*appsv1.ReplicaSet](ctx, s, k)
		if err != nil {
			return nil, err
		}
		sel = r.Spec.Selector
	default:
		return nil, fmt.Errorf("a %s has no pods of its own\nhelp: name a pod or a deployment", kind.Singular)
	}
	return s.firstPod(ctx, k, sel)
}

func (s *session) firstPod(ctx context.Context, k events.Key, sel *metav1.LabelSelector) (*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(sel)
	if err != nil {
		return nil, fmt.Errorf("read selector of %s: %w", k, err)
	}
	pods, err := s.podsMatching(ctx, k.Namespace, selector)
	if err != nil {
		return nil, err
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("%s has no pods\nhelp: stave why %s", printedName(k), shortName(k))
	}
	// A running one says more than one that waits.
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		return boolInt(b.Status.Phase == corev1.PodRunning) - boolInt(a.Status.Phase == corev1.PodRunning)
	})
	if len(pods) > 1 {
		fmt.Fprintf(s.err, "Found %d pods, using pod/%s\n", len(pods), pods[0].Name)
	}
	return pods[0], nil
}

func (s *session) podsMatching(ctx context.Context, namespace string, sel labels.Selector) ([]*corev1.Pod, error) {
	reply, err := s.read(ctx, wire.ReadRequest{Resource: events.Pods, Namespace: namespace, LabelSelector: sel.String()})
	if err != nil {
		return nil, err
	}
	objects, err := decodeAll(reply.Objects)
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	for _, o := range objects {
		pods = append(pods, o.(*corev1.Pod))
	}
	return pods, nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
