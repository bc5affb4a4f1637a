package node

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/node/plan"
	"github.com/stave-run/stave/projections"
)

// said checks an outcome; want is "" for a success, or what its words match.
func said(t *testing.T, name string, o plan.Outcome, want string) {
	t.Helper()
	if o.OK != (want == "") || !regexp.MustCompile("^"+want+"$").MatchString(o.Words) {
		t.Errorf("%s: %+v, want %q", name, o, want)
	}
}

func portIn(t *testing.T, address string) int {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// page answers as a path asks.
func page(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ok":
	case "/away":
		http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
	case "/home":
		http.Redirect(w, r, "/bad", http.StatusFound)
	case "/round":
		http.Redirect(w, r, "/round", http.StatusFound)
	case "/slow":
		<-r.Context().Done()
	case "/asked":
		if r.Host != "shop.example" || r.Header.Get("X-A") != "b" || r.Header.Get("User-Agent") != probeAgent || r.URL.Query().Get("q") != "1" {
			w.WriteHeader(http.StatusTeapot)
		}
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func TestProbeHTTP(t *testing.T) {
	plain, secret := httptest.NewServer(http.HandlerFunc(page)), httptest.NewTLSServer(http.HandlerFunc(page))
	defer plain.Close()
	defer secret.Close()
	c := &corev1.Container{Name: "c", Ports: []corev1.ContainerPort{{Name: "web", ContainerPort: int32(portIn(t, plain.URL))}}}
	web := intstr.FromString("web")
	for _, tt := range []struct {
		name string
		get  corev1.HTTPGetAction
		want string
	}{
		{"well", corev1.HTTPGetAction{Path: "/ok", Port: web}, ""},
		{"a path without a slash", corev1.HTTPGetAction{Path: "ok", Port: web}, ""},
		{"not well", corev1.HTTPGetAction{Path: "/bad", Port: web}, "HTTP probe failed with statuscode: 500"},
		{"headers, host and query", corev1.HTTPGetAction{Path: "/asked?q=1", Port: web, HTTPHeaders: []corev1.HTTPHeader{{Name: "host", Value: "shop.example"}, {Name: "X-A", Value: "b"}}}, ""},
		{"another agent", corev1.HTTPGetAction{Path: "/asked?q=1", Port: web, HTTPHeaders: []corev1.HTTPHeader{{Name: "Host", Value: "shop.example"}, {Name: "X-A", Value: "b"}, {Name: "User-Agent", Value: "me"}}},
			"HTTP probe failed with statuscode: 418"},
		{"sent on", corev1.HTTPGetAction{Path: "/home", Port: web}, "HTTP probe failed with statuscode: 500"},
		{"sent round", corev1.HTTPGetAction{Path: "/round", Port: web}, `Get "/round": stopped after 10 redirects`},
		{"a certificate that nobody believes", corev1.HTTPGetAction{Path: "/ok", Port: intstr.FromInt(portIn(t, secret.URL)), Scheme: corev1.URISchemeHTTPS}, ""},
		{"too slow", corev1.HTTPGetAction{Path: "/slow", Port: web}, `Get "http://127.0.0.1:\d+/slow": context deadline exceeded.*`},
		{"nobody there", corev1.HTTPGetAction{Path: "/", Port: intstr.FromInt(1)}, `Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused`},
		{"another host", corev1.HTTPGetAction{Path: "/ok", Port: web, Host: "127.0.0.2"}, `Get "http://127.0.0.2:\d+/ok": dial tcp .*: connect: connection refused`},
		{"no such name", corev1.HTTPGetAction{Path: "/ok", Port: intstr.FromString("none")}, `couldn't find port named "none" in container "c"`},
	} {
		patience := 200 * time.Millisecond
		if tt.name != "too slow" {
			patience = 10 * time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		said(t, tt.name, probeHTTP(ctx, c, &tt.get, "127.0.0.1", patience), tt.want)
		cancel()
	}
	if o := probeHTTP(t.Context(), c, &corev1.HTTPGetAction{Path: "/away", Port: web}, "127.0.0.1", 10*time.Second); !o.OK ||
		!strings.HasPrefix(o.Words, `Probe terminated redirects, Response body: <a href="http://elsewhere.invalid/">Found</a>`) {
		t.Errorf("sent to another host: %+v", o)
	}
	u, _ := url.Parse(plain.URL)
	said(t, "tcp", probeTCP(t.Context(), c, &corev1.TCPSocketAction{Port: web}, u.Hostname()), "")
	said(t, "tcp closed", probeTCP(t.Context(), c, &corev1.TCPSocketAction{Port: intstr.FromInt(1)}, "127.0.0.1"), "dial tcp 127.0.0.1:1: connect: connection refused")
}

func TestProbeGRPC(t *testing.T) {
	serve := func(register func(*grpc.Server)) int32 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		register(s)
		go func() { _ = s.Serve(l) }() // it ends when it is stopped
		t.Cleanup(s.Stop)
		return int32(l.Addr().(*net.TCPAddr).Port)
	}
	checks := health.NewServer()
	checks.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	port, bare := serve(func(s *grpc.Server) { healthpb.RegisterHealthServer(s, checks) }), serve(func(*grpc.Server) {})
	down, none := "down", "none"
	for _, tt := range []struct {
		name string
		grpc corev1.GRPCAction
		want string
	}{
		{"well", corev1.GRPCAction{Port: port}, ""},
		{"not well", corev1.GRPCAction{Port: port, Service: &down}, `service unhealthy \(responded with "NOT_SERVING"\)`},
		{"unknown", corev1.GRPCAction{Port: port, Service: &none}, "error: health rpc probe failed: unknown service"},
		{"no health service", corev1.GRPCAction{Port: bare}, `error: this server does not implement the grpc health protocol .*`},
		{"nobody there", corev1.GRPCAction{Port: 1}, `error: health rpc probe failed: connection error: .*connect: connection refused"`},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		said(t, tt.name, probeGRPC(ctx, &tt.grpc, "127.0.0.1", 10*time.Second), tt.want)
		cancel()
	}
}

// A pod that was told to stop, and takes its time, is ready for as long as its probe says so.
func TestAPodThatStopsIsAsReadyAsItsProbeSays(t *testing.T) {
	var gone atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if gone.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	host, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, m, d := small(t)
	d.ending = make(chan struct{})
	end := sync.OnceFunc(func() { close(d.ending) })
	t.Cleanup(end) // whatever else fails: an agent waits for it
	m.start()
	c.run(shell("web", "true", func(s *corev1.PodSpec) {
		s.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 1,
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: host, Port: intstr.Parse(port), Path: "/", Scheme: corev1.URISchemeHTTP}}}
	}))
	c.untilReady("web")
	c.delete("web", 600)
	eventually(t, "it was told that it stops", func() bool { return len(c.facts("web", events.FactStopping)) == 1 })
	time.Sleep(1500 * time.Millisecond) // what must not happen has no sign
	if p, _ := c.fold.Durable().Pod("default", "web"); !p.Containers[0].Ready {
		t.Fatal("it is not ready any more, and its probe passes")
	}
	gone.Store(true)
	c.until("web", "running and not ready", func(_ *projections.Pod, x projections.Container) bool {
		return x.Phase == projections.Running && !x.Ready
	})
	end()
	c.untilStopped("web")
}
