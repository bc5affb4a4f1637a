package kube

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// log answers with a container's output.
func (s *Server) log(w http.ResponseWriter, r *http.Request, pod *corev1.Pod) error {
	o, err := logOptions(r.URL.Query())
	if err != nil {
		return err
	}
	container, err := containerOf(pod, o.Container)
	if err != nil {
		return err
	}
	if err := sensible(o); err != nil {
		return err
	}
	ask := wire.LogsRequest{Namespace: pod.Namespace, Pod: pod.Name, UID: events.UID(pod.UID), Container: container,
		Follow: o.Follow, Previous: o.Previous, Tail: o.TailLines, Timestamps: o.Timestamps}
	switch {
	case o.SinceSeconds != nil:
		ask.Since = time.Now().Add(-time.Duration(*o.SinceSeconds) * time.Second) // nodes stamp lines by their machines' clocks
	case o.SinceTime != nil:
		ask.Since = o.SinceTime.Time
	}
	if o.LimitBytes != nil {
		ask.LimitBytes = *o.LimitBytes
	}
	stream, err := s.dial(r.Context(), pod, wire.NodeLogs, ask)
	if err != nil {
		return err
	}
	defer stream.Close()
	if isWebSocket(r) {
		return wsstream.NewReader(&lines{ctx: r.Context(), from: stream}, true, wsstream.NewDefaultReaderProtocols()).Copy(w, r)
	}
	out := &opening{w: w}
	for {
		f, err := stream.Recv(r.Context())
		switch {
		case errors.Is(err, io.EOF):
			return out.open()
		case err != nil:
			return out.cut(apierrors.NewInternalError(err))
		case f.Channel == wire.Failed:
			return out.end(f.Data)
		case f.Channel == wire.Stdout:
			if err := out.write(f.Data); err != nil {
				return nil //nolint:nilerr // the client is gone, nobody is left to tell
			}
		}
	}
}

// lines reads a container's output from the stream of its node.
type lines struct {
	ctx  context.Context //nolint:containedctx // io.Reader has no other place for it
	from bus.Stream
	rest []byte
}

// Read implements io.Reader.
func (l *lines) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		f, err := l.from.Recv(l.ctx)
		switch {
		case err != nil:
			return 0, err
		case f.Channel == wire.Failed:
			if err := ended(f.Data); err != nil {
				return 0, err
			}
			return 0, io.EOF
		case f.Channel == wire.Stdout:
			l.rest = f.Data
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// sensible refuses what contradicts itself, as Kubernetes does.
func sensible(o corev1.PodLogOptions) error {
	if o.SinceSeconds != nil && o.SinceTime != nil {
		return apierrors.NewBadRequest("at most one of `sinceTime` or `sinceSeconds` may be specified")
	}
	if o.TailLines != nil && *o.TailLines < 0 || o.SinceSeconds != nil && *o.SinceSeconds < 1 || o.LimitBytes != nil && *o.LimitBytes < 1 {
		return apierrors.NewBadRequest("tailLines must be greater than or equal to 0, sinceSeconds and limitBytes greater than 0")
	}
	if o.Stream != nil && *o.Stream != corev1.LogStreamAll {
		return apierrors.NewBadRequest("stream: only " + corev1.LogStreamAll + " can be read")
	}
	return nil
}

// opening is an answer that begins with its first bytes, so that an error before
// them can still be told as one.
type opening struct {
	w      http.ResponseWriter
	opened bool
}

func (o *opening) open() error {
	if !o.opened {
		o.opened = true
		o.w.Header().Set("Content-Type", "text/plain")
		o.w.WriteHeader(http.StatusOK)
	}
	return nil
}

func (o *opening) write(b []byte) error {
	_ = o.open()
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	if f, ok := o.w.(http.Flusher); ok {
		f.Flush()
	}
	return nil
}

// end is what the stream's last frame comes to.
func (o *opening) end(raw []byte) error {
	var st metav1.Status
	if err := json.Unmarshal(raw, &st); err != nil {
		return o.cut(apierrors.NewInternalError(err))
	}
	if st.Status == metav1.StatusSuccess {
		return o.open()
	}
	return o.cut(&apierrors.StatusError{ErrStatus: st})
}

// cut breaks an answer off that has begun: a client has to see that it is not whole.
func (o *opening) cut(err error) error {
	if o.opened {
		panic(http.ErrAbortHandler)
	}
	return err
}
