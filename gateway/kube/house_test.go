package kube_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/stave-run/stave/bus/memory"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/api"
	"github.com/stave-run/stave/gateway/badge"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/gateway/kube"
	"github.com/stave-run/stave/gateway/kube/authority"
	"github.com/stave-run/stave/gateway/policy"
	"github.com/stave-run/stave/gateway/rbac"
	"github.com/stave-run/stave/gateway/vault"
	"github.com/stave-run/stave/gateway/webhook"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/projections/follow"
	"github.com/stave-run/stave/reconcilers"
	"github.com/stave-run/stave/reconcilers/account"
	"github.com/stave-run/stave/reconcilers/autoscale"
	"github.com/stave-run/stave/reconcilers/birth"
	"github.com/stave-run/stave/reconcilers/daemonset"
	"github.com/stave-run/stave/reconcilers/definition"
	"github.com/stave-run/stave/reconcilers/deployment"
	"github.com/stave-run/stave/reconcilers/gc"
	"github.com/stave-run/stave/reconcilers/migration"
	"github.com/stave-run/stave/reconcilers/namespace"
	"github.com/stave-run/stave/reconcilers/replicaset"
	"github.com/stave-run/stave/reconcilers/run"
	"github.com/stave-run/stave/reconcilers/statefulset"
)

// house is a control plane in one process with a Kubernetes door.
type house struct {
	testing.TB
	log    *memory.Log
	notes  *memory.Notes
	wires  *memory.Wires
	view   *follow.Follower
	loop   *run.Loop
	past   *api.Server
	people *authority.CA
	front  *authority.CA
	vault  *vault.Vault
	tokens *badge.Keys
	port   string
	asked  admission.Interface // beside what is asked about each write otherwise; nil: nobody
	close  func()
	config *rest.Config
	hooks  *webhook.Chain

	mu   sync.Mutex
	lost int // updates whose clients gave up
}

type submitter struct{ *run.Loop }

func (s submitter) Submit(ctx context.Context, w kube.Wish) ([]events.Envelope, error) {
	return s.Loop.Submit(ctx, run.Request{Actor: w.Actor, ID: w.ID, Key: w.Key, Message: w.Message, Decide: w.Decide})
}

type oldSubmitter struct{ *run.Loop }

func (s oldSubmitter) Submit(ctx context.Context, w api.Wish) ([]events.Envelope, error) {
	return s.Loop.Submit(ctx, run.Request{Actor: w.Actor, ID: w.ID, Key: w.Key, Message: w.Message, Decide: w.Decide})
}

// born decides what webhooks say of controllers' pods.
func (h *house) born(ctx context.Context, by reconcilers.Reconciler, of events.Key, a birth.Answer) error {
	_, err := h.loop.Submit(ctx, run.Request{Actor: events.Controller(by.Name()), ID: "answer/" + rand.Text(), Key: of,
		Decide: func(v reconcilers.View, now time.Time) ([]reconcilers.Draft, error) {
			return birth.Answered(by, v, of, a, now), nil
		}})
	return err
}

