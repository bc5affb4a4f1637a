package kube

import (
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// exec runs a command in a container.
func (s *Server) exec(w http.ResponseWriter, r *http.Request, pod *corev1.Pod) error {
	o := execOptions(r.URL.Query())
	if len(o.Command) == 0 {
		return apierrors.NewBadRequest("you must specify at least 1 command for the container")
	}
	return s.interact(w, r, pod, wire.NodeExec, o)
}

// attach joins a container's own streams.
func (s *Server) attach(w http.ResponseWriter, r *http.Request, pod *corev1.Pod) error {
	o := execOptions(r.URL.Query())
	o.Command = nil
	return s.interact(w, r, pod, wire.NodeAttach, o)
}

// interact joins a client's streams to a container's, over whichever protocol
// the client speaks.
func (s *Server) interact(w http.ResponseWriter, r *http.Request, pod *corev1.Pod, verb string, o corev1.PodExecOptions) error {
	container, err := containerOf(pod, o.Container)
	if err != nil {
		return err
	}
	if !o.Stdin && !o.Stdout && !o.Stderr {
		return apierrors.NewBadRequest("you must specify at least one of stdin, stdout, stderr")
	}
	ask := wire.ExecRequest{Namespace: pod.Namespace, Pod: pod.Name, UID: events.UID(pod.UID), Container: container,
		Command: o.Command, TTY: o.TTY, Stdin: o.Stdin}
	stream, err := s.dial(r.Context(), pod, verb, ask)
	if err != nil {
		return err
	}
	defer stream.Close()
	if o.TTY {
		o.Stderr = false // a terminal has one output
	}
	if isWebSocket(r) {
		return serveWebSocket(w, r, stream, map[byte]bool{wire.Stdout: o.Stdout, wire.Stderr: o.Stderr, wire.Failed: true})
	}
	serveSPDY(w, r, stream, o)
	return nil
}

// serveSPDY is for clients older than WebSockets, and what they fall back to.
func serveSPDY(w http.ResponseWriter, r *http.Request, stream bus.Stream, o corev1.PodExecOptions) {
	remotecommand.ServeExec(w, r, node{stream}, "", "", "", nil,
		&remotecommand.Options{Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, TTY: o.TTY},
		idleStream, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
}
