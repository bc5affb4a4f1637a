package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/admission"

	"github.com/stave-run/stave/bus"
	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/badge"
	"github.com/stave-run/stave/gateway/custom"
	"github.com/stave-run/stave/gateway/kube/authority"
	"github.com/stave-run/stave/gateway/reach"
	"github.com/stave-run/stave/gateway/vault"
	"github.com/stave-run/stave/gateway/wire"
	"github.com/stave-run/stave/projections"
	"github.com/stave-run/stave/reconcilers"
)

// Views are the snapshots that answers are made from.
type Views interface {
	// Durable is the newest state that a power cut cannot take back.
	Durable() projections.State
	// WaitDurable waits until a sequence is folded and durable.
	WaitDurable(ctx context.Context, seq events.Seq) (projections.State, error)
	// OnDurable calls f for every event from now on, in order, from one
	// goroutine; stop ends it.
	OnDurable(f func(projections.State, events.Envelope, []projections.Change)) (stop func())
}

// Past reads the log.
type Past interface {
	// StateAt folds it up to a sequence. Its error is a *bus.HorizonError when the
	// log no longer reaches back that far.
	StateAt(ctx context.Context, seq events.Seq) (projections.State, error)
	// Happened tells what happened since a time: to one object, or in a namespace,
	// or, when both are empty, everywhere.
	Happened(ctx context.Context, about events.Key, namespace string, since time.Time) ([]wire.Happened, error)
}

// Wish is what a client wants; Decide turns it into drafts on the writer's own
// view. It may be asked more than once.
type Wish struct {
	Actor   events.Actor
	ID      string
	Key     events.Key
	Message string
	// Together says that it may be decided on a view that holds wishes just before it which are not in the log yet: it lands with them.
	Together bool
	Decide   func(view projections.State, now time.Time) ([]reconcilers.Draft, error)
}

// Writer is the one writer.
type Writer interface {
	// Submit decides a wish and appends what follows, whole or not at all. It
	// returns the events as they stand in the log, before they are durable.
	Submit(ctx context.Context, w Wish) ([]events.Envelope, error)
}

// Options are what a server needs.
type Options struct {
	Views      Views
	Past       Past
	Log        bus.Log
	Notes      bus.Notes // what clients write beside the log
	Writer     Writer
	Wires      bus.Wires // to reach node agents
	WiresUser  string    // in whose name Wires ask
	Authority  *authority.CA
	FrontProxy *authority.CA // vouches for this door to API servers beside it
	Tokens     *badge.Keys
	Vault      *vault.Vault     // nil: there can be no Secrets
	Schemas    *custom.Schemas  // nil: there can be no definitions
	Converter  custom.Converter // asks conversion webhooks; nil: nobody is asked
	Cluster    string
	Version    string // Stave's
	Domain     string // of the cluster's names
	Now        func() time.Time
	Logger     *slog.Logger
	// Admission is asked about every write before admission of our own; nil: nobody is.
	Admission admission.Interface
	// MeasurePeriod is how often the pods of autoscalers are measured; 0 is as in Kubernetes.
	MeasurePeriod time.Duration
	// Held are the node ports that something outside of the cluster has on this machine; nil: nobody looks.
	Held func() map[admit.Port]string
}

// Server serves the API until it is closed.
type Server struct {
	Options
	scheme   *runtime.Scheme
	codecs   serializer.CodecFactory
	feed     *feed
	pages    pages
	managers *managers
	encoded  encodedRows
	book     *notebook
	sheets   sheets
	looks    looks
	begun    time.Time
	verbs    func() (*verbs, error) // made by the first request for a resource
	busy     limits
	customs  customs // handlers of what definitions make
	listed   listed  // discovery and OpenAPI, as of the definitions that there are
	ways     reach.Ways
	beyond   *extensions     // API servers beside this one
	proxies  *http.Transport // along the ways

	http    http.Server
	address string
	base    context.Context
	stop    context.CancelFunc
	keeping sync.WaitGroup // what looks after the notes
	done    chan struct{}
}

// New makes a server that does not listen yet. It is cheap: what takes time
// waits for the first request.
func New(o Options) *Server {
	if o.MeasurePeriod == 0 {
		o.MeasurePeriod = measurePeriod
	}
	s := &Server{Options: o, scheme: newScheme(), busy: newLimits(), managers: newManagers(), done: make(chan struct{})}
	s.codecs = newCodecs(s.scheme)
	s.verbs = sync.OnceValues(s.newVerbs)
	s.feed = newFeed(o.Views)
	s.ways = reach.Ways{View: o.Views.Durable, Dial: s.dialPod}
	s.proxies = newProxies(s.ways)
	s.beyond = newExtensions(o.FrontProxy)
	s.base, s.stop = context.WithCancel(context.Background())
	s.book, s.begun = newNotebook(o.Notes, o.Logger), o.Now()
	s.keeping.Go(func() { s.book.run(s.base) })
	k := &keeper{book: s.book, views: o.Views, now: o.Now, gone: map[string]time.Time{}, ring: make(chan struct{}, 1)}
	s.keeping.Go(func() { k.keep(s.base) })
	s.keeping.Go(func() { s.encoded.keep(s.base) })
	s.keeping.Go(func() { s.sign(s.base) })
	s.keeping.Go(func() { s.migrate(s.base) })
	s.keeping.Go(func() { s.autoscale(s.base) })
	s.keeping.Go(func() { s.checkExtensions(s.base) })
	return s
}

// How long a client may take over what it should do at once.
const (
	headerTime = 10 * time.Second
	idleTime   = 3 * time.Minute
	closeTime  = 2 * time.Second
	maxHeader  = 64 << 10
)

// Serve answers on a listener, with TLS, until Close.
func (s *Server) Serve(l net.Listener) error {
	defer close(s.done)
	cert, err := s.Authority.Server(s.Domain, s.serviceAddress()...)
	var pods net.Listener
	if err == nil {
		pods, err = s.acceptNodes()
	}
	if err != nil {
		return fmt.Errorf("open the Kubernetes API: %w", err)
	}
	s.http.Handler = s
	s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12,
		ClientAuth: tls.RequestClientCert} // a bad one is told so in words, by Status and not by a broken handshake
	s.http.ReadHeaderTimeout, s.http.IdleTimeout, s.http.MaxHeaderBytes = headerTime, idleTime, maxHeader
	s.http.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime} // one who is gone without a word is found
	s.http.BaseContext = func(net.Listener) context.Context { return s.base }
	s.http.ErrorLog = log.New(discard{}, "", 0)       // clients that leave or speak no TLS are no news
	go func() { _ = s.http.ServeTLS(pods, "", "") }() // it ends with the server
	err = s.http.ServeTLS(l, "", "")
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve the Kubernetes API: %w", err)
}

// serviceAddress is where pods find the API, once the service is there.
func (s *Server) serviceAddress() []net.IP {
	o, ok := s.Views.Durable().Get(projections.GatewayKey)
	if !ok {
		return nil
	}
	return []net.IP{net.ParseIP(projections.As[*corev1.Service](o).Spec.ClusterIP)}
}

type discard struct{}

// Write implements io.Writer.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Close ends watches and streams, and lets other requests finish for a moment.
func (s *Server) Close() error {
	s.stop()
	s.feed.close()
	s.keeping.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}
