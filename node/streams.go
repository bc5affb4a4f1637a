package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// failure is a refusal in Kubernetes' form.
type failure struct{ status metav1.Status }

// Error is its message.
func (f *failure) Error() string { return f.status.Message }

func refuse(code int, reason metav1.StatusReason, format string, args ...any) *failure {
	return &failure{metav1.Status{Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: fmt.Sprintf(format, args...)}}
}

func notFound(format string, args ...any) *failure {
	return refuse(http.StatusNotFound, metav1.StatusReasonNotFound, format, args...)
}

func badRequest(format string, args ...any) *failure {
	return refuse(http.StatusBadRequest, metav1.StatusReasonBadRequest, format, args...)
}

// statusOf is the last frame's content.
func statusOf(err error) metav1.Status {
	if err == nil {
		return metav1.Status{Status: metav1.StatusSuccess}
	}
	if f, ok := err.(*failure); ok {
		return f.status
	}
	return metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: err.Error()}
}

// exitStatus is how Kubernetes says with which code a command ended.
func exitStatus(code int) metav1.Status {
	if code == 0 {
		return metav1.Status{Status: metav1.StatusSuccess}
	}
	return metav1.Status{
		Status: metav1.StatusFailure, Reason: "NonZeroExitCode",
		Message: fmt.Sprintf("command terminated with exit code %d", code),
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: "ExitCode", Message: fmt.Sprint(code)}}},
	}
}

// finish sends the end of a stream. It is also sent when the request's own time is over.
func finish(ctx context.Context, s bus.Stream, status metav1.Status) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// Who does not listen any more does not miss it.
	_ = s.Send(ctx, bus.Frame{Channel: wire.Failed, Data: events.MustBody(status)})
	_ = s.Close()
}

// target is a container that a stream is for.
type target struct {
	w    *worker
	row  *projections.DesiredPod
	obs  plan.Observed
	name string
}

// findPod resolves the pod that a stream asks for.
func (a *Agent) findPod(namespace, pod string, uid events.UID) (target, error) {
	var t target
	a.each(func(w *worker) {
		row, obs, _ := w.state()
		if row == nil || row.Pod.Namespace != namespace || row.Pod.Name != pod || uid != "" && row.UID != uid {
			return
		}
		// Of two lives of a name, the one that is not being stopped is meant.
		if t.w == nil || t.row.Stop {
			t = target{w: w, row: row, obs: obs}
		}
	})
	if t.w == nil {
		return t, notFound("pod %q is not on node %q", pod, a.o.Name)
	}
	return t, nil
}

// find resolves the container that a stream asks for.
func (a *Agent) find(namespace, pod string, uid events.UID, container string) (target, error) {
	t, err := a.findPod(namespace, pod, uid)
	if err != nil {
		return t, err
	}
	var names []string
	for _, c := range t.row.Pod.Spec.Containers {
		names = append(names, c.Name)
	}
	only := len(names) == 1
	for _, c := range t.row.Pod.Spec.InitContainers {
		names = append(names, c.Name)
	}
	for _, c := range t.row.Pod.Spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	switch {
	case container == "" && only:
		container = names[0]
	case container == "":
		return t, badRequest("a container name must be specified for pod %s, choose one of: [%s]", pod, strings.Join(names, " "))
	case !slices.Contains(names, container):
		return t, badRequest("container %s is not valid for pod %s, choose one of: [%s]", container, pod, strings.Join(names, " "))
	}
	t.name = container
	return t, nil
}

func (t target) spec() corev1.Container {
	return *containerOf(t.row, t.name)
}

// running is the run that a command can be run in.
func (t target) running() (plan.Container, error) {
	c, ok := t.obs.Newest(t.name)
	if ok && c.Phase == plan.Running {
		return c, nil
	}
	if ok && c.Phase == plan.Exited {
		return c, badRequest("cannot exec into a container in a completed pod or between two runs: container %q of pod %q ended with code %d",
			t.name, t.row.Pod.Name, c.Exit.Code)
	}
	return c, badRequest("container %q of pod %q is not running yet: %s", t.name, t.row.Pod.Name, t.waiting())
}

// waiting says in the words that the log was told why a container does not run.
func (t target) waiting() string {
	if s := t.obs.Known[t.name].Waiting; s != "" {
		return s
	}
	return "ContainerCreating"
}

// hello reads a stream's request.
func hello[T any](r bus.Request) (T, error) {
	var v T
	if err := json.Unmarshal(r.Body, &v); err != nil {
		return v, badRequest("read request: %v", err)
	}
	return v, nil
}
