package health

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestAnswers: what a balancer is told follows what the node has, and ends with it.
func TestAnswers(t *testing.T) {
	a := New(slog.New(slog.DiscardHandler))
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, opened := "http://"+l.Addr().String()+"/healthz", 0
	listen := func() (net.Listener, error) { opened++; return l, nil }
	for _, step := range []struct {
		endpoints, status int
		weight, text      string
	}{
		{0, http.StatusServiceUnavailable, "0", `"localEndpoints": 0`},
		{2, http.StatusOK, "2", `"localEndpoints": 2`},
		{0, http.StatusServiceUnavailable, "0", `"localEndpoints": 0`},
	} {
		if err := a.Tell(Service{"shop", "web", step.endpoints}, 30001, listen); err != nil {
			t.Fatal(err)
		}
		res, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != step.status || res.Header.Get("X-Load-Balancing-Endpoint-Weight") != step.weight || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%d endpoints: %d %v", step.endpoints, res.StatusCode, res.Header)
		}
		for _, part := range []string{step.text, `"namespace": "shop"`, `"name": "web"`, `"serviceProxyHealthy": true`} {
			if !strings.Contains(string(raw), part) {
				t.Errorf("%d endpoints: no %s in %s", step.endpoints, part, raw)
			}
		}
	}
	if opened != 1 {
		t.Errorf("the port was opened %d times", opened)
	}
	if err := a.Stop("shop/web"); err != nil {
		t.Fatal(err)
	}
	if _, err := http.Get(at); err == nil {
		t.Error("what was stopped answers")
	}
	taken := errors.New("taken")
	if err := a.Tell(Service{"shop", "web", 1}, 30001, func() (net.Listener, error) { return nil, taken }); !errors.Is(err, taken) {
		t.Errorf("a port that cannot be had: %v", err)
	}
	if err := errors.Join(a.Stop("shop/web"), a.Close()); err != nil {
		t.Error(err)
	}
}
