package main

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// execCmd is `stave exec`.
type execCmd struct {
	Stdin     bool     `short:"i" help:"Pass standard input on."`
	TTY       bool     `short:"t" help:"Give the command a terminal."`
	Container string   `short:"c" help:"Container; the first one when not given." placeholder:"NAME"`
	What      string   `arg:"" optional:"" help:"POD, pod/NAME or deployment/NAME."`
	Command   []string `arg:"" optional:"" passthrough:"" help:"-- and the command with its arguments."`
}

// Help implements kong's detailed help.
func (execCmd) Help() string {
	return `Examples:
  stave exec web-1 -- ls -l /
  stave exec -it deploy/web -- sh
  echo hello | stave exec -i web-1 -c app -- cat`
}

// Run runs the command; its exit code is the CLI's.
func (c *execCmd) Run(ctx context.Context, s *session) error {
	if c.What == "" || c.What == "--" {
		return errors.New("pod, type/name must be specified\nhelp: stave exec POD -- COMMAND")
	}
	command := afterDashes(c.Command)
	if len(command) == 0 {
		return errors.New("you must specify at least one command for the container\nhelp: stave exec POD -- COMMAND")
	}
	pod, err := s.podOf(ctx, c.What)
	if err != nil {
		return err
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return fmt.Errorf("cannot exec into a container in a completed pod; current phase is %s", pod.Status.Phase)
	}
	container, err := s.chooseContainer(pod, c.Container)
	if err != nil {
		return err
	}
	stream, err := s.dialNode(ctx, pod, wire.NodeExec, wire.ExecRequest{Namespace: pod.Namespace, Pod: pod.Name, UID: events.UID(pod.UID),
		Container: container, Command: command, TTY: c.TTY, Stdin: c.Stdin, Size: s.windowSize(c.TTY)})
	if err != nil {
		return err
	}
	defer stream.Close()
	err = s.interact(ctx, stream, c.Stdin, c.TTY)
	if errors.Is(err, context.Canceled) {
		return goesOn{err, "the command goes on in the container; -t gives it the keys, Ctrl-C too"}
	}
	return err
}
