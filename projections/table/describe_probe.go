package table

import (
	"fmt"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// probes are a container's, and its hooks, on one line each.
func (p page) probes(c *corev1.Container) {
	for _, x := range []struct {
		title string
		probe *corev1.Probe
	}{{"Liveness", c.LivenessProbe}, {"Readiness", c.ReadinessProbe}, {"Startup", c.StartupProbe}} {
		if x.probe != nil {
			p.line(2, "%s:\t%s", x.title, probeText(x.probe))
		}
	}
	if c.Lifecycle == nil {
		return
	}
	if h := c.Lifecycle.PostStart; h != nil {
		p.line(2, "Post Start:\t%s", HookText(h))
	}
	if h := c.Lifecycle.PreStop; h != nil {
		p.line(2, "Pre Stop:\t%s", HookText(h))
	}
}

// probeText is kubectl's line of a probe.
func probeText(x *corev1.Probe) string {
	attrs := fmt.Sprintf("delay=%ds timeout=%ds period=%ds #success=%d #failure=%d", x.InitialDelaySeconds, x.TimeoutSeconds, x.PeriodSeconds, x.SuccessThreshold, x.FailureThreshold)
	what := "unknown"
	switch {
	case x.Exec != nil:
		what = fmt.Sprintf("exec %v", x.Exec.Command)
	case x.HTTPGet != nil:
		what = "http-get " + urlText(x.HTTPGet)
	case x.TCPSocket != nil:
		what = fmt.Sprintf("tcp-socket %s:%s", x.TCPSocket.Host, x.TCPSocket.Port.String())
	case x.GRPC != nil:
		service := ""
		if x.GRPC.Service != nil {
			service = *x.GRPC.Service
		}
		what = fmt.Sprintf("grpc <pod>:%d %s", x.GRPC.Port, service)
	}
	return what + " " + attrs
}

func urlText(g *corev1.HTTPGetAction) string {
	u := url.URL{Scheme: strings.ToLower(string(g.Scheme)), Host: g.Host + ":" + g.Port.String(), Path: g.Path}
	text, err := url.PathUnescape(u.String()) // a query stays readable
	if err != nil {
		return u.String()
	}
	return text
}

// HookText is kubectl's line of a hook.
func HookText(h *corev1.LifecycleHandler) string {
	switch {
	case h.Exec != nil:
		return fmt.Sprintf("exec %v", h.Exec.Command)
	case h.HTTPGet != nil:
		return "http-get " + urlText(h.HTTPGet)
	case h.Sleep != nil:
		return fmt.Sprintf("sleep %ds", h.Sleep.Seconds)
	}
	return "unknown"
}
