package main

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// attachCmd is `stave attach`.
type attachCmd struct {
	Stdin     bool   `short:"i" help:"Pass standard input on."`
	TTY       bool   `short:"t" help:"Standard input is a terminal."`
	Container string `short:"c" help:"Container; the first one when not given." placeholder:"NAME"`
	What      string `arg:"" help:"POD, pod/NAME or deployment/NAME."`
}

// Help implements kong's detailed help.
func (attachCmd) Help() string {
	return `Examples:
  stave attach web-1
  stave attach -it shell -c sh`
}

// Run joins the container's streams from now on; what it wrote before is with logs.
func (c *attachCmd) Run(ctx context.Context, s *session) error {
	pod, err := s.podOf(ctx, c.What)
	if err != nil {
		return err
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return fmt.Errorf("cannot attach a container in a completed pod; current phase is %s\nhelp: stave logs %s", pod.Status.Phase, pod.Name)
	}
	container, err := s.chooseContainer(pod, c.Container)
	if err != nil {
		return err
	}
	tty, err := c.terminal(s, pod, container)
	if err != nil {
		return err
	}
	stream, err := s.dialNode(ctx, pod, wire.NodeAttach, wire.ExecRequest{Namespace: pod.Namespace, Pod: pod.Name, UID: events.UID(pod.UID),
		Container: container, TTY: tty, Stdin: c.Stdin, Size: s.windowSize(tty)})
	if err != nil {
		return err
	}
	defer stream.Close()
	if c.Stdin && s.tty {
		fmt.Fprintln(s.err, "If you don't see a command prompt, try pressing enter.")
	}
	return s.interact(ctx, stream, c.Stdin, tty)
}

// terminal tells whether the container has one, and refuses input that it could not read.
func (c *attachCmd) terminal(s *session, pod *corev1.Pod, container string) (bool, error) {
	for _, b := range pod.Spec.Containers {
		switch {
		case b.Name != container:
		case c.Stdin && !b.Stdin:
			return false, errors.New("the container has no standard input: its manifest does not say stdin: true\nhelp: stave exec -it " + pod.Name + " -- sh")
		case c.TTY && !b.TTY:
			fmt.Fprintf(s.err, "error: Unable to use a TTY - container %s did not allocate one\n", container)
		default:
			return c.TTY, nil
		}
	}
	return false, nil
}
