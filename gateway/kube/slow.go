package kube

import (
	"context"
	"io"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// How long a client may take over its body, and over the answer. Watches and streams
// take as long as they like.
const (
	bodyTime   = time.Minute
	answerTime = 2 * time.Minute
	// pingAfter is how long a connection of HTTP/2 may be silent before the client is
	// asked whether it is there still, and pingTime how long it may take to say so.
	pingAfter = 30 * time.Second
	pingTime  = 15 * time.Second
)

// hurry bounds what a client may hold up by being slow: who sends a body byte by byte,
// or does not read its answer, is cut off.
func hurry(w http.ResponseWriter, r *http.Request, i *request.RequestInfo, bodyTime, answerTime time.Duration) {
	c := http.NewResponseController(w)
	if isLong(i, r) {
		_ = c.SetWriteDeadline(time.Time{}) // of the request before on this connection
		return
	}
	_ = c.SetWriteDeadline(time.Now().Add(answerTime)) // writers without deadlines are those of tests
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	if c.SetReadDeadline(time.Now().Add(bodyTime)) == nil {
		r.Body = &timedBody{r.Body, c}
	}
}

// inTime is a request's context with the time that its client gives it; watches and streams take theirs by themselves.
func inTime(r *http.Request, i *request.RequestInfo) (context.Context, context.CancelFunc, error) {
	text := r.URL.Query().Get("timeout")
	if text == "" || isLong(i, r) {
		return r.Context(), func() {}, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest("invalid timeout specified in the request URL - " + err.Error())
	}
	if d <= 0 || d > answerTime {
		return r.Context(), func() {}, nil // as in Kubernetes: none, or more than anybody gets
	}
	ctx, cancel := context.WithTimeout(r.Context(), d)
	return ctx, cancel, nil
}

// timedBody is a request's body in its time. What is read behind it has no deadline: the
// server waits there for the client to leave.
type timedBody struct {
	io.ReadCloser
	of *http.ResponseController
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		_ = b.of.SetReadDeadline(time.Time{}) // a connection that is gone has none
	}
	return n, err
}
