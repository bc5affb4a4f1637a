package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// portForwardCmd is `stave port-forward`.
type portForwardCmd struct {
	Address []string `help:"Addresses to listen on: localhost, or IPs." default:"localhost" placeholder:"ADDRESS"`
	What    string   `arg:"" help:"POD, or TYPE/NAME: a pod, a deployment, a replicaset or a service."`
	Ports   []string `arg:"" name:"port" help:"[LOCAL:]REMOTE; a LOCAL of 0 or none before the colon is any free one. REMOTE may be a name."`
}

// Help implements kong's detailed help.
func (portForwardCmd) Help() string {
	return `Examples:
  stave port-forward web-1 8080:80
  stave port-forward deploy/web :80
  stave port-forward svc/web 8443:https --address=0.0.0.0`
}

// forwarding is one port of this machine that leads to one of a pod.
type forwarding struct {
	pod    *corev1.Pod
	local  int
	remote uint16
}

// Run listens until it is interrupted or the pod is gone.
func (c *portForwardCmd) Run(ctx context.Context, s *session) error {
	pod, svc, err := c.pod(ctx, s)
	if err != nil {
		return err
	}
	if pod.Status.Phase != corev1.PodRunning {
		return fmt.Errorf("unable to forward port because pod is not running. Current status=%s", pod.Status.Phase)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	listening := 0
	var errs []error
	for _, p := range c.Ports {
		f, err := parseForward(p, pod, svc)
		if err != nil {
			return err
		}
		n, err := c.listen(ctx, s, &f, cancel)
		listening, errs = listening+n, append(errs, err)
	}
	if listening == 0 {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		if err != nil {
			fmt.Fprintln(s.err, "Unable to listen:", err)
		}
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// pod is the pod that is meant; svc is the service that it was found through, or nil.
func (c *portForwardCmd) pod(ctx context.Context, s *session) (*corev1.Pod, *corev1.Service, error) {
	kind, name, err := oneTarget(c.What, "pod")
	if err != nil || kind.Resource != events.Services {
		pod, err := s.podOf(ctx, c.What)
		return pod, nil, err
	}
	if err := s.connect(ctx); err != nil {
		return nil, nil, err
	}
	k := s.key(kind, name)
	svc, err := readOne[*corev1.Service](ctx, s, k)
	if err != nil {
		return nil, nil, err
	}
	if len(svc.Spec.Selector) == 0 {
		return nil, nil, fmt.Errorf("service %s has no selector: it leads to no pods", name)
	}
	pod, err := s.firstPod(ctx, k, labels.SelectorFromSet(svc.Spec.Selector))
	return pod, svc, err
}

// parseForward reads "8080:80", "80", ":80" and names of ports.
func parseForward(text string, pod *corev1.Pod, svc *corev1.Service) (forwarding, error) {
	local, remote, both := strings.Cut(text, ":")
	if !both {
		remote = local
	}
	f := forwarding{pod: pod}
	port, err := remotePort(remote, pod, svc)
	if err != nil {
		return f, err
	}
	f.remote = uint16(port)
	switch {
	case !both && isNumber(local):
		f.local, err = strconv.Atoi(local)
	case !both:
		f.local = port
	case local != "":
		f.local, err = strconv.Atoi(local)
	}
	if err != nil || f.local < 0 || f.local > 65535 {
		return f, fmt.Errorf("error parsing local port %q: must be a number from 0 to 65535", local)
	}
	return f, nil
}

func isNumber(s string) bool { _, err := strconv.Atoi(s); return err == nil }

// remotePort is the pod's port that a number or a name means; behind a service
// it is the one that the service's port leads to.
func remotePort(text string, pod *corev1.Pod, svc *corev1.Service) (int, error) {
	want := intstr.Parse(text)
	if svc != nil {
		i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool {
			return p.Name == text || int(p.Port) == want.IntValue()
		})
		if i < 0 {
			return 0, fmt.Errorf("service %s does not have a service port %s", svc.Name, text)
		}
		want = svc.Spec.Ports[i].TargetPort
		if want == (intstr.IntOrString{}) {
			want = intstr.FromInt32(svc.Spec.Ports[i].Port)
		}
	}
	if want.Type == intstr.Int && want.IntVal > 0 && want.IntVal < 65536 {
		return want.IntValue(), nil
	}
	for _, b := range pod.Spec.Containers {
		for _, p := range b.Ports {
			if p.Name == want.StrVal && p.Name != "" {
				return int(p.ContainerPort), nil
			}
		}
	}
	return 0, fmt.Errorf("pod %s does not have a port %s", pod.Name, want.String())
}

// listen opens the local port on every address; it returns on how many it could.
func (c *portForwardCmd) listen(ctx context.Context, s *session, f *forwarding, cancel context.CancelCauseFunc) (int, error) {
	var addresses []string
	for _, a := range c.Address {
		if a == "localhost" {
			addresses = append(addresses, "127.0.0.1", "::1")
			continue
		}
		addresses = append(addresses, a)
	}
	n := 0
	var errs []error
	for _, a := range addresses {
		l, err := net.Listen("tcp", net.JoinHostPort(a, strconv.Itoa(f.local)))
		if err != nil {
			errs = append(errs, fmt.Errorf("listen on %s: %w", a, err))
			continue
		}
		f.local = l.Addr().(*net.TCPAddr).Port // the same one on the next address
		fmt.Fprintf(s.out, "Forwarding from %s -> %d\n", l.Addr(), f.remote)
		context.AfterFunc(ctx, func() { l.Close() })
		go s.accept(ctx, l, *f, cancel)
		n++
	}
	if n > 0 {
		return n, nil // a machine without IPv6 has one of localhost's addresses
	}
	return 0, errors.Join(errs...)
}

func (s *session) accept(ctx context.Context, l net.Listener, f forwarding, cancel context.CancelCauseFunc) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // the verb ends
		}
		fmt.Fprintf(s.out, "Handling connection for %d\n", f.local)
		go func() {
			err := s.forward(ctx, conn, f)
			var gone *statusError
			switch {
			case errors.As(err, &gone) && gone.Reason == metav1.StatusReasonNotFound:
				cancel(fmt.Errorf("lost connection to pod: %w", err))
			case err != nil && ctx.Err() == nil:
				fmt.Fprintf(s.err, "error: forward port %d to pod %s: %v\n", f.local, f.pod.Name, err)
			}
		}()
	}
}

