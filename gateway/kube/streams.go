package kube

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// addStreams adds the parts of a pod that are streams of bytes. They go to the
// agent of the pod's node over the wires, so that nodes need no open port.
func (v *verbs) addStreams() {
	kind, _ := events.KindOf(events.Pods)
	v.set(kind, "log", "get", v.server.onPod(v.server.log))
	for part, serve := range map[string]serving{"exec": v.server.exec, "attach": v.server.attach, "portforward": v.server.forward} {
		serve = v.server.admitted(part, serve)
		v.set(kind, part, "get", v.server.onPod(serve))
		v.set(kind, part, "create", v.server.onPod(serve))
	}
}

// connections are the kinds as which webhooks and policies know a stream.
var connections = map[string]string{"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions"}

// admitted asks whoever is asked about connections first.
func (s *Server) admitted(part string, serve serving) serving {
	return func(w http.ResponseWriter, r *http.Request, pod *corev1.Pod) error {
		info, _ := request.RequestInfoFrom(r.Context())
		if err := s.askAboutConnection(r, info, streamOptions(part, r.URL.Query()), connections[part]); err != nil {
			return err
		}
		return serve(w, r, pod)
	}
}

// serving answers a request about a pod; an error is answered for it.
type serving func(w http.ResponseWriter, r *http.Request, pod *corev1.Pod) error

// onPod finds the pod that a request is about.
func (s *Server) onPod(serve serving) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		pod, err := s.podOf(r)
		if err == nil {
			err = serve(w, r, pod)
		}
		if err != nil {
			s.fail(err, w, r)
		}
	}
}

func (s *Server) podOf(r *http.Request) (*corev1.Pod, error) {
	info, ok := request.RequestInfoFrom(r.Context())
	if !ok {
		return nil, apierrors.NewInternalError(errors.New("the request is of nothing"))
	}
	found, ok := s.Views.Durable().Object(events.Key{Resource: events.Pods, Namespace: info.Namespace, Name: info.Name}, s.Now())
	if !ok {
		return nil, apierrors.NewNotFound(corev1.Resource("pods"), info.Name)
	}
	pod, ok := found.(*corev1.Pod)
	if !ok || pod.Spec.NodeName == "" {
		return nil, apierrors.NewBadRequest("pod " + info.Name + " does not have a host assigned")
	}
	return pod, nil
}

// containerOf is the container that is asked for, or the only one.
func containerOf(pod *corev1.Pod, wanted string) (string, error) {
	var names []string
	for _, c := range pod.Spec.Containers {
		names = append(names, c.Name)
	}
	if wanted == "" {
		wanted = pod.Annotations["kubectl.kubernetes.io/default-container"]
	}
	switch {
	case wanted == "" && len(names) == 1:
		return names[0], nil
	case wanted == "":
		return "", apierrors.NewBadRequest("a container name must be specified for pod " + pod.Name + ", choose one of: [" + strings.Join(names, " ") + "]")
	case slices.Contains(names, wanted), slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == wanted }),
		slices.ContainsFunc(pod.Spec.EphemeralContainers, func(c corev1.EphemeralContainer) bool { return c.Name == wanted }):
		return wanted, nil
	}
	return "", apierrors.NewBadRequest("container " + wanted + " is not valid for pod " + pod.Name)
}

// dial opens a stream to the agent that runs a pod.
func (s *Server) dial(ctx context.Context, pod *corev1.Pod, verb string, ask any) (bus.Stream, error) {
	stream, err := s.Wires.Dial(ctx, wire.NodeSubject(s.WiresUser, pod.Spec.NodeName, verb), events.MustBody(ask))
	if errors.Is(err, bus.ErrNoServer) {
		return nil, apierrors.NewServiceUnavailable("node " + pod.Spec.NodeName + " does not answer")
	}
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return stream, nil
}
