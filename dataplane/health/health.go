// Package health tells load balancers whether a node has endpoints of a service: those of services that keep
// traffic from outside where it comes in must send it only to nodes that have some. Each service has a port for
// that, its healthCheckNodePort, and the answer is what Kubernetes' proxy gives: 200 or 503, and how many.
package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// patience is how long who asks may take for it: a balancer asks in one packet.
const patience = 5 * time.Second

// Service is what is told of one service.
type Service struct {
	Namespace, Name string
	Endpoints       int // ready ones on this node
}

func (s Service) key() string { return s.Namespace + "/" + s.Name }

// Answers are the services of which a node tells. It is safe for concurrent use.
type Answers struct {
	log *slog.Logger

	mu sync.Mutex
	of map[string]*answer
}

// answer is one service's, while it is told of.
type answer struct {
	port    uint16
	service Service
	server  *http.Server
}

// New tells of nothing yet.
func New(log *slog.Logger) *Answers { return &Answers{log: log, of: map[string]*answer{}} }

// Tell answers for a service on a port from now on. listen is asked for the port's socket when the service was not
// answered for there; its errors come back as they are.
func (a *Answers) Tell(s Service, port uint16, listen func() (net.Listener, error)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.of[s.key()]; now != nil && now.port == port {
		now.service = s
		return nil
	}
	if err := a.stop(s.key()); err != nil {
		return err
	}
	l, err := listen()
	if err != nil {
		return err
	}
	now := &answer{port: port, service: s, server: &http.Server{ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: 4 * patience,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}}
	now.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { a.answer(w, now) })
	a.of[s.key()] = now
	go func() {
		if err := now.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Warn("answering load balancers", "service", s.key(), "port", port, "err", err)
		}
	}()
	return nil
}

// On tells whether a service, by "namespace/name", is answered for on a port.
func (a *Answers) On(key string, port uint16) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.of[key]
	return now != nil && now.port == port
}

// Stop tells of a service no more, by "namespace/name". It is no error if it was not told of.
func (a *Answers) Stop(key string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stop(key)
}

func (a *Answers) stop(key string) error {
	now := a.of[key]
	if now == nil {
		return nil
	}
	delete(a.of, key)
	if err := now.server.Close(); err != nil {
		return fmt.Errorf("stop answering for %s: %w", key, err)
	}
	return nil
}

// Close tells of nothing more.
func (a *Answers) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	for key := range a.of {
		err = errors.Join(err, a.stop(key))
	}
	return err
}

// body is the answer in the words of Kubernetes' proxy.
type body struct {
	Service struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"service"`
	LocalEndpoints      int  `json:"localEndpoints"`
	ServiceProxyHealthy bool `json:"serviceProxyHealthy"`
}

func (a *Answers) answer(w http.ResponseWriter, of *answer) {
	a.mu.Lock()
	s := of.service
	a.mu.Unlock()
	b := body{LocalEndpoints: s.Endpoints, ServiceProxyHealthy: true} // who answers is who writes the tables
	b.Service.Namespace, b.Service.Name = s.Namespace, s.Name
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(s.Endpoints))
	if s.Endpoints == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "\t")
	_ = out.Encode(b) // who asked is gone: it asks again
}
