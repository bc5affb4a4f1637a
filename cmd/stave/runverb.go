package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/events/manifest"
	"github.com/stave-run/stave/gateway/wire"
)

// runCmd is `stave run`.
type runCmd struct {
	Image     string        `required:"" help:"Image to run." placeholder:"IMAGE"`
	Remove    bool          `name:"rm" help:"Delete the pod when its command has ended; needs -i or --attach."`
	Stdin     bool          `short:"i" help:"Pass standard input on, and attach."`
	TTY       bool          `short:"t" help:"Give the container a terminal."`
	Attach    bool          `help:"Show the output until the command ends."`
	Restart   string        `help:"Never, OnFailure or Always." default:"Always" enum:"Never,OnFailure,Always"`
	Env       []string      `sep:"none" help:"NAME=VALUE, repeatable." placeholder:"NAME=VALUE"`
	Labels    []string      `short:"l" sep:"," help:"Labels of the pod, NAME=VALUE,…" placeholder:"LABELS"`
	Port      int32         `help:"Port that the container listens on." placeholder:"PORT"`
	Pull      string        `name:"image-pull-policy" help:"Always, IfNotPresent or Never." placeholder:"POLICY"`
	IsCommand bool          `name:"command" help:"What follows -- is the command, not its arguments."`
	DryRun    dryRun        `name:"dry-run" help:"Only say what would happen: client or server." placeholder:"MODE"`
	Output    format        `short:"o" help:"Print the object instead: yaml, json, name." placeholder:"FORMAT"`
	Message   string        `short:"m" help:"Why; kept with the events." placeholder:"TEXT"`
	Timeout   time.Duration `name:"pod-running-timeout" help:"How long the pod may take to start." default:"1m"`
	Name      string        `arg:"" optional:"" help:"Name of the pod."`
	Command   []string      `arg:"" optional:"" passthrough:"" help:"-- and arguments for the image's command."`
}

// Help implements kong's detailed help.
func (runCmd) Help() string {
	return `Examples:
  stave run web --image=nginx:alpine --port=80
  stave run test --rm -it --image=busybox -- sh
  stave run test --rm -it --image=busybox -- wget -qO- nginx-service
  stave run web --image=nginx:alpine --dry-run=client -o yaml`
}

// Run makes the pod and, when asked to, stays with it.
func (c *runCmd) Run(ctx context.Context, s *session) error {
	if c.Name == "" {
		return errors.New("NAME is required for run\nhelp: stave run NAME --image=IMAGE")
	}
	c.DryRun = c.DryRun.settled(s)
	attach := c.Attach || c.Stdin
	if c.Remove && !attach {
		return errors.New("--rm should only be used for attached containers\nhelp: add -i, -it or --attach")
	}
	pod, err := c.pod()
	if err != nil {
		return err
	}
	ch := changing{op: wire.Create, dryRun: c.DryRun, output: c.Output, message: c.Message}
	if !attach || c.DryRun != "" {
		_, err = ch.send(ctx, s, []manifest.Doc{manifest.DocOf(pod)})
		return err
	}
	return c.attached(ctx, s, pod)
}

func (c *runCmd) pod() (*corev1.Pod, error) {
	box := corev1.Container{Name: c.Name, Image: c.Image, Stdin: c.Stdin, StdinOnce: c.Stdin, TTY: c.TTY, ImagePullPolicy: corev1.PullPolicy(c.Pull)}
	for _, e := range c.Env {
		name, value, ok := strings.Cut(e, "=")
		if !ok {
			return nil, fmt.Errorf("--env=%s: want NAME=VALUE", e)
		}
		box.Env = append(box.Env, corev1.EnvVar{Name: name, Value: value})
	}
	if c.Port != 0 {
		box.Ports = []corev1.ContainerPort{{ContainerPort: c.Port}}
	}
	if args := afterDashes(c.Command); c.IsCommand {
		box.Command = args
	} else {
		box.Args = args
	}
	labels := map[string]string{"run": c.Name}
	for _, l := range c.Labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok {
			return nil, fmt.Errorf("--labels=%s: want NAME=VALUE", l)
		}
		labels[k] = v
	}
	policy := corev1.RestartPolicy(c.Restart)
	if c.Remove {
		policy = corev1.RestartPolicyNever // kubectl's choice for a pod that is removed when its command ends
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: c.Name, Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{box}, RestartPolicy: policy}}, nil
}

