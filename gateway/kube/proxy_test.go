package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/wire"
)

// forwards answers connections to a pod's ports as an agent does; ports says who listens where. No other port is open.
func (h *house) forwards(ports map[uint16]*httptest.Server) {
	h.agent(wire.NodeForward, func(ctx context.Context, r bus.Request, s bus.Stream) {
		defer s.Close()
		var req wire.ForwardRequest
		if err := json.Unmarshal(r.Body, &req); err != nil {
			h.Error(err)
		}
		to, ok := ports[req.Port]
		if !ok {
			_ = s.Send(ctx, bus.Frame{Channel: wire.Failed, Data: events.MustBody(metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonBadRequest, Code: 400,
				Message: fmt.Sprintf("connect to port %d: connection refused", req.Port)})})
			return
		}
		conn, err := net.Dial("tcp", to.Listener.Addr().String())
		if err != nil {
			h.Error(err)
			return
		}
		defer conn.Close()
		go func() {
			for {
				f, err := s.Recv(ctx)
				if err != nil {
					conn.Close()
					return
				}
				_, _ = conn.Write(f.Data)
			}
		}()
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if n > 0 && s.Send(ctx, bus.Frame{Channel: wire.Stdout, Data: append([]byte(nil), buf[:n]...)}) != nil || err != nil {
				return
			}
		}
	})
}

// says is a web server that tells what it was asked.
func says(w http.ResponseWriter, r *http.Request) {
	if websocket.IsWebSocketUpgrade(r) {
		c, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		kind, data, _ := c.ReadMessage()
		_ = c.WriteMessage(kind, append([]byte("heard "), data...))
		return
	}
	if strings.HasSuffix(r.URL.Path, "/page") {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, `<a href="/next">next</a>`)
		return
	}
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s token=%t", r.Method, r.URL, body, r.Header.Get("Authorization") != "" || r.Header.Get("Impersonate-User") != "")
}

// asks is one request of somebody, redirects not followed.
func (h *house) asks(who *rest.Config, method, path, body string) (int, string, http.Header) {
	h.Helper()
	t, err := rest.TransportFor(who)
	if err != nil {
		h.Fatal(err)
	}
	req, err := http.NewRequestWithContext(h.Context(), method, who.Host+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		h.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

// website is a pod that serves on 80 and, with TLS, on 443, and a service before it.
func website(t *testing.T) *house {
	h := open(t)
	h.podOn("web")
	plain, secret := httptest.NewServer(http.HandlerFunc(says)), httptest.NewTLSServer(http.HandlerFunc(says))
	t.Cleanup(plain.Close)
	t.Cleanup(secret.Close)
	h.forwards(map[uint16]*httptest.Server{80: plain, 443: secret})
	pod, err := h.client().CoreV1().Pods("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Labels = map[string]string{"app": "web"}
	if _, err := h.client().CoreV1().Pods("default").Update(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "site"}, Spec: corev1.ServiceSpec{Selector: pod.Labels, Ports: []corev1.ServicePort{
		{Name: "plain", Port: 8080, TargetPort: intstr.FromInt32(80)}, {Name: "tls", Port: 8443, TargetPort: intstr.FromInt32(443)}, {Name: "shut", Port: 9, TargetPort: intstr.FromInt32(9)}}}}
	if _, err := h.client().CoreV1().Services("default").Create(t.Context(), svc, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return h
}

const inDefault = "/api/v1/namespaces/default/"

// What pods and services serve is reached under their own paths in the API.
func TestProxies(t *testing.T) {
	h := website(t)
	if code, body, _ := h.asks(h.config, "GET", inDefault+"pods/web/proxy/", ""); code != 400 || !strings.Contains(body, "no address yet") {
		t.Errorf("a pod without an address: %d %s", code, body)
	}
	h.serving("web")
	for _, c := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"GET", "pods/web/proxy/", "", 200, "GET /  token=false"},
		{"GET", "pods/web/proxy/a/b?c=d", "", 200, "GET /a/b?c=d  token=false"},
		{"GET", "pods/web:80/proxy/a/", "", 200, "GET /a/  token=false"},
		{"GET", "pods/http:web:80/proxy/a", "", 200, "GET /a  token=false"},
		{"GET", "pods/https:web:443/proxy/a", "", 200, "GET /a  token=false"},
		{"POST", "pods/web/proxy/a", "hello", 200, "POST /a hello token=false"},
		{"PUT", "services/site:plain/proxy/a", "hello", 200, "PUT /a hello token=false"},
		{"PATCH", "services/site:8080/proxy/a", "hello", 200, "PATCH /a hello token=false"},
		{"DELETE", "services/http:site:plain/proxy/a", "", 200, "DELETE /a  token=false"},
		{"OPTIONS", "services/https:site:tls/proxy/a", "", 200, "OPTIONS /a  token=false"},
		{"GET", "services/https:site:8443/proxy/a", "", 200, "GET /a  token=false"},
		{"GET", "pods/web/proxy/page", "", 200, `<a href="` + inDefault + `pods/web/proxy/next">next</a>`},
		{"GET", "pods/web:81/proxy/a", "", 503, "connect to port 81: connection refused"},
		{"GET", "services/site:shut/proxy/a", "", 503, "connect to port 9: connection refused"},
		{"GET", "pods/web:x/proxy/a", "", 400, "wants a number"},
		{"GET", "pods/gone/proxy/a", "", 404, `pods \"gone\" not found`},
		{"GET", "services/gone/proxy/a", "", 404, `services \"gone\" not found`},
		{"GET", "services/site/proxy/a", "", 503, "no service port"},
		{"GET", "services/ftp:site:plain/proxy/a", "", 400, "invalid service request"},
	} {
		code, body, _ := h.asks(h.config, c.method, inDefault+c.path, c.body)
		if code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, code, body, c.code, c.says)
		}
	}
	if code, _, head := h.asks(h.config, "GET", inDefault+"pods/web/proxy", ""); code != 301 || head.Get("Location") != inDefault+"pods/web/proxy/" {
		t.Errorf("without a path: %d, to %s", code, head.Get("Location"))
	}
}

// Who asks stays here, and who may not is told so before anything is connected.
func TestProxiesKeepSecrets(t *testing.T) {
	h := website(t)
	h.serving("web")
	as := rest.CopyConfig(h.config)
	as.Impersonate = rest.ImpersonationConfig{UserName: "z", Groups: []string{"system:masters"}}
	if code, body, _ := h.asks(as, "GET", inDefault+"pods/web/proxy/a", ""); code != 200 || !strings.Contains(body, "token=false") {
		t.Errorf("impersonated: %d %s", code, body)
	}
	h.binds("default", "view", "ann")
	for _, path := range []string{"pods/web/proxy/a", "services/site:plain/proxy/a"} {
		if code, body, _ := h.asks(h.as("ann"), "GET", inDefault+path, ""); code != 403 {
			t.Errorf("%s by who may only look: %d %s", path, code, body)
		}
	}
}

func TestProxiesUpgrade(t *testing.T) {
	h := website(t)
	h.serving("web")
	for _, path := range []string{"pods/web/proxy/socket", "services/https:site:tls/proxy/socket"} {
		c, err := h.socket(inDefault+path, "")
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		err = c.WriteMessage(websocket.TextMessage, []byte("you"))
		_, heard, bad := c.ReadMessage()
		if err = errors.Join(err, bad); err != nil || string(heard) != "heard you" {
			t.Errorf("%s: %q, %v", path, heard, err)
		}
		c.Close()
	}
}
