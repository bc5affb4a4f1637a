package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/node/plan"
)

// probeAgent is who a probe says it is; servers look for Kubernetes' name in their access logs.
const probeAgent = "kube-probe/stave"

// maxProbeBody is how much of an answer is read, in bytes.
const maxProbeBody = 10 << 10

// maxRedirects is how often a probe is sent on.
const maxRedirects = 10

func probeHTTP(ctx context.Context, c *corev1.Container, g *corev1.HTTPGetAction, podIP string, timeout time.Duration) plan.Outcome {
	req, err := httpRequest(ctx, c, g, podIP)
	if err != nil {
		return plan.Outcome{Errored: true, Words: err.Error()}
	}
	res, err := probeClient(timeout).Do(req)
	if err != nil {
		return plan.Outcome{Words: err.Error()}
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxProbeBody)) // the status has been given
	if res.StatusCode >= http.StatusMultipleChoices && res.StatusCode < http.StatusBadRequest {
		return plan.Outcome{OK: true, Words: "Probe terminated redirects, Response body: " + bounded(string(body), maxWords)}
	}
	if res.StatusCode < http.StatusOK || res.StatusCode >= http.StatusBadRequest {
		return plan.Outcome{Words: fmt.Sprintf("HTTP probe failed with statuscode: %d", res.StatusCode)}
	}
	return plan.Outcome{OK: true}
}

// probeClient makes a connection of its own for each request, asks no proxy, and believes every certificate: a pod is
// known by its address.
func probeClient(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true, Proxy: nil,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= maxRedirects {
				return errors.New("stopped after 10 redirects")
			}
			if req.URL.Hostname() != via[0].URL.Hostname() {
				return http.ErrUseLastResponse // what another host says is not the pod's health
			}
			return nil
		},
	}
}

// httpRequest is what an httpGet asks for; headers that the manifest names win.
func httpRequest(ctx context.Context, c *corev1.Container, g *corev1.HTTPGetAction, podIP string) (*http.Request, error) {
	port, err := portOf(c, g.Port)
	if err != nil {
		return nil, err
	}
	host, scheme := g.Host, strings.ToLower(string(g.Scheme))
	if host == "" {
		host = podIP
	}
	if scheme == "" {
		scheme = "http"
	}
	u, err := url.Parse(g.Path)
	if err != nil {
		u = &url.URL{Path: g.Path} // Kubernetes takes what is no URL as a path
	}
	u.Scheme, u.Host = scheme, net.JoinHostPort(host, strconv.Itoa(port))
	if !strings.HasPrefix(u.Path, "/") {
		u.Path = "/" + u.Path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("User-Agent", probeAgent)
	req.Header.Set("Accept", "*/*")
	named := map[string]bool{}
	for _, h := range g.HTTPHeaders {
		name := http.CanonicalHeaderKey(h.Name)
		if !named[name] {
			req.Header.Del(name)
			named[name] = true
		}
		if name == "Host" {
			req.Host = h.Value
			continue
		}
		if h.Value != "" || name != "User-Agent" && name != "Accept" { // empty, these two are left out, as in Kubernetes
			req.Header.Add(name, h.Value)
		}
	}
	return req, nil
}

func probeTCP(ctx context.Context, c *corev1.Container, t *corev1.TCPSocketAction, podIP string) plan.Outcome {
	port, err := portOf(c, t.Port)
	if err != nil {
		return plan.Outcome{Errored: true, Words: err.Error()}
	}
	host := t.Host
	if host == "" {
		host = podIP
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return plan.Outcome{Words: err.Error()}
	}
	_ = conn.Close() // it was made: nothing else was asked
	return plan.Outcome{OK: true}
}

// probeGRPC asks the standard health service.
func probeGRPC(ctx context.Context, g *corev1.GRPCAction, podIP string, timeout time.Duration) plan.Outcome {
	service := ""
	if g.Service != nil {
		service = *g.Service
	}
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(podIP, strconv.Itoa(int(g.Port))),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithUserAgent(probeAgent), grpc.WithNoProxy())
	if err != nil {
		return plan.Outcome{Errored: true, Words: err.Error()}
	}
	defer conn.Close()
	res, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		return plan.Outcome{Words: grpcWords(err, timeout)}
	}
	if res.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return plan.Outcome{Words: fmt.Sprintf("service unhealthy (responded with %q)", res.GetStatus().String())}
	}
	return plan.Outcome{OK: true}
}

// grpcWords are Kubernetes'.
func grpcWords(err error, timeout time.Duration) string {
	switch s := status.Convert(err); s.Code() {
	case codes.Unimplemented:
		return "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " + s.Message()
	case codes.DeadlineExceeded:
		return fmt.Sprintf("timeout: health rpc did not complete within %v", timeout)
	default:
		return "error: health rpc probe failed: " + s.Message()
	}
}

// portOf is the number of a port that may be named by its container.
func portOf(c *corev1.Container, p intstr.IntOrString) (int, error) {
	if p.Type == intstr.Int {
		return p.IntValue(), nil
	}
	for _, own := range c.Ports {
		if own.Name == p.StrVal {
			return int(own.ContainerPort), nil
		}
	}
	if n, err := strconv.Atoi(p.StrVal); err == nil {
		return n, nil
	}
	return 0, fmt.Errorf("couldn't find port named %q in container %q", p.StrVal, c.Name)
}