// attached makes the pod, waits until it runs, stays with it and removes it
// afterwards, also after Ctrl-C.
func (c *runCmd) attached(ctx context.Context, s *session, pod *corev1.Pod) error {
	docs := []manifest.Doc{manifest.DocOf(pod)}
	if err := (changing{op: wire.Create}).place(ctx, s, docs); err != nil {
		return err
	}
	results, err := s.change(ctx, wire.ChangeRequest{Operation: wire.Create, Message: c.Message, Items: []wire.Item{{Object: docs[0].JSON()}}})
	if err != nil {
		return err
	}
	made := results[0]
	if made.Error != nil {
		return refused(made.Error)
	}
	if c.Remove {
		defer c.remove(ctx, s, made)
	}
	running, err := c.started(ctx, s, made.Key)
	if err != nil {
		return err
	}
	stream, err := s.dialNode(ctx, running, wire.NodeAttach, wire.ExecRequest{Namespace: running.Namespace, Pod: running.Name,
		UID: made.UID, Container: c.Name, TTY: c.TTY, Stdin: c.Stdin, Size: s.windowSize(c.TTY)})
	if err != nil {
		return err
	}
	defer stream.Close()
	if c.Stdin && s.tty {
		fmt.Fprintln(s.err, "If you don't see a command prompt, try pressing enter.")
	}
	if err := s.interact(ctx, stream, c.Stdin, c.TTY); err != nil || pod.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		return err
	}
	return c.exitCode(ctx, s, made.Key)
}

// exitCode waits until it is known how the command ended; its code is the CLI's.
func (c *runCmd) exitCode(ctx context.Context, s *session, k events.Key) error {
	var code int32
	err := s.await(ctx, k, goal{kind: goalReady, ready: func(raw json.RawMessage) (bool, error) {
		var p corev1.Pod
		if err := json.Unmarshal(raw, &p); err != nil {
			return false, fmt.Errorf("decode pod: %w", err)
		}
		for _, box := range p.Status.ContainerStatuses {
			if end := box.State.Terminated; end != nil {
				code = end.ExitCode
				return true, nil
			}
		}
		return false, nil
	}})
	if err == nil && code != 0 {
		fmt.Fprintf(s.err, "pod %s/%s terminated with exit code %d\n", k.Namespace, k.Name, code)
		err = &exitError{code: int(code)}
	}
	return err
}

// started waits until the container runs or has ended, or can never start.
func (c *runCmd) started(ctx context.Context, s *session, k events.Key) (*corev1.Pod, error) {
	waiting, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	began := waited{key: k, goal: goal{kind: goalReady, ready: podBegan}}
	if err := s.awaitAll(waiting, []waited{began}, s.newProgress(false), false); err != nil {
		return nil, err
	}
	return readOne[*corev1.Pod](ctx, s, k)
}

// podBegan tells whether a pod's first container runs or ran; an image that
// cannot be had is an error at once.
func podBegan(raw json.RawMessage) (bool, error) {
	var p corev1.Pod
	if err := json.Unmarshal(raw, &p); err != nil {
		return false, fmt.Errorf("decode pod: %w", err)
	}
	if len(p.Status.ContainerStatuses) == 0 {
		return false, nil
	}
	c := p.Status.ContainerStatuses[0]
	if w := c.State.Waiting; w != nil && w.Message != "" && (strings.HasPrefix(w.Reason, "Err") || strings.HasSuffix(w.Reason, "Error") || w.Reason == "ImagePullBackOff") {
		return false, fmt.Errorf("pod %s cannot start: %s: %s", p.Name, w.Reason, w.Message)
	}
	return c.State.Running != nil || c.State.Terminated != nil || c.LastTerminationState.Terminated != nil, nil
}

// remove deletes the pod; Ctrl-C must not leave it behind.
func (c *runCmd) remove(ctx context.Context, s *session, made wire.Result) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.RequestTimeout)
	defer cancel()
	grace := int64(1)
	results, err := s.change(ctx, wire.ChangeRequest{Operation: wire.Delete, Items: []wire.Item{{Key: made.Key, UID: made.UID}}, Grace: &grace})
	if err == nil {
		err = refused(results[0].Error)
	}
	if err != nil {
		fmt.Fprintf(s.err, "error: pod %s is still there: %v\nhelp: stave delete pod %s -n %s\n", made.Key.Name, err, made.Key.Name, made.Key.Namespace)
		return
	}
	fmt.Fprintf(s.err, "pod %q deleted from %s namespace\n", made.Key.Name, made.Key.Namespace)
	if err := s.waitGone(ctx, []wire.Result{made}, 0); err != nil {
		fmt.Fprintf(s.err, "error: wait until it is gone: %v\n", err)
	}
}
