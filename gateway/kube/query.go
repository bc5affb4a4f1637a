package kube

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// query reads options out of a request's query, as they stand in the types of
// Kubernetes; the conversions for that are not in its published modules.
type query struct {
	url.Values
	err error // the first value that does not read
}

// flag is as in Kubernetes: whatever is there and is not a no.
func (q *query) flag(name string) bool {
	v := q.Get(name)
	return q.Has(name) && v != "0" && !strings.EqualFold(v, "false")
}

func (q *query) number(name string) *int64 {
	v := q.Get(name)
	if v == "" {
		return nil
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil && q.err == nil {
		q.err = apierrors.NewBadRequest("parse " + name + ": " + err.Error())
	}
	return &n
}

func (q *query) moment(name string) *metav1.Time {
	v := q.Get(name)
	if v == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil && q.err == nil {
		q.err = apierrors.NewBadRequest("parse " + name + ": " + err.Error())
	}
	return &metav1.Time{Time: t}
}

func logOptions(v url.Values) (corev1.PodLogOptions, error) {
	q := query{Values: v}
	o := corev1.PodLogOptions{Container: q.Get("container"), Follow: q.flag("follow"), Previous: q.flag("previous"), Timestamps: q.flag("timestamps"),
		SinceSeconds: q.number("sinceSeconds"), SinceTime: q.moment("sinceTime"), TailLines: q.number("tailLines"), LimitBytes: q.number("limitBytes")}
	if s := q.Get("stream"); s != "" {
		o.Stream = &s
	}
	return o, q.err
}

// streamOptions are what a connection to a pod is asked with, as an object.
func streamOptions(part string, v url.Values) runtime.Object {
	o := execOptions(v)
	switch part {
	case "exec":
		return &o
	case "attach":
		return &corev1.PodAttachOptions{Container: o.Container, Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr, TTY: o.TTY}
	}
	forward := &corev1.PodPortForwardOptions{}
	for _, p := range v["ports"] {
		if n, err := strconv.ParseInt(p, 10, 32); err == nil {
			forward.Ports = append(forward.Ports, int32(n))
		}
	}
	return forward
}

func execOptions(v url.Values) corev1.PodExecOptions {
	q := query{Values: v}
	return corev1.PodExecOptions{Container: q.Get("container"), Command: v["command"],
		Stdin: q.flag("stdin"), Stdout: q.flag("stdout"), Stderr: q.flag("stderr"), TTY: q.flag("tty")}
}
