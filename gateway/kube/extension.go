package kube

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apiserver/pkg/endpoints/request"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/stave-run/stave/events"
	"github.com/stave-run/stave/gateway/admit"
	"github.com/stave-run/stave/gateway/kube/authority"
	"github.com/stave-run/stave/projections"
)

// An extension is an API server beside this one, that serves a group version of its own behind a service of the cluster.
// Whoever asks for it comes in here, and is let through in their own name.

// extension is one, as its APIService names it.
type extension struct {
	*apiregistrationv1.APIService
	row *projections.Object
	// way is how it is reached; every request finds an endpoint of its own.
	way *http.Transport
	// roots is why its caBundle cannot be used; nil when it can.
	roots error
}

// extensions keeps the connections to them, and what they say that they serve.
type extensions struct {
	front *authority.CA // vouches for this door
	own   map[string]bool

	mu       sync.Mutex
	kept     map[string]*extension // by name
	told     map[string]offer      // by name
	edition  int                   // of what was told
	passport *tls.Certificate
}

// How long connections to extensions may take, and last without use.
const (
	shakeTime     = 10 * time.Second
	restTime      = 90 * time.Second
	maxIdle       = 16
	maxAnswerHead = 1 << 20
)

func newExtensions(front *authority.CA) *extensions {
	e := &extensions{front: front, own: map[string]bool{}, kept: map[string]*extension{}, told: map[string]offer{}}
	for _, k := range served() {
		e.own[k.APIVersion()] = true
	}
	return e
}

// extensionFor is who answers a path elsewhere; nil when this door does.
func (s *Server) extensionFor(i *request.RequestInfo) *extension {
	path, _ := strings.CutPrefix(i.Path, "/openapi/v3")
	parts := strings.SplitN(strings.Trim(path, "/"), "/", 4)
	if len(parts) < 3 || parts[0] != "apis" || s.beyond.own[parts[1]+"/"+parts[2]] {
		return nil
	}
	return s.extension(s.Views.Durable(), parts[2]+"."+parts[1])
}

// extension is the one of a name; nil when there is none.
func (s *Server) extension(v projections.State, name string) *extension {
	row, ok := v.Get(events.Key{Resource: events.APIServices, Name: name})
	if !ok {
		return nil
	}
	e := s.beyond
	e.mu.Lock()
	defer e.mu.Unlock()
	have := e.kept[name]
	if have != nil && have.row == row {
		return have
	}
	o, ok := v.ObjectOf(row, s.Now()).(*apiregistrationv1.APIService)
	if !ok || o.Spec.Service == nil || s.beyond.own[o.Spec.Group+"/"+o.Spec.Version] {
		return nil
	}
	next := &extension{APIService: o, row: row}
	if have != nil && have.row.UID == row.UID && bytes.Equal(have.row.Raw, row.Raw) { // its status is another one
		next.way, next.roots = have.way, have.roots
	} else {
		next.way, next.roots = s.wayTo(&o.Spec)
		have.close()
	}
	e.kept[name] = next
	return next
}

// forget ends the connections to those that are gone.
func (e *extensions) forget(v projections.State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, x := range e.kept {
		if _, ok := v.Get(x.row.Key); ok {
			continue
		}
		x.close()
		delete(e.kept, name)
		if _, ok := e.told[name]; ok {
			delete(e.told, name)
			e.edition++
		}
	}
}

func (x *extension) close() {
	if x != nil && x.way != nil {
		x.way.CloseIdleConnections()
	}
}

// wayTo connects to an extension: as Kubernetes' own door does, so that it believes who is named to it.
func (s *Server) wayTo(spec *apiregistrationv1.APIServiceSpec) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: hostOf(spec.Service), InsecureSkipVerify: spec.InsecureSkipTLSVerify, //nolint:gosec // a person wants it so, and was warned
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.beyond.shows() }}
	if len(spec.CABundle) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(spec.CABundle) {
			return nil, words("unable to load root certificates")
		}
	}
	// HTTP/1: a connection carries one person's request at a time.
	return &http.Transport{DialContext: s.dialExtension, TLSClientConfig: config, TLSHandshakeTimeout: shakeTime, IdleConnTimeout: restTime, MaxIdleConns: maxIdle,
		MaxIdleConnsPerHost: maxIdle, MaxResponseHeaderBytes: maxAnswerHead, DisableCompression: true}, nil
}

// hostOf is the name that an extension's certificate is of.
func hostOf(r *apiregistrationv1.ServiceReference) string { return r.Name + "." + r.Namespace + ".svc" }

// shows is the certificate by which extensions know this door.
func (e *extensions) shows() (*tls.Certificate, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c, err := e.front.Passing(admit.FrontName, e.passport)
	if err != nil {
		return nil, err
	}
	e.passport = c
	return c, nil
}

// dialExtension connects to an endpoint, and to nothing that only this machine has: whoever may write a service is not
// thereby let in there.
func (s *Server) dialExtension(ctx context.Context, network, address string) (net.Conn, error) {
	return s.ways.ConnectOutside(ctx, network, address)
}

// placeOf finds one of an extension's endpoints, anew for each request.
func (s *Server) placeOf(x *extension) (string, error) {
	r := x.Spec.Service
	return s.ways.Service(r.Namespace, r.Name, *r.Port)
}

// available tells whether an extension answered when it was asked last.
func (x *extension) available() bool {
	return slices.ContainsFunc(x.Status.Conditions, func(c apiregistrationv1.APIServiceCondition) bool {
		return c.Type == apiregistrationv1.Available && c.Status == apiregistrationv1.ConditionTrue
	})
}