// open makes a cluster without nodes; controllers run.
func open(t testing.TB) *house {
	t.Helper()
	h := &house{TB: t, log: memory.NewLog(time.Now), notes: memory.NewNotes(time.Now), wires: memory.NewWires(), port: "0"}
	var err error
	if h.view, err = follow.Open(t.Context(), h.log, follow.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.view.Close)
	policies := &policy.Engine{}
	if h.hooks, err = webhook.New(webhook.Options{View: h.view.Durable, Policies: policies, Schemas: &custom.Schemas{}, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	births := webhook.NewBirths(h.hooks, h.born)
	t.Cleanup(func() { births.Close() })
	guards := func(v projections.State, of events.Resource) birth.Guard {
		return birth.Guard{Bars: policies.Guard(v, of), Asks: webhook.Outside(v, of)}
	}
	h.loop, err = run.NewLoop(run.Config{Cluster: "test", Holder: "me", Log: h.log, Source: h.view, Clock: run.Wall{}, Logger: slog.New(slog.DiscardHandler), Wished: births.Wished,
		Reconcilers: []reconcilers.Reconciler{deployment.Reconciler{Guards: guards}, replicaset.Reconciler{Guards: guards}, statefulset.Reconciler{Guards: guards}, daemonset.Reconciler{}, gc.Reconciler{}, namespace.Reconciler{}, definition.Reconciler{}, account.Reconciler{}, migration.Reconciler{}, autoscale.Reconciler{}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = h.loop.Run(ctx) }() // it ends with the context
	t.Cleanup(func() { cancel(); <-ended })
	cluster := projections.Cluster{Name: "test", PodCIDR: "10.244.0.0/16", ServiceCIDR: "10.96.0.0/16", DNS: "10.96.0.10", Domain: "cluster.local"}
	_, err = h.loop.Submit(t.Context(), run.Request{Actor: "test", ID: "boot", Key: projections.ClusterKey, Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
		return slices.Concat(admit.Bootstrap(v, cluster), rbac.Bootstrap(v)), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.loop.Submit(t.Context(), run.Request{Actor: "test", ID: "range", Key: projections.ClusterKey, Decide: func(v reconcilers.View, _ time.Time) ([]reconcilers.Draft, error) {
		return admit.FirstRange(v), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.past, err = api.Serve(api.Options{Rules: &custom.Schemas{}, Wires: h.wires, Log: h.log, Views: h.view, Writer: oldSubmitter{h.loop}, Cluster: "test", Version: "1", Now: time.Now,
		Explain: func(projections.State, events.Key) []events.Reason { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.past.Close)
	if h.people, err = authority.Open(t.TempDir(), "test", time.Now); err != nil {
		t.Fatal(err)
	}
	if h.front, err = authority.FrontProxy(t.TempDir(), "test", time.Now); err != nil {
		t.Fatal(err)
	}
	if h.vault, err = vault.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if h.tokens, err = badge.Open(t.TempDir(), "cluster.local", time.Now); err != nil {
		t.Fatal(err)
	}
	h.serve()
	t.Cleanup(func() { h.close() })
	return h
}

// serve opens the door, where it was when it was open before.
func (h *house) serve() {
	h.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:"+h.port)
	if err != nil {
		h.Fatal(err)
	}
	_, h.port, _ = net.SplitHostPort(l.Addr().String())
	converter, err := webhook.NewConversions(h.view.Durable, nil)
	if err != nil {
		h.Fatal(err)
	}
	asked := admission.Interface(h.hooks)
	if h.asked != nil {
		asked = admission.NewChainHandler(h.hooks, h.asked)
	}
	s := kube.New(kube.Options{Converter: converter, Views: h.view, Past: h.past, Log: h.log, Notes: h.notes, Writer: submitter{h.loop}, Wires: h.wires, WiresUser: "control", Authority: h.people, FrontProxy: h.front, Vault: h.vault, Tokens: h.tokens, Schemas: &custom.Schemas{}, Cluster: "test", Version: "1",
		Domain: "cluster.local", Now: time.Now, MeasurePeriod: 200 * time.Millisecond, Admission: asked, Logger: slog.New(slog.NewTextHandler(h.Output(), nil))})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	h.close = func() {
		if err := s.Close(); err != nil {
			h.Errorf("close: %v", err)
		}
		if err := <-done; err != nil {
			h.Errorf("serve: %v", err)
		}
	}
	h.config = h.as("admin", "system:masters")
}

// as is how somebody comes in.
func (h *house) as(user string, groups ...string) *rest.Config {
	h.Helper()
	pair, err := h.people.Person(user, groups...)
	if err != nil {
		h.Fatal(err)
	}
	return &rest.Config{Host: "https://127.0.0.1:" + h.port, UserAgent: "tester/1 (linux)", QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAFile: h.people.File(), CertFile: pair.Certificate, KeyFile: pair.Key}}
}

func (h *house) client() *kubernetes.Clientset {
	h.Helper()
	c, err := kubernetes.NewForConfig(h.config)
	if err != nil {
		h.Fatal(err)
	}
	return c
}
