package kube

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/request"
)

// How many requests are answered at a time, as kube-apiserver's own defaults.
// Watches and streams hold nothing up, and have a bound of their own.
const (
	maxReads  = 400
	maxWrites = 200
	maxLong   = 20_000
)

// limits keeps one client's flood from taking the process's memory.
type limits struct{ reads, writes, long chan struct{} }

func newLimits() limits {
	return limits{make(chan struct{}, maxReads), make(chan struct{}, maxWrites), make(chan struct{}, maxLong)}
}

// take counts a request in, or says that there are too many.
func (l limits) take(i *request.RequestInfo, r *http.Request) (release func(), err error) {
	places := l.reads
	switch {
	case isLong(i, r):
		places = l.long
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		places = l.writes
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	default:
		return nil, apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
	}
}

// isLong tells requests that go on until somebody ends them.
func isLong(i *request.RequestInfo, r *http.Request) bool {
	switch i.Subresource {
	case "log", "exec", "attach", "portforward":
		return i.IsResourceRequest
	}
	return i.Verb == "watch" || r.URL.Query().Get("follow") == "true"
}
