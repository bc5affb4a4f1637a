package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/table"
)

// Bounds of the end of a container.
const (
	// leastGrace is what a container gets after its preStop hook has used up the grace, as in Kubernetes.
	leastGrace = 2 * time.Second
	// withdrawPatience is how long a container is let run because a service may still lead to it.
	withdrawPatience = 5 * time.Second
)

// longHook is how long a postStart hook may take before people are told that it is what a container waits for.
const longHook = time.Second

// postStart runs a container's hook, if it has one, and says why the run is to be ended, nil when it is not. A hook that
// is cut short, because the pod shall stop, condemns nobody.
func (w *worker) postStart(ctx context.Context, row *projections.DesiredPod, c plan.Container) *plan.Kill {
	spec := containerOf(row, c.Name)
	if spec == nil || spec.Lifecycle == nil || spec.Lifecycle.PostStart == nil {
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- w.hook(ctx, spec, spec.Lifecycle.PostStart, c.ID) }()
	var err error
	select {
	case err = <-done:
	case <-time.After(longHook):
		fact := events.Fact{Kind: events.FactBackoff, At: w.a.now(), Container: c.Name, Run: c.Run, Reason: plan.ContainerCreating,
			Message: events.PostStartRuns + ": " + table.HookText(spec.Lifecycle.PostStart)}
		if told := w.tell(ctx, row, fact); told != nil {
			w.log().Warn("report hook", "error", told)
		}
		err = <-done
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return &plan.Kill{Reason: events.PostStartFailed, Message: "PostStart hook failed: " + bounded(err.Error(), maxWords)}
}

// preStop runs a container's hook before its end, once, for as long as its grace allows. That it failed is told; the
// container ends all the same.
func (w *worker) preStop(ctx context.Context, row *projections.DesiredPod, c plan.Container, grace time.Duration) {
	spec := containerOf(row, c.Name)
	if spec == nil || spec.Lifecycle == nil || spec.Lifecycle.PreStop == nil || w.hooked[c.ID] {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err := w.hook(ctx, spec, spec.Lifecycle.PreStop, c.ID)
	if err == nil || errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("it was not done within the grace of %s", grace.Round(time.Second))
	}
	told := w.tell(context.WithoutCancel(ctx), row, events.Fact{Kind: events.FactUnhealthy, At: w.a.now(), Container: c.Name, Run: c.Run,
		Reason: events.PreStopFailed, Message: "PreStop hook failed: " + bounded(err.Error(), maxWords)})
	if told != nil {
		w.log().Warn("report hook", "error", told)
	}
}

// hook does what a hook asks for.
func (w *worker) hook(ctx context.Context, spec *corev1.Container, h *corev1.LifecycleHandler, id string) error {
	switch {
	case h.Exec != nil:
		code, out, err := w.a.runIn(ctx, id, h.Exec.Command)
		command := strings.Join(h.Exec.Command, " ")
		switch {
		case err != nil:
			return fmt.Errorf("command %q: %w", command, err)
		case code != 0:
			return fmt.Errorf("command %q exited with %d: %s", command, code, strings.TrimSpace(out))
		}
		return nil
	case h.HTTPGet != nil:
		return w.hookHTTP(ctx, spec, h.HTTPGet)
	case h.Sleep != nil:
		wait(ctx, nil, w.a.now().Add(time.Duration(h.Sleep.Seconds)*time.Second), w.a.now())
		return ctx.Err()
	}
	return errors.New("invalid handler")
}

// hookHTTP makes the request; that it is answered is enough, as in Kubernetes.
func (w *worker) hookHTTP(ctx context.Context, spec *corev1.Container, g *corev1.HTTPGetAction) error {
	_, obs, _ := w.state()
	req, err := httpRequest(ctx, spec, g, obs.IP)
	if err != nil {
		return err
	}
	res, err := probeClient(0).Do(req)
	if errors.Is(err, http.ErrSchemeMismatch) {
		req.URL.Scheme = "http" // also Kubernetes speaks plainly to who does not speak TLS
		res, err = probeClient(0).Do(req)
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxProbeBody)) // nobody asks what it says
	return nil
}

// withdrawn is closed when no service leads to the pod any more, and what was under way has arrived.
func (w *worker) withdrawn(ctx context.Context, row *projections.DesiredPod, grace time.Duration) <-chan struct{} {
	done := make(chan struct{})
	_, obs, _ := w.state()
	_, _, network := w.a.describe()
	if row == nil || grace <= 0 || obs.IP == "" || row.Pod.Spec.HostNetwork || network == nil {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(ctx, min(grace, withdrawPatience))
		defer cancel()
		if err := network.Withdrawn(ctx, string(w.uid)); err != nil && ctx.Err() == nil {
			w.log().Warn("wait until services let go of the pod", "error", err)
		}
	}()
	return done
}

// end ends one run: its hook and the services' letting go come out of its grace.
func (w *worker) end(ctx context.Context, row *projections.DesiredPod, c plan.Container, grace time.Duration, withdrawn <-chan struct{}) error {
	if grace > 0 && row != nil {
		began := w.a.now()
		w.preStop(ctx, row, c, grace)
		<-withdrawn
		grace = max(leastGrace, grace-w.a.now().Sub(began))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.a.o.Runtime.Stop(ctx, c.ID, grace, 0)
}