// forward carries one connection.
func (s *session) forward(ctx context.Context, conn net.Conn, f forwarding) error {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.dialNode(ctx, f.pod, wire.NodeForward, wire.ForwardRequest{Namespace: f.pod.Namespace, Pod: f.pod.Name, UID: events.UID(f.pod.UID), Port: f.remote})
	if err != nil {
		return err
	}
	return carry(ctx, stream, conn)
}

// carry joins a connection to a stream of a node until one of them ends.
func carry(ctx context.Context, stream bus.Stream, conn net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer stream.Close()
	go carryOut(ctx, stream, conn)
	for {
		frame, err := stream.Recv(ctx)
		if err != nil {
			return err
		}
		switch frame.Channel {
		case wire.Stdout:
			if _, err := conn.Write(frame.Data); err != nil {
				return nil // who connected left
			}
		case wire.Failed:
			return failedFrame(frame.Data)
		}
	}
}

// carryOut sends what comes in on the local port.
func carryOut(ctx context.Context, stream bus.Stream, conn net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := conn.Read(buf)
		if n > 0 && stream.Send(ctx, bus.Frame{Channel: wire.Stdin, Data: slices.Clone(buf[:n])}) != nil {
			return // a lost stream shows on Recv
		}
		if errors.Is(err, io.EOF) {
			_ = stream.Send(ctx, bus.Frame{Channel: wire.StdinClosed}) // a lost stream shows on Recv
		}
		if err != nil {
			return
		}
	}
}
